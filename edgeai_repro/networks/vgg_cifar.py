"""VGG-16 for CIFAR-10 as Li et al. 2017 train it (*Pruning Filters for Efficient ConvNets*, Table 2).

3 × 3 convolutions without bias (other papers' have one), BatchNorm after each, four max poolings, one average
pooling to 1 × 1 at the end, and two Linear layers with BatchNorm between them. A network is given by its list of
channels: a number is a convolution, "M" a max pooling.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from edgeai_repro.errors import UserError
from edgeai_repro.networks.initial import with_weights
from edgeai_repro.networks.specs import POOL, VGG16
from edgeai_repro.networks.variants import CIFAR_SIDE

CLASSIFIER_WIDTH = 512


class VggCifar(nn.Module):
    """The network: (N, 3, 32, 32) to (N, classes) logits."""

    def __init__(
        self,
        channels: Sequence[int | str],
        classes: int,
        *,
        bias: bool = False,
        hidden: int = CLASSIFIER_WIDTH,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 3
        for outputs in channels:
            if isinstance(outputs, str):
                layers.append(nn.MaxPool2d(2))
            else:
                layers += [nn.Conv2d(inputs, outputs, 3, 1, 1, bias=bias), nn.BatchNorm2d(outputs), nn.ReLU(True)]
                inputs = outputs
        self.features = nn.Sequential(*layers)
        self.pool = nn.AvgPool2d(CIFAR_SIDE // 2 ** list(channels).count(POOL))
        self.classifier = nn.Sequential(
            nn.Linear(inputs, hidden),
            nn.BatchNorm1d(hidden),
            nn.ReLU(True),
            nn.Linear(hidden, classes),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits."""
        logits: Tensor = self.classifier(self.pool(self.features(images)).flatten(1))
        return logits

    @property
    def channels(self) -> tuple[int | str, ...]:
        """The list of channels that the network is given by."""
        return tuple(
            layer.out_channels if isinstance(layer, nn.Conv2d) else POOL
            for layer in self.features
            if isinstance(layer, nn.Conv2d | nn.MaxPool2d)
        )


def vgg_cifar(channels: Sequence[int | str] = VGG16, *, classes: int = 10, seed: int | None = 0) -> VggCifar:
    """Build the VGG of a list of channels in eval mode.

    The weights are drawn under `seed`; with None they are left uninitialised, for a `state_dict` to fill. Raises
    UserError for an entry that is neither a positive number nor "M", and for more poolings than the image allows.
    """
    for entry in channels:
        if entry != POOL and not (isinstance(entry, int) and entry > 0):
            raise UserError(
                f"'channels' must hold positive numbers and {POOL!r} (got {entry!r}); correct that entry"
            )
    if list(channels).count(POOL) > 5 or channels[-1:] == (POOL,):
        raise UserError(
            f"'channels' must hold at most 5 {POOL!r} and not end with one (got {list(channels)}); "
            "the average pooling at the end is built in"
        )
    return with_weights(lambda: VggCifar(channels, classes), seed)
