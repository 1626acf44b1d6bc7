"""Small networks whose channels are hard to remove."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn


class Attention(nn.Module):
    """One head of attention, then an MLP; `norm` is over all features."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 8)
        self.norm, self.expand, self.reduce = nn.LayerNorm(8), nn.Linear(8, 32), nn.Linear(32, 8)
        self.head = nn.Linear(8, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return three values per token."""
        scores = self.query(tokens) @ self.key(tokens).transpose(1, 2)
        tokens = self.norm(tokens + scores.softmax(-1) @ self.value(tokens))
        return self.head(tokens + self.reduce(nn.functional.gelu(self.expand(tokens))))


class HardCoded(nn.Module):
    """Two branches: `first` has its width written into a reshape, `second` has not."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 1), nn.Conv2d(3, 8, 1)
        self.after_first, self.after_second = nn.Conv1d(8, 5, 1), nn.Conv2d(8, 5, 1)

    def forward(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return two outputs, one of them in a dict; an activation is changed in place."""
        first = self.first(images).view(len(images), 8, 64)
        second = self.second(images)
        second.relu_().mul_(2)
        return self.after_first(first), {"second": self.after_second(second)}


class BetweenLSTM(nn.Module):
    """Linear layers before and after an LSTM of both directions."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(8, 32), nn.Linear(32, 16)
        self.lstm = nn.LSTM(16, 24, batch_first=True, bidirectional=True)
        self.third, self.last = nn.Linear(48, 16), nn.Linear(16, 4)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return four values per token."""
        features, _ = self.lstm(self.second(self.first(tokens).relu()))
        return self.last(self.third(features).relu())


class TwoInputs(nn.Module):
    """Adds an image and a picture of one channel."""

    def __init__(self) -> None:
        super().__init__()
        self.image, self.mask, self.both = nn.Conv2d(3, 8, 1), nn.Conv2d(1, 8, 1), nn.Conv2d(8, 2, 1)

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        """Return two channels."""
        return self.both((self.image(image) + self.mask(mask)).relu())


class Between(nn.Module):
    """Two convolutions with a function of the features between them."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.first, self.function, self.last = nn.Conv2d(3, 8, 1), function, nn.Conv2d(8, 2, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Return two channels."""
        return self.last(self.function(self.first(images)))
