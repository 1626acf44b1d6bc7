"""The library `only_train_once` 3.0.1 (OTOv3) on today's torch: every mend that it needs, and none that stays.

What it needs, as observed on torch 2.10 to 2.15:

- `torch.onnx._globals` and `torch.onnx._optimize_graph`, which moved with the TorchScript exporter;
- the module `imp`, gone in Python 3.12, deprecated before, and never used by it;
- its own folder on `sys.path`, for `graph` and `operation` as top-level modules (it appends the folder itself,
  which is too late where a user has modules of these names);
- the ONNX opset 16, under which GELU falls into operators that its dependency graph knows;
- somebody who takes care of its printing, and of the `eval()` that it leaves the model in.

Two more of its faults are met elsewhere: `identify_redundant_groups` calls `.cuda()` and LayerNorm parameters are
updated twice a step, so `hesso.Hesso` does both itself.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import logging
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from edgeai_repro.errors import UserError

_LOG = logging.getLogger(__name__)
_OPSET = 16
_EXPORTER_HOMES = ("torch.onnx._internal.torchscript_exporter", "torch.onnx")  # from 2.9 on, before
_TOP_LEVEL = ("graph", "operation", "imp")  # what the library imports under names that are not its own


def _exporter() -> tuple[Any, Any]:
    """Return the TorchScript exporter's `GLOBALS` and its `_optimize_graph`, wherever this torch keeps them."""
    for home in _EXPORTER_HOMES:
        try:
            shared = importlib.import_module(f"{home}._globals")
            utils = importlib.import_module(f"{home}.utils")
            return shared.GLOBALS, utils._optimize_graph
        except (ImportError, AttributeError):
            continue
    raise ImportError(
        f"only_train_once 3.0.1 needs torch's TorchScript exporter (got torch {torch.__version__} without it); "
        "install torch>=2.10,<2.16"
    )


@contextlib.contextmanager
def patched_torch() -> Iterator[None]:
    """Give the library the torch that it expects and a place to print to (the log); put all back afterwards."""
    shared, optimize_graph = _exporter()
    opset, before = shared.export_onnx_opset_version, vars(torch.onnx).get("_optimize_graph")
    torch.onnx._optimize_graph = optimize_graph  # type: ignore[attr-defined]
    shared.export_onnx_opset_version = _OPSET
    try:
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            yield
    finally:
        shared.export_onnx_opset_version = opset
        if before is None:
            del torch.onnx._optimize_graph  # type: ignore[attr-defined]
        else:
            torch.onnx._optimize_graph = before  # type: ignore[attr-defined]
        for line in printed.getvalue().splitlines():
            _LOG.debug("only_train_once: %s", line)


def _is_library_module(name: str) -> bool:
    return name.split(".")[0] in _TOP_LEVEL or name == "torch.onnx._globals"


@contextlib.contextmanager
def _importable() -> Iterator[None]:
    """Let the library's import statements find what they name; put `sys.path` and `sys.modules` back afterwards."""
    spec = importlib.util.find_spec("only_train_once")
    if spec is None or not spec.submodule_search_locations:
        raise ImportError("structured pruning needs only_train_once 3.0.1; pip install 'edgeai-repro[torch]'")
    path = list(sys.path)
    theirs = {name: sys.modules.pop(name) for name in list(sys.modules) if _is_library_module(name)}
    shared = ModuleType("torch.onnx._globals")
    shared.GLOBALS = _exporter()[0]  # type: ignore[attr-defined]
    sys.modules |= {"torch.onnx._globals": shared, "imp": ModuleType("imp")}
    sys.path[:0] = spec.submodule_search_locations
    try:
        yield
    finally:
        sys.path[:] = path
        for name in [name for name in sys.modules if _is_library_module(name)]:
            del sys.modules[name]
        sys.modules.update(theirs)


def _load() -> tuple[Any, Any]:
    with patched_torch(), _importable():
        library = importlib.import_module("only_train_once")
        return library.OTO, importlib.import_module("only_train_once.optimizer").HESSO


OTO, HESSO = _load()


def trace_graph(model: nn.Module, images: Tensor) -> Any:
    """Return the library's `OTO` over `model`, traced with `images` (N, 3, H, W); each module keeps its mode.

    Raises UserError for a model that the library or torch's tracer can't follow.
    """
    modes = {module: module.training for module in model.modules()}
    try:
        with patched_torch():
            return OTO(model, images)
    except Exception as error:  # the two of them raise almost anything, bare ValueErrors and assertions included
        cause = f"{type(error).__name__}: {error}".splitlines()[0]
        raise UserError(
            f"'model' must be one that only_train_once can trace on images of {tuple(images.shape)} (got {cause}); "
            "build it with models.build()"
        ) from error
    finally:
        for module, mode in modes.items():
            module.training = mode


def prunable_groups(oto: Any) -> list[dict[str, Any]]:
    """Return the library's parameter groups that may be pruned, made anew, in its own order."""
    return [group for group in oto._graph.get_param_groups() if group["is_prunable"] and not group["is_auxiliary"]]


def make_planner(oto: Any, **settings: Any) -> Any:
    """Return the library's own HESSO over the prunable groups: for its plan and its scores, not to be stepped."""
    with patched_torch():
        return HESSO(params=prunable_groups(oto), variant="adamw", **settings)
