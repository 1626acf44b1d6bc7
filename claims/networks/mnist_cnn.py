"""The network of TensorFlow's guide on pruning, rebuilt in torch."""

import torch
from torch import Tensor, nn


def mnist_cnn() -> tuple[nn.Module, tuple[Tensor, ...]]:
    """Return the network with Glorot normal weights, and one image of 28 × 28. It has 20,410 parameters."""
    model = nn.Sequential(
        nn.Conv2d(1, 12, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(13 * 13 * 12, 10)
    )
    for parameter in model.parameters():
        if parameter.ndim > 1:
            nn.init.xavier_normal_(parameter)
        else:
            nn.init.zeros_(parameter)
    return model.eval(), (torch.zeros(1, 1, 28, 28),)
