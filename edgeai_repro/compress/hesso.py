"""HESSO, OTOv3's optimizer, with the cost of AdamW: chooses as the library does, and can be resumed.

Source: Chen et al., *HESSO: Towards Automatic Efficient and User Friendly Any Neural Network Training and Pruning*
(arXiv 2409.09085), as `only_train_once` 3.0.1 implements it. Its plan and its saliency scores are taken from the
library; the library's step, which measures every group at every step, is replaced.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from edgeai_repro.errors import UserError


def select_redundant_groups(
    saliency: Tensor, count: int, sizes: Sequence[int], listed: Tensor, pruned: Tensor
) -> tuple[Tensor, Tensor]:
    """Choose the `count` least salient groups that were not listed before.

    All tensors are (groups,), layer after layer as `sizes` tells; `listed` marks the groups chosen so far, `pruned`
    those that are zero. Returns two masks: the chosen, and those of them that are to be pruned; a layer's last
    channel is chosen but kept. Where more than `count` qualify, the first ones are taken: so does the library.
    """
    ranked = torch.topk(-saliency, int(listed.sum()) + count).indices
    chosen = torch.zeros_like(listed)
    chosen[ranked] = True
    chosen &= ~listed
    chosen[chosen.nonzero()[count:]] = False
    active = chosen.clone()
    for layer, gone in zip(torch.split(active, list(sizes)), torch.split(pruned, list(sizes)), strict=True):
        room = len(layer) - int(gone.sum()) - 1
        layer[layer.nonzero()[room:]] = False
    return chosen, active


class _Lazy(Mapping[str, Tensor]):
    """Values made when they are read: the directions of all groups at once would take half a model's memory."""

    def __init__(self, parameters: dict[str, nn.Parameter], make: Callable[[nn.Parameter], Tensor]) -> None:
        self._parameters, self._make = parameters, make

    def __getitem__(self, name: str) -> Tensor:
        return self._make(self._parameters[name])

    def __contains__(self, name: object) -> bool:
        return name in self._parameters

    def __iter__(self) -> Iterator[str]:
        return iter(self._parameters)

    def __len__(self) -> int:
        return len(self._parameters)


class Hesso(torch.optim.AdamW):
    """AdamW that drives the least salient groups of weights to zero, period by period, while it trains.

    `planner` is the library's HESSO over the prunable groups (`otov3.plan`); learning rate, weight decay and
    momenta are read from it. From `start_pruning_step` on, each period of `pruning_steps // pruning_periods` steps
    chooses its share of groups and shrinks them linearly to zero; what is zero stays zero, and training may go on.

    The update is torch's fused AdamW with the library's start: moments begin at the first gradient, not at zero.
    Scores are computed only at the steps that choose, and every parameter is updated once a step.
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
        self._listed = torch.zeros(sum(self._sizes), dtype=torch.bool, device=settings["params"][0].device)
        self._active = self._listed.clone()
        self._pruned = self._listed.clone()

    @property
    def group_sparsity(self) -> float:
        """The share of the groups that are pruned by now, 0 to 1."""
        return float(self._pruned.float().mean())

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update all parameters once, then shrink or clear the redundant groups. Returns the closure's loss."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self._steps += 1
        self._begin_moments()
        if self._is_choice_due():
            self._start_period()
        super().step()
        self._shrink()
        return loss

    @torch.no_grad()
    def saliency(self) -> Tensor:
        """Return every group's score under the gradients at hand, (groups,): the lowest are pruned first.

        Call it between `backward()` and `step()`; it changes nothing that the step depends on.
        """
        self._begin_moments()
        for group in self._groups:
            named = zip(group["p_names"], group["params"], strict=True)
            group["grad_variant"] = _Lazy({name: p for name, p in named if p.grad is not None}, self._direction)
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
        """Return the direction, of unit learning rate, in which the coming step moves the parameter."""
        assert parameter.grad is not None
        state, (beta1, beta2) = self.state[parameter], self.defaults["betas"]
        count = float(state["step"]) + 1
        first = state["exp_avg"].lerp(parameter.grad, 1 - beta1).div_(1 - beta1**count)
        second = state["exp_avg_sq"].mul(beta2).addcmul_(parameter.grad, parameter.grad, value=1 - beta2)
        spread: Tensor = second.div_(1 - beta2**count).sqrt_().add_(self.defaults["eps"])
        direction: Tensor = first.div_(spread)
        return direction

    def _is_choice_due(self) -> bool:
        since = self._steps - self._plan["start"]
        if since < 0 or self._period == len(self._plan["redundant"]) or (since - 1) % self._plan["length"]:
            return False
        zero: int = self._planner.compute_group_sparsity_param_norm()[2]
        return zero < self._target

    def _start_period(self) -> None:
        self._commit()
        count = self._plan["redundant"][self._period]
        chosen, self._active = select_redundant_groups(
            self.saliency(), count, self._sizes, self._listed, self._pruned
        )
        self._listed |= chosen
        self._target -= int(chosen.sum()) - int(self._active.sum())
        self._period += 1

    def _commit(self) -> None:
        self._pruned |= self._active
        self._active = torch.zeros_like(self._active)

    def _shrink(self) -> None:
        if self._period == 0:
            return
        length = self._plan["length"]
        elapsed = (self._steps - self._plan["start"]) % length
        factor = torch.ones(len(self._pruned), device=self._pruned.device)
        factor[self._active] = (length - elapsed - 1) / (length - elapsed)
        factor[self._pruned] = 0.0
        for group, rows in zip(self._groups, torch.split(factor, self._sizes), strict=True):
            for parameter in group["params"]:
                parameter.mul_(rows.view(-1, *[1] * (parameter.dim() - 1)))
        if elapsed == length - 1:
            self._commit()

    def state_dict(self) -> dict[str, Any]:
        """Return all that a resumed run needs, AdamW's moments and the pruning's progress; no pickled class."""
        progress = {
            "plan": self._plan,
            "steps": self._steps,
            "period": self._period,
            "target": self._target,
            "listed": self._listed.clone(),
            "active": self._active.clone(),
            "pruned": self._pruned.clone(),
        }
        return {**super().state_dict(), "pruning": progress}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on where `state_dict` was taken. Raises UserError if that was another model or another plan."""
        progress = state_dict.get("pruning", {})
        if progress.get("plan") != self._plan:
            raise UserError(
                f"'state_dict' must be of the same model and pruning plan (got {_summary(progress.get('plan'))}, "
                f"not {_summary(self._plan)}); resume with the settings that it was saved under"
            )
        super().load_state_dict(state_dict)
        self._steps, self._period, self._target = progress["steps"], progress["period"], progress["target"]
        device = self._pruned.device
        self._listed = progress["listed"].to(device, copy=True)
        self._active = progress["active"].to(device, copy=True)
        self._pruned = progress["pruned"].to(device, copy=True)


def _summary(plan: dict[str, Any] | None) -> str:
    if plan is None:
        return "no pruning plan"
    steps = plan["length"] * len(plan["redundant"])
    return f"{sum(plan['redundant'])} of {sum(plan['sizes'])} groups over {steps} steps from {plan['start']}"
