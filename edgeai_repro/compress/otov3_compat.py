"""Runs the library `only_train_once` 3.0.1 (OTOv3) on current torch. Every patch is undone afterwards.

The library needs, as observed on torch 2.10 to 2.15:

- `torch.onnx._globals` and `torch.onnx._optimize_graph`, which moved with the TorchScript exporter;
- the module `imp`, which Python 3.12 removed; the library imports it, but does not use it;
- its own folder on `sys.path`, so that it can import `graph` and `operation` as top-level modules. It appends the
  folder itself, which is too late for users who have modules of these names;
- the ONNX opset 16, under which GELU is exported as operators that its dependency graph knows;
- a place for its output, and a caller that restores train mode, because it leaves the model in `eval()`.

Two more faults are handled by `hesso.Hesso`: `identify_redundant_groups` calls `.cuda()`, and the library's step
updates the parameters of LayerNorm twice.
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
_EXPORTER_PACKAGES = ("torch.onnx._internal.torchscript_exporter", "torch.onnx")  # torch 2.9 and later, earlier
_TOP_LEVEL = ("graph", "operation", "imp")  # modules that the library imports from outside of its package


def _exporter() -> tuple[Any, Any]:
    """Return `GLOBALS` and `_optimize_graph` of the TorchScript exporter."""
    for package in _EXPORTER_PACKAGES:
        try:
            shared = importlib.import_module(f"{package}._globals")
            utils = importlib.import_module(f"{package}.utils")
            return shared.GLOBALS, utils._optimize_graph
        except (ImportError, AttributeError):
            continue
    raise ImportError(
        f"only_train_once 3.0.1 needs torch's TorchScript exporter (got torch {torch.__version__} without it); "
        "install torch>=2.10,<2.16"
    )


@contextlib.contextmanager
def patched_torch() -> Iterator[None]:
    """Patch torch as the library needs it and send its output to the log. Undo the patches afterwards."""
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
    """Make the library's import statements work. Restore `sys.path` and `sys.modules` afterwards."""
    spec = importlib.util.find_spec("only_train_once")
    if spec is None or not spec.submodule_search_locations:
        raise ImportError("structured pruning needs only_train_once 3.0.1; pip install 'edgeai-repro[torch]'")
    path = list(sys.path)
    users_modules = {name: sys.modules.pop(name) for name in list(sys.modules) if _is_library_module(name)}
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
        sys.modules.update(users_modules)


def _load() -> tuple[Any, Any]:
    with patched_torch(), _importable():
        library = importlib.import_module("only_train_once")
        return library.OTO, importlib.import_module("only_train_once.optimizer").HESSO


OTO, HESSO = _load()


def trace_graph(model: nn.Module, images: Tensor) -> Any:
    """Return the library's `OTO` of `model`, traced with `images` (N, 3, H, W). Each module keeps its mode.

    Raises UserError for a model that the library or torch can't trace.
    """
    modes = {module: module.training for module in model.modules()}
    try:
        with patched_torch():
            return OTO(model, images)
    except Exception as error:  # the library and torch raise errors of many types, even AssertionError
        cause = f"{type(error).__name__}: {error}".splitlines()[0]
        raise UserError(
            f"'model' must be one that only_train_once can trace on images of {tuple(images.shape)} (got {cause}); "
            "build it with networks.convnext.build()"
        ) from error
    finally:
        for module, mode in modes.items():
            module.training = mode


def prunable_groups(oto: Any) -> list[dict[str, Any]]:
    """Return new copies of the library's prunable parameter groups, in its own order."""
    return [group for group in oto._graph.get_param_groups() if group["is_prunable"] and not group["is_auxiliary"]]


def make_planner(oto: Any, **settings: Any) -> Any:
    """Return the library's HESSO over the prunable groups. Use its plan and its scores; do not call `step()`."""
    with patched_torch():
        return HESSO(params=prunable_groups(oto), variant="adamw", **settings)
