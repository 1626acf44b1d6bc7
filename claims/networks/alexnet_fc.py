"""The three fully connected layers of AlexNet, with all their weights or pruned and stored as sparse rows (CSR).

The shares of weights that are kept are those of Deep Compression's Table 4: 9, 9 and 25 %. Positions are random.
"""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn

LAYERS = ((9216, 4096, 0.09), (4096, 4096, 0.09), (4096, 1000, 0.25))  # inputs, outputs, share kept


class SparseLinear(nn.Module):
    """A Linear layer without bias whose weight is a CSR matrix: (N, inputs) to (N, outputs)."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # torch calls its CSR tensors a beta feature
            self.register_buffer("weight", weight.to_sparse_csr())

    def forward(self, x: Tensor) -> Tensor:
        """Return the products with the weights that are kept."""
        product: Tensor = self.weight @ x.t()
        return product.t()


def dense() -> tuple[nn.Module, tuple[Tensor, ...]]:
    """Return the layers with all weights, and one input."""
    layers = [nn.Linear(inputs, outputs, bias=False) for inputs, outputs, _ in LAYERS]
    return nn.Sequential(*layers), (torch.zeros(1, LAYERS[0][0]),)


def sparse() -> tuple[nn.Module, tuple[Tensor, ...]]:
    """Return the layers with the weights that are kept, and one input."""
    layers = []
    for inputs, outputs, kept in LAYERS:
        weight = torch.randn(outputs, inputs)
        layers.append(SparseLinear(weight * (torch.rand(outputs, inputs) < kept)))
    return nn.Sequential(*layers), (torch.zeros(1, LAYERS[0][0]),)
