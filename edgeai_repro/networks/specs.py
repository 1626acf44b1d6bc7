"""What a claims file, the command line or a plan says of a network: a name, a function in a file, or a family.

Each family has a list of channels. `reference` reads a text; `networks/resolve.py` builds what comes out. No torch.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, FiniteFloat, PositiveInt, model_validator

POOL = "M"  # a 2 × 2 max pooling in a list of channels
_REPEATED = re.compile(r"([1-9][0-9]{0,9})x([1-9][0-9]{0,9})")
LONGEST_LIST = 10_000  # entries of a list of channels; ResNet-1001 has 500 blocks
Option = bool | int | FiniteFloat | str
Width = Annotated[int, Field(gt=0, le=2**16)]  # no layer is wider, and no data set has more classes
Side = Annotated[int, Field(gt=0, le=2**13)]
# Arguments with which a library downloads or reads a file. A network is built with random weights.
LOADING = ("pretrained", "weights", "weights_backbone", "checkpoint_path", "pretrained_cfg", "cache_dir")


def _unfold(value: Any) -> Any:
    """Replace each `8x17` in a list by seventeen times 8."""
    if not isinstance(value, list | tuple):
        return value
    unfolded: list[Any] = []
    for entry in value:
        repeated = _REPEATED.fullmatch(entry) if isinstance(entry, str) else None
        times = min(int(repeated[2]), LONGEST_LIST + 1) if repeated else 1
        unfolded += [int(repeated[1])] * times if repeated else [entry]
        if len(unfolded) > LONGEST_LIST:
            raise ValueError(f"a list must have at most {LONGEST_LIST:,} entries (got more); shorten it")
    return unfolded


Widths = Annotated[
    tuple[Width, ...],
    BeforeValidator(_unfold, json_schema_input_type=list[PositiveInt | str]),
]
Channels = Annotated[
    tuple[Width | Literal["M"], ...],
    Field(min_length=1),
    BeforeValidator(_unfold, json_schema_input_type=list[PositiveInt | str]),
]


class Spec(BaseModel):
    """The base of all descriptions of a network: frozen, and strict about their keys.

    A network that always has the same number of classes or the same image says so; else a claim's conditions do.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)  # built when it is first used

    classes: Width | None = Field(None, description="instead of the claim's condition")
    resolution: Side | None = Field(None, description="instead of the claim's condition, in pixels")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if problems := list(self.problems()):
            raise ValueError("\n".join(problems))
        return self

    def problems(self) -> Iterator[str]:
        """Yield every mistake that takes more than one key to see."""
        return iter(())

    @property
    def key(self) -> str:
        """A text that is equal for equal networks, whatever they are called, with any classes and images."""
        return self.model_dump_json(exclude_defaults=True, exclude={"classes", "resolution"})


class Torchvision(Spec):
    """A network of torchvision, or a ConvNeXt of `networks/variants.py`, by name."""

    family: Literal["torchvision"]
    name: str
    options: dict[str, Option] = Field({}, description="arguments of its function, such as width_mult")

    def problems(self) -> Iterator[str]:
        """Yield the options that would load weights."""
        yield from _loading_problems(self.options)


class Timm(Spec):
    """A network of timm, by name."""

    family: Literal["timm"]
    name: str
    options: dict[str, Option] = Field({}, description="arguments of timm.create_model")

    def problems(self) -> Iterator[str]:
        """Yield the options that would load weights."""
        yield from _loading_problems(self.options)


class Function(Spec):
    """A function of a Python file that returns the network, or the network and the tuple of its example inputs.

    It is given those of `classes` and `resolution` that it takes as arguments.
    """

    family: Literal["function"]
    file: Path
    name: str


class VggCifar(Spec):
    """A VGG with BatchNorm for 32 × 32 pixels: convolutions, one average pooling, two Linear layers."""

    family: Literal["vgg_cifar"]
    channels: Channels
    bias: bool = Field(False, description="whether convolutions have biases")
    hidden: Width = Field(512, description="width between the two Linear layers")

    def problems(self) -> Iterator[str]:
        """Yield a list of channels that the image does not allow."""
        yield from _pooling_problems(self.channels, most=5, last=False)


class Vgg(Spec):
    """A VGG for ImageNet, without BatchNorm: torchvision's three Linear layers, or global pooling and one."""

    family: Literal["vgg"]
    channels: Channels
    head: Literal["linear", "global_pooling"] = "linear"

    def problems(self) -> Iterator[str]:
        """Yield a list of channels that the image does not allow."""
        yield from _pooling_problems(self.channels, most=5, last=True)


class ResNetCifar(Spec):
    """A ResNet of 6n + 2 layers for 32 × 32 pixels, with zero-padded shortcuts of 16, 32 and 64 channels.

    `hidden` and `outputs` are the filters of the first and the second convolution of each block, `first` those of
    the first layer; without them nothing is cut. A shortcut keeps all its channels: the outputs that are left are
    added into it. `cut` is where the lists apply: to the `hidden` widths only, to the `blocks`, or to `all` layers;
    a paper's own way to count may use the other lists, too.
    """

    family: Literal["resnet_cifar"]
    depth: Annotated[int, Field(gt=0, le=LONGEST_LIST)]
    hidden: Widths | None = None
    outputs: Widths | None = None
    first: Width = 16
    cut: Literal["hidden", "blocks", "all"] = "all"

    def problems(self) -> Iterator[str]:
        """Yield a wrong depth, and lists that don't fit."""
        if self.depth < 8 or self.depth % 6 != 2:
            yield f"'depth' must be 6n + 2 (got {self.depth}); 20, 56 and 110 are"
            return
        full = self.stages
        for name, widths in (("hidden", self.hidden), ("outputs", self.outputs)):
            if widths is not None:
                yield from _width_problems(name, widths, len(full), f"block of the {self.depth} layers")
        pairs = enumerate(zip(self.outputs or (), full, strict=False), 1)
        for block, (width, most) in [entry for entry in pairs if entry[1][0] > entry[1][1]][:1]:
            yield (
                f"'outputs' must be at most the width of the shortcut (got {width} for block {block}, whose "
                f"shortcut has {most}); correct that entry"
            )
        if self.first > full[0]:
            yield f"'first' must be at most {full[0]}, the shortcut's width (got {self.first}); correct it"

    @property
    def stages(self) -> tuple[int, ...]:
        """The width of each block if nothing is cut."""
        return tuple(width for width in (16, 32, 64) for _ in range((self.depth - 2) // 6))


class ResNet(Spec):
    """A ResNet of bottleneck blocks for ImageNet.

    `hidden` are the inner widths of the four stages, or of each block. `stride` is the convolution that halves the
    resolution: the `first`, 1 × 1, as published in 2015, or the `second`, 3 × 3, as in torchvision ("v1.5").
    """

    family: Literal["resnet"]
    depth: Literal[50, 101, 152]
    hidden: Widths | None = None
    stride: Literal["first", "second"] = "second"

    def problems(self) -> Iterator[str]:
        """Yield a list of widths that doesn't fit."""
        blocks = sum(BOTTLENECKS[self.depth])
        if self.hidden is not None and len(self.hidden) not in (4, blocks):
            yield (
                f"'hidden' must be 4 widths, one per stage, or {blocks}, one per block (got {len(self.hidden)}); "
                "give all of them"
            )


BOTTLENECKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}  # blocks of each stage


class Alternatives(Spec):
    """Several networks under one name. A condition of the claim, such as `stride`, selects one of them."""

    family: Literal["alternatives"]
    by: str = Field(description="the condition that selects one")
    of: dict[str, str] = Field(min_length=2, description="the network for each value of the condition, by name")


class NetworkSet(Spec):
    """Several networks that a metric ranks together, such as their times. It makes one row of a claim."""

    family: Literal["set"]
    of: list[str] = Field(min_length=3, description="the networks, by name")


NetworkSpec = Torchvision | Timm | Function | VggCifar | Vgg | ResNetCifar | ResNet
NamedSpec = Annotated[NetworkSpec | Alternatives | NetworkSet, Field(discriminator="family")]


VGG16: tuple[int | str, ...] = (
    *(64, 64, POOL),
    *(128, 128, POOL),
    *(256, 256, 256, POOL),
    *(512, 512, 512, POOL),
    *(512, 512, 512),
)


def _loading_problems(options: dict[str, Option]) -> Iterator[str]:
    for name in options:
        if name.startswith(LOADING):
            yield f"'options' must not load weights (got {name!r}); remove it"


def _pooling_problems(channels: tuple[int | str, ...], *, most: int, last: bool) -> Iterator[str]:
    if channels.count(POOL) > most:
        yield f"'channels' must have at most {most} {POOL!r} (got {channels.count(POOL)}); remove some"
    if channels[0] == POOL:
        yield f"'channels' must begin with a number (got {POOL!r} in entry 1); correct that entry"
    if not last and channels[-1] == POOL:
        yield (
            f"'channels' must not end with {POOL!r} (got it in entry {len(channels)}); the average pooling at the "
            "end is built in"
        )


def _width_problems(name: str, widths: tuple[int, ...], wanted: int, of: str) -> Iterator[str]:
    if len(widths) != wanted:
        yield f"{name!r} must be {wanted} widths, one per {of} (got {len(widths)}); give each its own"
