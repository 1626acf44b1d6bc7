"""Checks that the claims of a paper can all be true together, by arithmetic on its numbers.

A rule takes the numbers of the claims in their roles. It returns whether they can all be true, and the derivation
in words. The numbers come from the claims file. This module only knows the architectures and int8. Percentages are
of the bytes or parameters of the uncompressed network; times are in milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from edgeai_repro.claims.number_rules import GIVEN_PROBLEMS, Given, Number, printed_change, same_choice
from edgeai_repro.claims.paper_info import ImplicationSpec
from edgeai_repro.claims.schema import Claim
from edgeai_repro.devices.roofline import Estimate, estimates
from edgeai_repro.devices.spec import Device
from edgeai_repro.errors import did_you_mean
from edgeai_repro.networks.variants import CONVNEXT_VARIANTS, layers

FP32_BYTES = 4  # per weight; int8 takes one
INT8_SAVES = 100 - 100 / FP32_BYTES


@dataclass(frozen=True)
class ImplicationFinding:
    """The result of a rule: whether the implication holds, and the derivation in words."""

    id: str
    holds: bool
    text: str


@dataclass(frozen=True)
class Rule:
    """A rule: the roles of claims and the facts that it needs, and its arithmetic."""

    roles: tuple[str, ...]
    given: tuple[str, ...]
    apply: Callable[[Mapping[str, Number], Given, Sequence[Device]], tuple[bool, str]]


def not_linear(model: str) -> float:
    """Return the percentage of a ConvNeXt's parameters that dynamic quantization leaves in fp32, outside of Linear.

    The biases of Linear stay in fp32, too (0.1 % of the parameters). Counted as int8, they give a ceiling that
    still holds.
    """
    every = list(layers(CONVNEXT_VARIANTS[model]))
    outside = sum(layer.parameters for layer in every if layer.kind != "linear")
    return 100 * outside / sum(layer.parameters for layer in every)


def compose(numbers: Mapping[str, Number], given: Given, _: Sequence[Device]) -> tuple[bool, str]:
    """Check that pruning Linear weights, and then int8 for the rest of them, saves the bytes of the two claims."""
    pruning, together = numbers["size_by_pruning"], numbers["size_together"]
    model = str(given["model"])
    rest = not_linear(model)

    def needed(saved: float) -> float:
        """Invert `left = rest + (100 - pruned - rest) / 4`."""
        return 100 - rest - FP32_BYTES * (100 - saved - rest)

    holds = pruning.overlaps(needed(together.low), needed(together.high))
    linear = 100 - pruning.value - rest
    left = rest + linear / FP32_BYTES
    by_int8 = rest + (100 - rest) / FP32_BYTES
    naive = 100 - (100 - pruning.value) * by_int8 / 100
    return holds, (
        f"Of {model}, {rest:.1f} % is not Linear and stays fp32. {pruning.value:g} % by pruning Linear weights "
        f"leaves {rest:.1f} + {linear:.1f} / 4 = {left:.1f} % after int8, so {100 - left:.1f} % saved together; "
        f"{together.value:g} % together needs {needed(together.value):.1f} % by pruning, and the printed "
        f"{pruning.value:g} allows {pruning.low:g} to {pruning.high:g}: "
        f"the two claims are {'consistent, to its rounding' if holds else 'inconsistent'}. "
        f"(The product of what each leaves, {(100 - pruning.value) / 100:.2f} × {by_int8 / 100:.3f}, promises "
        f"{naive:.1f} % and is wrong: int8 does not touch all that is left.)"
    )


def same_count(numbers: Mapping[str, Number], given: Given, _: Sequence[Device]) -> tuple[bool, str]:
    """Check that quantization and pruning together remove the claimed parameters, if both truly removed any."""
    alone, together, pruning = numbers["by_quantization"], numbers["together"], numbers["by_pruning"]
    model = str(given["model"])

    def removed(quantized: float, pruned: float) -> float:
        return 100 - (100 - quantized) * (100 - pruned) / 100

    low, high = removed(alone.low, pruning.low), removed(alone.high, pruning.high)
    holds = together.overlaps(low, high)
    rest = not_linear(model)
    return holds, (
        f"If quantization truly removed {alone.value:g} % of the parameters and pruning {pruning.value:g} % of "
        f"those that stayed, {removed(alone.value, pruning.value):.1f} % would be gone together, from {low:.1f} to "
        f"{high:.1f} % with the rounding; reported are {together.value:g} %, from {together.low:g} to "
        f"{together.high:g}: read literally, the claims are {'consistent' if holds else 'inconsistent'}. "
        f"A count that does not see packed weights reports {100 - rest:.1f} % in both cases: it sees the "
        f"{rest:.1f} % of {model} that is not Linear, and pruning cuts only what it ignores."
    )


def int8_ceiling(numbers: Mapping[str, Number], given: Given, _: Sequence[Device]) -> tuple[bool, str]:
    """Check that int8 weights can save the claimed bytes on the best of the models (names separated by spaces)."""
    claim = numbers["size_by_quantization"]
    ceilings = {name: INT8_SAVES * (1 - not_linear(name) / 100) for name in str(given["models"]).split()}
    best = max(ceilings, key=ceilings.__getitem__)
    holds = claim.low <= ceilings[best]
    listed = ", ".join(f"{name} {ceiling:.1f}" for name, ceiling in ceilings.items())
    return holds, (
        f"One byte for four saves at most {INT8_SAVES:g} % of the bytes, and that only if every weight were "
        f"quantized; what is not Linear stays fp32, so at most (in %): {listed}. "
        f"The claimed {claim.value:g} %, from {claim.low:g} with the rounding, is "
        f"{'within' if holds else 'beyond'} the highest of these."
    )


def latency_feasible(numbers: Mapping[str, Number], given: Given, devices: Sequence[Device]) -> tuple[bool, str]:
    """Check that the pruned int8 model can be as fast as claimed, on some edge device, at some input size."""
    claim = numbers["latency"]
    model, target = str(given["model"]), float(given["target"])
    rows = list(estimates(devices, CONVNEXT_VARIANTS[model], target=target, variants=["pruned + int8"]))
    edge = {device.key for device in devices if device.kind == "edge"}
    feasible = [row for row in rows if row.expected_ms is not None and row.expected_ms <= claim.high]
    ruled_out = [row for row in rows if row.bound_ms > claim.high]
    doubtful = [row for row in rows if row not in feasible + ruled_out and row.expected_ms is not None]
    unknown = [row for row in rows if row not in feasible + ruled_out + doubtful]
    listed = "; ".join(
        f"{verdict}: {', '.join(map(_brief, chosen))}"
        for verdict, chosen in [
            ("the bound alone rules out", ruled_out),
            ("published rates speak against", doubtful),
            ("published rates allow", feasible),
            ("no rate is published, the bound allows", unknown),
        ]
        if chosen
    )
    holds = any(row.device in edge for row in feasible)
    return holds, (
        f"{claim.value:g} ms ({claim.high:g} with the band) for {model}, {100 * target:g} % of its hidden widths "
        f"pruned, int8. By device and input size (at least / expected, ms) {listed}."
    )


RULES: dict[str, Rule] = {
    "compose": Rule(("size_by_pruning", "size_together"), ("model",), compose),
    "same-count": Rule(("by_quantization", "by_pruning", "together"), ("model",), same_count),
    "int8-ceiling": Rule(("size_by_quantization",), ("models",), int8_ceiling),
    "latency-feasible": Rule(("latency",), ("model", "target"), latency_feasible),
    "same-choice": Rule(("first", "second"), ("choices", "first", "second"), same_choice),
    "printed-change": Rule((), ("before", "after", "change", "half_digit", "relative_to"), printed_change),
}


def check(spec: ImplicationSpec, claims: Mapping[str, Claim], devices: Sequence[Device] = ()) -> ImplicationFinding:
    """Apply the rule of an implication to the numbers of claims, given by id."""
    numbers = {role: Number.of(claims[claim_id]) for role, claim_id in spec.claims.items()}
    holds, text = RULES[spec.rule].apply(numbers, spec.given, devices)
    return ImplicationFinding(spec.id, holds, text)


def spec_problems(spec: ImplicationSpec) -> Iterator[str]:
    """Yield the mistakes of an implication: an unknown rule, wrong roles or facts, an unknown model."""
    if spec.rule not in RULES:
        yield f"'rule' must be known (got {spec.rule!r}); {did_you_mean(spec.rule, RULES)}"
        return
    rule = RULES[spec.rule]
    for key, needed, given in (("claims", rule.roles, spec.claims), ("given", rule.given, spec.given)):
        if set(needed) != set(given):
            got = ", ".join(given) or "nothing"
            yield f"{key!r} must be just {', '.join(needed)} for rule {spec.rule!r} (got {got}); correct them"
    if {"model", "models"} & set(rule.given):
        yield from _model_problems(spec)
    if spec.rule in GIVEN_PROBLEMS:
        yield from GIVEN_PROBLEMS[spec.rule](spec.given)


def _model_problems(spec: ImplicationSpec) -> Iterator[str]:
    models = spec.given.get("models", spec.given.get("model", ""))
    for name in str(models).split() or [""]:
        if name not in CONVNEXT_VARIANTS:
            yield f"'given.model' must be known (got {name!r}); {did_you_mean(name, CONVNEXT_VARIANTS)}"
    target = spec.given.get("target", 0)
    if isinstance(target, str) or not 0 <= target < 1:
        yield f"'given.target' must be a fraction from 0 to below 1 (got {target!r}); correct it"


def _brief(row: Estimate) -> str:
    expected = "?" if row.expected_ms is None else f"{row.expected_ms:.1f}"
    return f"{row.device} at {row.resolution} ({row.bound_ms:.1f} / {expected})"
