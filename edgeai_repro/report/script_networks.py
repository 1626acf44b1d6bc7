"""Writes the networks of a claim as Python source in plain torch, for `report/script.py`. No torch here.

Only literals come from the claims file: whatever it says, no text of it becomes code.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from pathlib import Path

from edgeai_repro.claims.schema import Paper
from edgeai_repro.evidence.measurement import Setting, Settings
from edgeai_repro.networks.specs import (
    Alternatives,
    Function,
    NetworkSpec,
    ResNet,
    ResNetCifar,
    Timm,
    Torchvision,
    Vgg,
    VggCifar,
)
from edgeai_repro.report.literals import lines, literal

HALF = 72  # columns of a list or a call in the middle of a line
SHORT_RUN = 3  # of equal entries of a list, written out
UNCUT = 16  # channels of the first layer of a ResNet for CIFAR


def single_name(paper: Paper, name: str, conditions: Settings) -> str:
    """Return the name of the network that a name stands for under some conditions."""
    spec = paper.networks.get(name)
    return spec.of[str(conditions[spec.by])] if isinstance(spec, Alternatives) else name


def own_build(networks: Mapping[str, NetworkSpec], classes: Setting) -> str:
    """Return the source of `build(name)`, which makes each of some networks with so many classes."""
    calls = {name: _expression(spec, classes) for name, spec in networks.items()}
    entries = [f"        {literal(name)}: lambda: {call}," for name, call in calls.items()]
    return "\n".join(
        ["def build(name):", "    networks = {", *entries, "    }", "    return networks[name]().eval()", ""]
    )


def _expression(spec: NetworkSpec, classes: Setting) -> str:
    """Return the call that builds a network, of torchvision, timm or a helper under `scripts/`."""
    match spec:
        case Torchvision() | Timm():
            maker = "timm.create_model" if isinstance(spec, Timm) else "torchvision.models.get_model"
            options = f", **{literal(dict(spec.options))}" if spec.options else ""
            return f"{maker}({literal(spec.name)}, num_classes={literal(classes)}{options})"
        case Function():
            return _call("from_file", str(_from_here(spec.file)), spec.name, {"classes": classes})
        case VggCifar():
            return _call("vgg_cifar", list(spec.channels), spec.bias, spec.hidden)
        case Vgg():
            return _call("vgg", list(spec.channels), spec.head)
        case ResNet():
            return _call("resnet", spec.depth, list(spec.hidden or ()), spec.stride)
        case ResNetCifar():
            outputs = () if spec.cut == "hidden" else spec.outputs or ()
            first = spec.first if spec.cut == "all" else UNCUT
            return _call("resnet_cifar", spec.depth, list(spec.hidden or ()), list(outputs), first)
    raise TypeError(f"a network's family must be one of networks/specs.py (got {spec.family!r})")


def _call(function: str, *arguments: object) -> str:
    written = [_runs(one) if isinstance(one, list) else literal(one) for one in arguments]
    return f"{function}{lines(written, '()', HALF)}"


def _runs(entries: list[object]) -> str:
    """Return a list as Python source, with `*[8] * 17` for seventeen times 8."""
    parts = []
    for entry, equal in groupby(entries):
        count = len(list(equal))
        parts += [f"*[{literal(entry)}] * {count}"] if count > SHORT_RUN else [literal(entry)] * count
    return lines(parts, "[]", HALF)


def _from_here(file: Path) -> Path:
    """Return the path of a file from the current folder, as somebody who runs the script would write it."""
    here, whole = Path.cwd(), file.absolute()
    return whole.relative_to(here) if whole.is_relative_to(here) else whole
