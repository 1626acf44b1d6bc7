"""Muon (Jordan et al. 2024), which needs fewer epochs than SGD: momentum, made orthogonal for each layer.

torch.optim.Muon computes in bf16, which CPUs without such instructions emulate: observed on two Zen 3 cores, six
training steps of VGG-16 did not end in 170 s, and take 25 s in fp32. It also refuses the weights of convolutions.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

# The polynomial of Jordan et al.: it grows small singular values fastest, and leaves all of them near 1.
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
ITERATIONS = 3  # Jordan et al. for CIFAR-10
VECTOR_RMS = 0.1  # of a vector's update at the learning rate 1
EPSILON = 1e-12


class Muon(torch.optim.Optimizer):
    """Steps along orthogonal matrices, on weights of a fixed size, for networks whose BatchNorm undoes the size.

    If weights grew, a step would change an ever smaller share of them. So before each step a weight of `outputs`
    rows is scaled to the Frobenius norm √outputs, and the learning rate is about the share that a step changes. A
    convolution's weight is one matrix, (outputs, inputs × height × width). Biases and the parameters of BatchNorm
    step along vectors of a fixed size. The momentum is Nesterov's.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], *, lr: float, momentum: float) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Take one step along the gradients, which every parameter must have."""
        for group in self.param_groups:
            for parameter in group["params"]:
                state = self.state[parameter]
                if not state:
                    state["momentum"] = torch.zeros_like(parameter)
                average = state["momentum"].lerp_(parameter.grad, 1 - group["momentum"])
                ahead = parameter.grad.lerp(average, group["momentum"])
                if parameter.ndim < 2:
                    size = ahead.square().mean().sqrt().clamp(min=EPSILON)
                    parameter.sub_(ahead / size, alpha=VECTOR_RMS * group["lr"])
                    continue
                parameter.mul_(len(parameter) ** 0.5 / parameter.norm().clamp(min=EPSILON))
                parameter.sub_(orthogonal(ahead.flatten(1)).view(parameter.shape), alpha=group["lr"])


def orthogonal(matrix: Tensor) -> Tensor:
    """Return the matrix with singular values between about 0.5 and 1.2 in place of its own, but for tiny ones.

    It is the Newton-Schulz iteration of Jordan et al.
    """
    linear, cubic, quintic = COEFFICIENTS
    is_tall = matrix.shape[0] > matrix.shape[1]
    current: Tensor = (matrix.t() if is_tall else matrix) / matrix.norm().clamp(min=EPSILON)
    for _ in range(ITERATIONS):
        squared = current @ current.t()
        current = linear * current + (cubic * squared + quintic * squared @ squared) @ current
    return current.t() if is_tall else current
