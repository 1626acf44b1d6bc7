"""Networks by name, by function and by channel list: what is built, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision
from pydantic import TypeAdapter, ValidationError

from edgeai_repro.errors import UserError
from edgeai_repro.measure import counts
from edgeai_repro.networks import user_code
from edgeai_repro.networks.names import known_names
from edgeai_repro.networks.references import reference
from edgeai_repro.networks.resolve import Network, build
from edgeai_repro.networks.specs import Function, NamedSpec, NetworkSpec

SPEC: TypeAdapter[Any] = TypeAdapter(NamedSpec)
FULL = [64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512]
GAP = [32, 32, "M", 64, 64, "M", 128, 128, 128, "M", 256, 256, 256, "M", 512, 512, 512]
HRANK_VGG = [4, 32, "M", 64, 64, "M", 128, 128, 128, "M", 52, 52, 52, "M", 52, 103, 103]
HRANK_110 = ["10x18", "20x18", "39x18"]


def _on_meta(spec: NetworkSpec, *, classes: int = 1000, resolution: int = 224) -> Network:
    return build(spec, classes=classes, resolution=resolution, device="meta")


# Parameters and MACs in closed form, by others than this project.
@pytest.mark.parametrize(
    ("spec", "cifar", "expected"),
    [
        ({"family": "vgg", "channels": [*FULL, "M"]}, False, (138_357_544, 15_470_264_320)),
        ({"family": "vgg", "channels": [*GAP, "M"]}, False, (131_452_552, 4_791_205_888)),
        ({"family": "vgg", "channels": GAP, "head": "global_pooling"}, False, (8_322_696, 4_668_084_224)),
        ({"family": "resnet", "depth": 50}, False, (25_557_032, 4_089_184_256)),
        ({"family": "resnet", "depth": 152, "stride": "first"}, False, (60_192_808, 11_282_415_616)),
        (
            {"family": "resnet", "depth": 50, "stride": "first", "hidden": [32, 64, 128, 256]},
            False,
            (12_381_864, 1_706_426_368),
        ),
        (
            {"family": "resnet", "depth": 50, "hidden": ["64x3", "128x4", "256x6", "512x3"]},
            False,
            (25_557_032, 4_089_184_256),
        ),
        ({"family": "resnet_cifar", "depth": 56}, True, (853_018, 125_485_696)),
        (
            {"family": "resnet_cifar", "depth": 110, "hidden": HRANK_110, "outputs": HRANK_110, "cut": "hidden"},
            True,
            (1_061_422, 156_912_256),
        ),
        (
            {"family": "resnet_cifar", "depth": 110, "hidden": HRANK_110, "outputs": HRANK_110, "cut": "blocks"},
            True,
            (853_324, 126_896_896),
        ),
        (
            {"family": "resnet_cifar", "depth": 110, "hidden": HRANK_110, "outputs": HRANK_110, "first": 10},
            True,
            (853_150, 126_731_008),
        ),
        ({"family": "vgg_cifar", "channels": FULL}, True, (14_987_722, 313_463_808)),
        ({"family": "vgg_cifar", "channels": HRANK_VGG, "bias": True}, True, (764_081, 41_506_132)),
        (
            {"family": "torchvision", "name": "mobilenet_v2", "options": {"width_mult": 1.4}},
            False,
            (6_108_776, 582_195_824),
        ),
    ],
    ids=lambda value: "-".join(map(str, value.values()))[:40] if isinstance(value, dict) else "",
)
def test_family_has_the_published_counts(spec: dict[str, Any], cifar: bool, expected: tuple[int, int]) -> None:
    """Its channels, biases, strides and heads are those of the papers."""
    resolution, classes = (32, 10) if cifar else (224, 1000)
    network = _on_meta(SPEC.validate_python(spec), classes=classes, resolution=resolution)

    actual = counts.actual(network.model, resolution)

    assert (actual.parameters, actual.macs) == expected


@pytest.mark.parametrize("cut", ["hidden", "blocks", "all"])
def test_cut_resnet_runs(cut: str) -> None:
    """The outputs that are left are added into the whole shortcut."""
    spec = {
        "family": "resnet_cifar",
        "depth": 8,
        "hidden": [3, 5, 7],
        "outputs": [9, 11, 13],
        "first": 4,
        "cut": cut,
    }
    network = build(SPEC.validate_python(spec), classes=10)

    assert network.model(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


@pytest.mark.parametrize(("library", "listed"), [("torchvision", torchvision.models), ("timm", timm)])
def test_names_are_those_that_the_library_lists(library: Any, listed: Any) -> None:
    """They are read from its source files, which takes no import."""
    assert known_names(library) == set(listed.list_models())


@pytest.mark.parametrize(
    ("text", "family"),
    [
        ("vgg16", "torchvision"),
        ("vgg16_cifar", "vgg_cifar"),
        ("resnet56", "resnet_cifar"),
        ("resnet50", "torchvision"),
        ("timm:resnet50", "timm"),
        ("own.py:net", "function"),
    ],
)
def test_text_names_a_network(text: str, family: str) -> None:
    """CIFAR's VGG-16 has another name than ImageNet's."""
    assert reference(text).family == family


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        ({"family": "vgg", "channels": ["M", 64]}, "must begin with a number (got 'M' in entry 1)"),
        ({"family": "vgg_cifar", "channels": [64, "M"]}, "must not end with 'M' (got it in entry 2)"),
        ({"family": "vgg_cifar", "channels": [8, *(["M", 8] * 6)]}, "at most 5 'M' (got 6)"),
        ({"family": "resnet_cifar", "depth": 57}, "'depth' must be 6n + 2 (got 57)"),
        ({"family": "resnet_cifar", "depth": 56, "hidden": ["8x9"]}, "'hidden' must be 27 widths, one per block"),
        ({"family": "resnet_cifar", "depth": 8, "outputs": [16, 33, 64]}, "(got 33 for block 2, whose"),
        ({"family": "resnet_cifar", "depth": 8, "first": 17}, "'first' must be at most 16"),
        ({"family": "resnet", "depth": 50, "hidden": [8] * 5}, "or 16, one per block (got 5)"),
    ],
)  # fmt: skip
def test_list_that_does_not_fit_is_refused(spec: dict[str, Any], complaint: str) -> None:
    """The message names the list, and the entry if one is wrong."""
    with pytest.raises(ValidationError) as refused:
        SPEC.validate_python(spec)

    assert complaint in str(refused.value)


def _function(folder: Path, body: str) -> Function:
    file = folder / "own.py"
    file.write_text(f"from torch import nn\n\n\ndef net(classes):\n    {body}\n", encoding="utf-8")
    return Function(family="function", file=file, name="net")


def test_function_gets_the_classes_that_it_takes(tmp_path: Path) -> None:
    """The resolution, which it doesn't take, is not passed."""
    network = _on_meta(_function(tmp_path, "return nn.Linear(4, classes)"), classes=7, resolution=32)

    assert network.model.weight.shape == (7, 4)
    assert network.model.weight.is_meta
    assert network.inputs is None


def test_function_may_return_the_inputs_too(tmp_path: Path) -> None:
    """A network that takes no RGB image is counted with these."""
    body = "import torch; return nn.Linear(4, classes), (torch.zeros(1, 4),)"
    network = build(_function(tmp_path, body), classes=7)

    assert network.inputs is not None
    assert network.inputs[0].shape == (1, 4)


def test_function_that_fails_on_meta_is_built_on_the_cpu(tmp_path: Path) -> None:
    """Some code reads the values of its weights."""
    body = "layer = nn.Linear(4, classes); layer.weight.sum().item(); return layer"

    assert not _on_meta(_function(tmp_path, body)).model.weight.is_meta


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ("raise SystemExit(3)", r"own\.py:net must return a model when called with classes \(got SystemExit: 3\)"),
        ("raise KeyError('x')", r"own\.py:net must return a model when called with classes \(got KeyError"),
        ("return 3", r"own\.py:net must return an nn\.Module \(got int\)"),
        (
            "import urllib.request; urllib.request.urlopen('http://example.org')",
            r"own\.py:net must not download \(it opened a connection\); build the network with weights=None",
        ),
    ],
)
def test_function_that_fails_or_downloads_is_refused(tmp_path: Path, body: str, complaint: str) -> None:
    """The message is one line and names the file and the function."""
    with pytest.raises(UserError, match=complaint) as refused:
        _on_meta(_function(tmp_path, body))

    assert len(str(refused.value).splitlines()) == 1


def test_function_that_takes_too_long_is_stopped() -> None:
    """The message names it."""

    def spin() -> None:
        with user_code.limits("slow", 0.05):
            while True:
                pass

    with pytest.raises(user_code.LimitError, match=r"slow must return within 0\.05 s"):
        spin()


def test_options_that_the_library_refuses_are_named() -> None:
    """The library's own complaint stands in the line."""
    spec = SPEC.validate_python({"family": "torchvision", "name": "resnet18", "options": {"width_mult": 2}})

    with pytest.raises(UserError, match=r"'resnet18' must be a network that can be built .* 'width_mult'"):
        _on_meta(spec)
