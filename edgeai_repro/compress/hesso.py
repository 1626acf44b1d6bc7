"""HESSO, the optimizer of OTOv3, at the cost of AdamW and with a state that can be saved and resumed.

Source: Chen et al., *HESSO: Towards Automatic Efficient and User Friendly Any Neural Network Training and Pruning*
(arXiv 2409.09085), as `only_train_once` 3.0.1 implements it. The pruning plan and the saliency scores are the
library's. The optimizer step is ours: the library's own measures every group at every step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from edgeai_repro.errors import UserError


def select_redundant_groups(
    saliency: Tensor, count: int, sizes: Sequence[int], selected: Tensor, pruned: Tensor
) -> tuple[Tensor, Tensor]:
    """Return masks of the groups to select next, and of those among them to prune.

    All tensors are (groups,), one layer after the other; `sizes` are the groups per layer. `selected` marks the
    groups of earlier periods, `pruned` those that are zero already. The `count` least salient groups that are not
    `selected` yet are selected. All of them are pruned except the last channel of a layer, which is kept.

    If more than `count` groups qualify, the first ones are selected, as in the library.
    """
    ranked = torch.topk(-saliency, int(selected.sum()) + count).indices
    new = torch.zeros_like(selected)
    new[ranked] = True
    new &= ~selected
    new[new.nonzero()[count:]] = False
    shrinking = new.clone()
    for layer, zero in zip(torch.split(shrinking, list(sizes)), torch.split(pruned, list(sizes)), strict=True):
        room = len(layer) - int(zero.sum()) - 1
        layer[layer.nonzero()[room:]] = False
    return new, shrinking


class _LazyMapping(Mapping[str, Tensor]):
    """Computes a tensor per parameter on access. All of them at once would take half of the model's memory."""

    def __init__(self, parameters: dict[str, nn.Parameter], compute: Callable[[nn.Parameter], Tensor]) -> None:
        self._parameters, self._compute = parameters, compute

    def __getitem__(self, name: str) -> Tensor:
        return self._compute(self._parameters[name])

    def __contains__(self, name: object) -> bool:
        return name in self._parameters

    def __iter__(self) -> Iterator[str]:
        return iter(self._parameters)

    def __len__(self) -> int:
        return len(self._parameters)


class Hesso(torch.optim.AdamW):
    """AdamW that drives the least salient groups of weights to zero in several periods while it trains.

    `planner` is the library's HESSO over the prunable groups (`otov3_compat.make_planner`); it gives the learning
    rate, the weight decay and the momenta. From `start_pruning_step` on, each period of
    `pruning_steps // pruning_periods` steps selects its share of the groups and shrinks them linearly to zero. They
    stay zero when training goes on.

    The update is torch's fused AdamW, but the moments start at the first gradient, as in the library, and not at
    zero. Scores are computed only when a period starts, and every parameter is updated once per step.
    """

    def __init__(self, params: Iterable[nn.Parameter], planner: Any) -> None:
        settings = planner.param_groups[0]
        super().__init__(
            params,
            lr=settings["lr"],
            betas=(settings["first_momentum"], settings["second_momentum"]),
            eps=planner.safe_guard,
            weight_decay=settings["weight_decay"],
            fused=True,
        )
        self._planner = planner
        self._groups: list[dict[str, Any]] = planner.param_groups
        self._sizes: list[int] = [group["num_groups"] for group in self._groups]
        self._plan = {
            "sizes": self._sizes,
            "redundant": list(planner.active_num_redundant_groups),
            "start": planner.start_pruning_step,
            "length": planner.pruning_period_duration,
        }
        self._steps = 0
        self._period = 0
        self._target: int = planner.target_num_redundant_groups
        self._selected = torch.zeros(sum(self._sizes), dtype=torch.bool, device=settings["params"][0].device)
        self._shrinking = self._selected.clone()
        self._pruned = self._selected.clone()

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update all parameters, then shrink the selected groups. Return the loss of `closure`."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self._steps += 1
        self._begin_moments()
        if self._is_period_due():
            self._start_period()
        super().step()
        self._shrink()
        return loss

    @torch.no_grad()
    def saliency(self) -> Tensor:
        """Return the score of every group, (groups,), from the current gradients; the lowest are pruned first.

        Call it between `backward()` and `step()`. It has no effect on the step.
        """
        self._begin_moments()
        for group in self._groups:
            named = zip(group["p_names"], group["params"], strict=True)
            with_gradient = {name: parameter for name, parameter in named if parameter.grad is not None}
            group["grad_variant"] = _LazyMapping(with_gradient, self._direction)
            if not group["grad_variant"]:
                raise RuntimeError("HESSO scores groups by their gradients: call backward() before step()")
        self._planner.compute_importance_scores()
        scores = torch.cat(self._planner.global_scores)
        for group in self._groups:
            group["grad_variant"], group["importance_scores"] = {}, {}
        return scores

    def _begin_moments(self) -> None:
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None and parameter not in self.state:
                    first = torch.empty_like(parameter).copy_(parameter.grad)
                    step = torch.zeros((), device=parameter.device)
                    self.state[parameter] = {"step": step, "exp_avg": first, "exp_avg_sq": first * first}

    def _direction(self, parameter: nn.Parameter) -> Tensor:
        """Return the next update of a parameter, for a learning rate of 1."""
        assert parameter.grad is not None
        state, (beta1, beta2) = self.state[parameter], self.defaults["betas"]
        count = float(state["step"]) + 1
        first = state["exp_avg"].lerp(parameter.grad, 1 - beta1).div_(1 - beta1**count)
        second = state["exp_avg_sq"].mul(beta2).addcmul_(parameter.grad, parameter.grad, value=1 - beta2)
        spread: Tensor = second.div_(1 - beta2**count).sqrt_().add_(self.defaults["eps"])
        direction: Tensor = first.div_(spread)
        return direction

    def _is_period_due(self) -> bool:
        elapsed = self._steps - self._plan["start"]
        if elapsed < 0 or self._period == len(self._plan["redundant"]) or (elapsed - 1) % self._plan["length"]:
            return False
        zero_groups: int = self._planner.compute_group_sparsity_param_norm()[2]
        return zero_groups < self._target

    def _start_period(self) -> None:
        self._end_period()
        count = self._plan["redundant"][self._period]
        new, self._shrinking = select_redundant_groups(
            self.saliency(), count, self._sizes, self._selected, self._pruned
        )
        self._selected |= new
        self._target -= int(new.sum()) - int(self._shrinking.sum())
        self._period += 1

    def _end_period(self) -> None:
        self._pruned |= self._shrinking
        self._shrinking = torch.zeros_like(self._shrinking)

    def _shrink(self) -> None:
        if self._period == 0:
            return
        length = self._plan["length"]
        elapsed = (self._steps - self._plan["start"]) % length
        factor = torch.ones(len(self._pruned), device=self._pruned.device)
        factor[self._shrinking] = (length - elapsed - 1) / (length - elapsed)
        factor[self._pruned] = 0.0
        for group, rows in zip(self._groups, torch.split(factor, self._sizes), strict=True):
            for parameter in group["params"]:
                parameter.mul_(rows.view(-1, *[1] * (parameter.dim() - 1)))
        if elapsed == length - 1:
            self._end_period()

    def state_dict(self) -> dict[str, Any]:
        """Return the moments of AdamW and the progress of the pruning, as plain values and tensors."""
        progress = {  # the keys are those of checkpoints of version 0.1
            "plan": self._plan,
            "steps": self._steps,
            "period": self._period,
            "target": self._target,
            "listed": self._selected.clone(),
            "active": self._shrinking.clone(),
            "pruned": self._pruned.clone(),
        }
        return {**super().state_dict(), "pruning": progress}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a saved state. Raises UserError if it is of another model or another pruning plan."""
        progress = state_dict.get("pruning", {})
        if progress.get("plan") != self._plan:
            raise UserError(
                f"'state_dict' must be of the same model and pruning plan (got {_summary(progress.get('plan'))}, "
                f"not {_summary(self._plan)}); resume with the settings of the interrupted run"
            )
        super().load_state_dict(state_dict)
        self._steps, self._period, self._target = progress["steps"], progress["period"], progress["target"]
        device = self._pruned.device
        self._selected = progress["listed"].to(device, copy=True)
        self._shrinking = progress["active"].to(device, copy=True)
        self._pruned = progress["pruned"].to(device, copy=True)


def _summary(plan: dict[str, Any] | None) -> str:
    if plan is None:
        return "no pruning plan"
    steps = plan["length"] * len(plan["redundant"])
    return f"{sum(plan['redundant'])} of {sum(plan['sizes'])} groups over {steps} steps from {plan['start']}"
