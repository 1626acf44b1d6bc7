"""All networks of torchvision and timm, with random weights and inputs, and torch's own count of their products."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

Inputs = tuple[Any, ...]
LARGEST_ON_CPU = 5e8  # parameters of a network that is built with values; 2 GB in fp32
FRAMES = 16  # of a video
DETECTION_SIDE = 128  # pixels; boxes depend on the values, so detectors run on the CPU, where pixels cost time
BOXES = 10  # per image that a detector looks at more closely; each costs hundreds of MMACs
SIDES = {"inception": 299, "raft": 128, "r3d": 112, "mc3": 112, "r2plus1d": 112}  # pixels, by the name's beginning
SIDE = 224


@dataclass(frozen=True)
class Network:
    """A network's name in its library, `torchvision` or `timm`, and the module that defines it there."""

    library: str
    name: str
    family: str

    @property
    def id(self) -> str:
        """The name among all libraries, `timm:resnet50`."""
        return f"{self.library}:{self.name}"

    @property
    def quantized(self) -> bool:
        """True for torchvision's int8 networks."""
        return self.name.startswith("quantized_")


@dataclass(frozen=True)
class Built:
    """A network in eval mode with example inputs; all are on the meta device if the network runs there."""

    model: nn.Module
    inputs: Inputs


def networks() -> list[Network]:
    """Return every network of torchvision, then every architecture of timm."""
    import timm  # here, because the import takes seconds
    from torchvision import models

    return [
        *(
            Network(
                "torchvision", name, models.get_model_builder(name).__module__.removeprefix("torchvision.models.")
            )
            for name in models.list_models()
        ),
        *(
            Network("timm", name, family)
            for family in timm.list_modules()
            for name in timm.list_models(module=family)
        ),
    ]


def candidates(network: Network) -> Iterator[Built]:
    """Yield a network on the meta device, then on the CPU, for networks that do not run on meta.

    Raises ValueError instead of building a network with values that has more than `LARGEST_ON_CPU` parameters.
    """
    size = 0
    if not network.quantized and "detection" not in network.family:
        for build in (_on_meta, _moved_to_meta):
            try:
                built = build(network)
            except Exception:  # a constructor may compute with values
                continue
            size = sum(parameter.numel() for parameter in built.model.parameters())
            yield built
    if size > LARGEST_ON_CPU:
        raise ValueError(f"{size / 1e9:.1f} G parameters are too many to run with values")
    yield on_cpu(network)


def first_that_runs(network: Network) -> tuple[Built, Reference]:
    """Return the first candidate that torch can count, and its count. Raises whatever the last one raises."""
    problem: Exception = ValueError("can't be built on the meta device")
    for built in candidates(network):
        try:
            return built, reference(built)
        except Exception as error:  # whatever a network does that needs values
            problem = error
    raise problem


def on_cpu(network: Network, **options: Any) -> Built:
    """Return a network with values under a fixed seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = _create(network, **options)
        return Built(model, _inputs(network, model))


def fused_float_original(network: Network) -> Built:
    """Return the float network that an int8 one was made from, its norms folded into the convolutions, on meta."""
    with torch.device("meta"):
        model: Any = _create(network, quantize=False)
        model.fuse_model(is_qat=False)
        return Built(model, _inputs(network, model))


@dataclass(frozen=True)
class Reference:
    """What torch says of a network: MACs of its inputs by operator, and the values in `parameters()`."""

    by_operator: dict[str, int]
    parameters: int

    @property
    def macs(self) -> int:
        """The sum over all operators."""
        return sum(self.by_operator.values())


def reference(built: Built) -> Reference:
    """Count with torch's FlopCounterMode, which counts two operations per MAC.

    torch's fused transformer operator is switched off, because the mode has no formula for it (torch 2.15).
    """
    with FlopCounterMode(display=False) as counter, torch.no_grad(), _fast_path_off():
        built.model(*built.inputs)
    operations = counter.get_flop_counts().get("Global", {})
    parameters = sum(parameter.numel() for parameter in built.model.parameters())
    return Reference({str(operator): count // 2 for operator, count in operations.items()}, parameters)


@contextmanager
def _fast_path_off() -> Iterator[None]:
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def _on_meta(network: Network) -> Built:
    with torch.device("meta"):
        model = _create(network)
        return Built(model, _inputs(network, model))


def _moved_to_meta(network: Network) -> Built:
    """Build with values for all but the parameters, for constructors that compute; then drop all values."""
    with _parameters_stay_on_meta():
        model = _create(network)
        inputs = _inputs(network, model)
    return Built(model.to("meta"), _to_meta(inputs))


@contextmanager
def _parameters_stay_on_meta() -> Iterator[None]:
    """Drop the values of each parameter when a module takes it; that saves the time of initializing them."""
    register = nn.Module.register_parameter

    def drop_values(self: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        if parameter is not None and not parameter.is_meta:
            parameter = nn.Parameter(parameter.to("meta"), parameter.requires_grad)
        register(self, name, parameter)

    nn.Module.register_parameter = drop_values  # type: ignore[method-assign]
    try:
        yield
    finally:
        nn.Module.register_parameter = register  # type: ignore[method-assign]


def _to_meta(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.to("meta")
    return type(value)(map(_to_meta, value)) if isinstance(value, tuple | list) else value


def _create(network: Network, **options: Any) -> nn.Module:
    if network.library == "timm":
        import timm

        model: nn.Module = timm.create_model(network.name, pretrained=False, **options)
        return model.eval().requires_grad_(False)
    from torchvision import models

    settings: dict[str, Any] = {"weights": None, **options}
    if network.family.startswith(("detection", "segmentation")):
        settings["weights_backbone"] = None
    if network.family.startswith("detection") and "ssd" not in network.name:
        settings |= {"min_size": DETECTION_SIDE, "max_size": DETECTION_SIDE}
    if "rcnn" in network.name:
        settings |= {"rpn_post_nms_top_n_test": BOXES, "box_detections_per_img": BOXES}
    if "googlenet" in network.name or "inception" in network.name:
        settings["init_weights"] = False  # it takes a minute
    if network.quantized:
        settings.setdefault("quantize", True)
    return models.get_model(network.name, **settings).eval().requires_grad_(False)


def _inputs(network: Network, model: nn.Module) -> Inputs:
    if network.library == "timm":
        size = tuple(getattr(model, "pretrained_cfg", {}).get("input_size") or (3, SIDE, SIDE))
        return (torch.rand(1, *size),)
    name = network.name.removeprefix("quantized_")
    side = next((side for prefix, side in SIDES.items() if name.startswith(prefix)), SIDE)
    if network.family.startswith("detection"):
        return ([torch.rand(3, DETECTION_SIDE, DETECTION_SIDE)],)
    if network.family.startswith("video"):
        return (torch.rand(1, 3, FRAMES, side, side),)
    if network.family.startswith("optical_flow"):
        return torch.rand(1, 3, side, side), torch.rand(1, 3, side, side)
    return (torch.rand(1, 3, side, side),)
