"""ResNets for CIFAR-10 with 6n + 2 layers and parameter-free shortcuts (He et al. 2016, section 4.2).

Each shortcut that changes the shape takes every second pixel and pads the channels with zeros ("option A").
The names of the parameters are those of akamaster/pytorch_resnet_cifar10, so that its checkpoints load as they are.
Original here: a block's hidden width is a value of its own, because filter pruning cuts only inside of a block.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from edgeai_repro.errors import UserError
from edgeai_repro.networks.initial import with_weights

STAGES = (16, 32, 64)  # channels of the three stages
DEPTHS = {"resnet20": 20, "resnet32": 32, "resnet44": 44, "resnet56": 56, "resnet110": 110}


class Block(nn.Module):
    """Two 3 × 3 convolutions and a shortcut: (N, inputs, H, W) to (N, outputs, H / stride, W / stride).

    With `added` below `outputs`, the second convolution has that many filters. Their results are added to the first
    channels of the shortcut, which keeps all of its own.
    """

    def __init__(self, inputs: int, hidden: int, outputs: int, stride: int, added: int | None = None) -> None:
        super().__init__()
        added = outputs if added is None else added
        self.conv1 = nn.Conv2d(inputs, hidden, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(hidden)
        self.conv2 = nn.Conv2d(hidden, added, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(added)
        self.stride = stride
        self.padding = (outputs - inputs) // 2
        self.missing = outputs - added

    def forward(self, images: Tensor) -> Tensor:
        """Return the block's output."""
        hidden = functional.relu(self.bn1(self.conv1(images)))
        added = pad_channels(self.bn2(self.conv2(hidden)), 0, self.missing)
        return functional.relu(added + self.shortcut(images))

    def shortcut(self, images: Tensor) -> Tensor:
        """Return the input in the shape of the output."""
        if self.stride == 1 and not self.padding:
            return images
        thinned = images[:, :, :: self.stride, :: self.stride]
        return pad_channels(thinned, self.padding, self.padding)


def pad_channels(images: Tensor, before: int, after: int) -> Tensor:
    """Return images (N, C, H, W) with channels of zeros before and after theirs."""
    return functional.pad(images, (0, 0, 0, 0, before, after)) if before or after else images


class ResNetCifar(nn.Module):
    """The network: (N, 3, 32, 32) to (N, classes) logits.

    `hidden_widths` are the filters of the first convolution of each block, `added` those of the second and `first`
    those of the first layer (None: as many as the shortcut has channels).
    """

    def __init__(
        self,
        hidden_widths: Sequence[int],
        classes: int,
        *,
        added: Sequence[int] | None = None,
        first: int | None = None,
    ) -> None:
        super().__init__()
        per_stage = len(hidden_widths) // len(STAGES)
        first = STAGES[0] if first is None else first
        self.conv1 = nn.Conv2d(3, first, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(first)
        self.missing = STAGES[0] - first
        remaining, inputs = iter(hidden_widths), STAGES[0]
        unpruned = [width for width in STAGES for _ in range(per_stage)]
        remaining_added = iter(unpruned if added is None else added)
        for number, outputs in enumerate(STAGES, 1):
            blocks = []
            for index in range(per_stage):
                stride = 2 if number > 1 and index == 0 else 1
                blocks.append(Block(inputs, next(remaining), outputs, stride, next(remaining_added)))
                inputs = outputs
            setattr(self, f"layer{number}", nn.Sequential(*blocks))
        self.linear = nn.Linear(STAGES[-1], classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits."""
        features = pad_channels(functional.relu(self.bn1(self.conv1(images))), 0, self.missing)
        for number in range(1, len(STAGES) + 1):
            features = getattr(self, f"layer{number}")(features)
        logits: Tensor = self.linear(features.mean((2, 3)))
        return logits

    @property
    def hidden_widths(self) -> tuple[int, ...]:
        """The hidden width of each block, in the order of execution."""
        return tuple(module.conv1.out_channels for module in self.modules() if isinstance(module, Block))


def unpruned_widths(depth: int) -> tuple[int, ...]:
    """Return the hidden width of each block of an unpruned ResNet. Raises UserError unless depth is 6n + 2."""
    if depth < 8 or depth % 6 != 2:
        raise UserError(f"'depth' must be 6n + 2 (got {depth}); 20, 56 and 110 are")
    return tuple(width for width in STAGES for _ in range((depth - 2) // 6))


def resnet_cifar(
    depth: int, *, hidden_widths: Sequence[int] | None = None, classes: int = 10, seed: int | None = 0
) -> ResNetCifar:
    """Build a ResNet of `depth` layers in eval mode, with one hidden width per block if it is pruned.

    The weights are drawn under `seed`; with None they are left uninitialised, for a `state_dict` to fill. Raises
    UserError for a depth that is not 6n + 2 and for another number of hidden widths than blocks.
    """
    unpruned = unpruned_widths(depth)
    widths = unpruned if hidden_widths is None else tuple(hidden_widths)
    if len(widths) != len(unpruned) or min(widths) < 1:
        raise UserError(
            f"'hidden_widths' must be {len(unpruned)} positive numbers, one per block (got {list(widths)}); "
            "give each block its own"
        )
    return with_weights(lambda: ResNetCifar(widths, classes), seed)
