"""The network that a text names: a library's name, a CIFAR network, or a function in a file. No torch."""

from __future__ import annotations

import re
from pathlib import Path

from edgeai_repro.errors import closest_name
from edgeai_repro.files import is_file
from edgeai_repro.networks.names import known_names
from edgeai_repro.networks.specs import VGG16, Function, NetworkSpec, ResNetCifar, Timm, Torchvision, VggCifar
from edgeai_repro.networks.variants import CIFAR_NETWORKS, CONVNEXT_VARIANTS, TIMM_PREFIX

FILE_AND_FUNCTION = re.compile(r"^(?P<file>.+\.py):(?P<function>\w+)$")


def reference(text: str, folder: Path = Path()) -> NetworkSpec:
    """Return the network that a text names; a file's path is relative to `folder`, any other name torchvision's."""
    if text in CIFAR_NETWORKS:
        depth = text.removeprefix("resnet")
        if depth == text:
            return VggCifar(family="vgg_cifar", channels=VGG16)
        return ResNetCifar(family="resnet_cifar", depth=int(depth))
    if text.startswith(TIMM_PREFIX):
        return Timm(family="timm", name=text.removeprefix(TIMM_PREFIX))
    if match := FILE_AND_FUNCTION.match(text):
        return Function(family="function", file=folder / match["file"], name=match["function"])
    return Torchvision(family="torchvision", name=text)


def unknown(spec: NetworkSpec) -> str | None:
    """Return what is wrong with the name or the file of a network, None if nothing is."""
    if isinstance(spec, Function):
        return None if is_file(spec.file) else f"{spec.file}: no such file; check the path"
    if isinstance(spec, Torchvision) and spec.name not in CONVNEXT_VARIANTS:
        names = known_names("torchvision")
        if names is not None and spec.name not in names:
            return _not_known(spec.name, names | CONVNEXT_VARIANTS.keys() | set(CIFAR_NETWORKS))
    if isinstance(spec, Timm):
        names = known_names("timm")
        if names is not None and spec.name.partition(".")[0] not in names:
            return _not_known(spec.name, names, TIMM_PREFIX)
    return None


def _not_known(name: str, names: frozenset[str], prefix: str = "") -> str:
    close = closest_name(name, names)
    if close:
        return f"did you mean {prefix + close!r}?"
    return "write a torchvision name, timm:NAME or FILE.py:FUNCTION, or define the network under 'networks'"
