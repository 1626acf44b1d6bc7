"""The counters that people use, behind one call: a network and example inputs → MACs and parameters.

Each is called as its documentation shows. A counter that counts two operations for a MAC is halved.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, cast

import torch
from torch import nn

from edgeai_repro.errors import MissingRequirement, one_line
from edgeai_repro.measure.counters import MODULES
from edgeai_repro.measure.counters.providers import providers
from edgeai_repro.measure.counting.run import Inputs
from edgeai_repro.networks.convnext import clone_sharing_tensors

Numbers = tuple[float, float | None]  # MACs, and parameters if the counter counts them
EXTRA = "edgeai-repro[counters]"


class CounterError(Exception):
    """A counter failed on a network; the message is one line."""


@dataclass(frozen=True)
class Count:
    """A counter's MACs and parameters of a network; None if it does not count parameters."""

    macs: int
    parameters: int | None


@dataclass(frozen=True)
class Counter:
    """A counter: its name in claims and tables, the module that it is imported from, and a call of it."""

    name: str
    module: str
    call: Callable[[nn.Module, Inputs], Numbers]

    @property
    def installed(self) -> bool:
        """Whether its module can be imported."""
        return find_spec(self.module) is not None

    @property
    def provider(self) -> str:
        """The distribution that its module comes from, with the version, `thop 0.1.1`."""
        return " or ".join(f"{one.name} {one.version}" for one in providers(self.module))

    def count(self, model: nn.Module, inputs: Inputs) -> Count:
        """Return the count of a copy of the network in eval mode; what the counter prints is dropped.

        Raises MissingRequirement if the counter is not installed, and CounterError if it fails.
        """
        if not self.installed:
            raise MissingRequirement("counters", f"counter {self.name} is missing; pip install '{EXTRA}'")
        clone = clone_sharing_tensors(model).eval()
        try:
            with _quiet(), _unpatched():
                macs, parameters = self.call(clone, inputs)
        except Exception as error:  # each counter has its own ways to fail
            raise CounterError(f"{self.name} fails: {one_line(error)}") from error
        return Count(round(macs), None if parameters is None else round(parameters))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Drop prints, log messages and warnings."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with (
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


@contextlib.contextmanager
def _unpatched() -> Iterator[None]:
    """Put torch's functions back at the end: a counter that fails may leave its own in their place."""
    places: list[Any] = [torch, nn.functional, torch.Tensor]
    before = [dict(vars(place)) for place in places]
    try:
        yield
    finally:
        for place, names in zip(places, before, strict=True):
            for name, value in names.items():
                if vars(place).get(name) is not value:
                    setattr(place, name, value)
        for name in vars(torch.Tensor).keys() - before[-1].keys():
            delattr(torch.Tensor, name)


def _thop(model: nn.Module, inputs: Inputs) -> Numbers:
    import thop

    macs, parameters = thop.profile(model, inputs, verbose=False)
    return macs, parameters


def _fvcore(model: nn.Module, inputs: Inputs) -> Numbers:
    from fvcore.nn import FlopCountAnalysis, parameter_count

    return FlopCountAnalysis(model, inputs).total(), parameter_count(model)[""]  # its flops are MACs


def _ptflops(backend: str) -> Callable[[nn.Module, Inputs], Numbers]:
    def call(model: nn.Module, inputs: Inputs) -> Numbers:
        from ptflops import get_model_complexity_info

        with contextlib.redirect_stdout(io.StringIO()) as printed:
            macs, parameters = get_model_complexity_info(
                _BatchOfOne(model),
                (1,),
                print_per_layer_stat=False,
                as_strings=False,
                input_constructor=lambda _: [inputs],
                backend=backend,
            )
        if macs is None:  # it prints the error, with the type on the same line
            raise RuntimeError(printed.getvalue().strip().rpartition("\n")[2].partition(">: ")[2])
        return macs, parameters

    return call


class _BatchOfOne(nn.Module):
    """Takes a list of one tuple of inputs, for counters that divide by the length of the first argument."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: list[Inputs]) -> Any:
        return self.model(*batch[0])


def _torchinfo(model: nn.Module, inputs: Inputs) -> Numbers:
    from torchinfo import summary
    from torchinfo.torchinfo import clear_cached_forward_pass

    try:
        statistics = summary(model, input_data=list(inputs), device=_device(inputs), verbose=0)
    finally:
        clear_cached_forward_pass()  # which would hold the network for the rest of the run
    return statistics.total_mult_adds, statistics.total_params


def _calflops(model: nn.Module, inputs: Inputs) -> Numbers:
    import calflops

    if not list(model.parameters()):  # it asks the first one for its device
        model.register_parameter("none", nn.Parameter(torch.zeros(0)))
    _, macs, parameters = calflops.calculate_flops(
        model, args=list(inputs), print_results=False, output_as_string=False
    )
    return macs, parameters


def _torchprofile(model: nn.Module, inputs: Inputs) -> Numbers:
    import torchprofile

    return cast(int, torchprofile.profile_macs(model, inputs)), None


def _torch_pruning(model: nn.Module, inputs: Inputs) -> Numbers:
    from torch_pruning.utils import count_ops_and_params

    macs, parameters = count_ops_and_params(_BatchOfOne(model), ([inputs],))
    return macs, parameters


def _flop_counter_mode(model: nn.Module, inputs: Inputs) -> Numbers:
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as mode:
        model(*inputs)
    return mode.get_total_flops() / 2, None


def _flop_counter_mode_without_gradients(model: nn.Module, inputs: Inputs) -> Numbers:
    with torch.no_grad():
        return _flop_counter_mode(model, inputs)


def _device(inputs: Inputs) -> torch.device:
    return next((value.device for value in inputs if isinstance(value, torch.Tensor)), torch.device("cpu"))


CALLS: dict[str, Callable[[nn.Module, Inputs], Numbers]] = {
    "thop": _thop,
    "fvcore": _fvcore,
    "ptflops-pytorch": _ptflops("pytorch"),
    "ptflops-aten": _ptflops("aten"),
    "torchinfo": _torchinfo,
    "calflops": _calflops,
    "torchprofile": _torchprofile,
    "torch-pruning": _torch_pruning,
    "FlopCounterMode": _flop_counter_mode,
    "FlopCounterMode, no_grad": _flop_counter_mode_without_gradients,
}
COUNTERS = {name: Counter(name, module, CALLS[name]) for name, module in MODULES.items()}
