"""A claim as a script in plain torch and thop, to paste into a review or an issue. No torch here.

A script is a body, one for each metric and technique, and before it what its text mentions: imports, the claim's
values as constants, and the helpers of this folder. The bodies are plain Python under `scripts/`.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable

from edgeai_repro.architecture import ARCHITECTURES, IMAGENET_CLASSES, IMAGENET_RESOLUTION
from edgeai_repro.claims import Claim, Paper
from edgeai_repro.errors import ConditionMissing, UserError, nearest
from edgeai_repro.registry import METRICS
from edgeai_repro.wording import show

STANDARD = ("io", "statistics", "time", "zlib")
INSTALLED = ("thop", "torch", "torch.nn.utils.prune", "torchvision")
HELPERS = ("build", "quantize", "packed", "narrow", "size", "count", "macs")
TORCHVISIONS = ARCHITECTURES.keys() - {"convnext_atto", "convnext_xlarge"}
CIFAR_RESOLUTION, CIFAR_CLASSES = 32, 10
RESTS_ON = {"data": "CIFAR-10", "weights": "trained weights", "edge": "what is deployed on a device"}
WIDTH = 110


def script(paper: Paper, claim: Claim, models: Sequence[str] | None = None) -> str:
    """Return a script that shows a claim's number, and why it is or isn't one, for some of its models (None: all).

    Raises UserError for a model that the claim doesn't name, ConditionMissing where no short script could show it.
    """
    named = [*claim.models, *claim.neighbours]
    for model in models or ():
        if model not in named:
            raise UserError(f"--model must be one of the claim's (got {model!r}); {nearest(model, named)}")
    body = _read(f"{claim.metric}--{claim.technique}")
    if body is None:
        raise _no_script(paper, claim)
    constants = _constants(claim, list(models or claim.models))
    helpers = [_helper(name, constants) for name in HELPERS if re.search(rf"\b{name}\(", body)]
    text = "\n\n".join([*helpers, body])
    values = [
        f"{name} = {value!r}".replace("'", '"')
        for name, value in constants.items()
        if re.search(rf"\b{name}\b", text)
    ]
    return "\n".join([*_heading(paper, claim), "", *_imports(text), *values, "", "", text])


def _heading(paper: Paper, claim: Claim) -> Iterator[str]:
    unit = METRICS[claim.metric].unit
    for line in [
        f'{paper.full_name(claim)}: "{claim.quote}" ({paper.paper.title}; {claim.source})',
        f"The number is {show(claim.value, unit)}. {claim.expect.verdict.capitalize()}: {claim.expect.reason}.",
    ]:
        yield from textwrap.wrap(line, WIDTH, initial_indent="# ", subsequent_indent="# ")


def _imports(text: str) -> Iterator[str]:
    """Yield import statements for the modules that a text mentions: the standard library's, and those installed."""
    for group in (STANDARD, INSTALLED):
        if found := [name for name in group if re.search(rf"\b{re.escape(name)}\.", text)]:
            yield from (f"import {name}" for name in found)
            yield ""


def _constants(claim: Claim, models: list[str]) -> Mapping[str, object]:
    """Return what a script may mention: models, the image's side and the classes, and the claim's settings."""
    convnexts = all(model in ARCHITECTURES for model in models)
    side, classes = (CIFAR_RESOLUTION, CIFAR_CLASSES) if convnexts else (IMAGENET_RESOLUTION, IMAGENET_CLASSES)
    constants: dict[str, object] = {name.upper(): list(values) for name, values in claim.settings.items()}
    constants["MODELS"] = models
    constants["SIDE"] = claim.settings.get("resolution", [side])[0]
    constants["CLASSES"] = claim.settings.get("classes", [classes])[0]
    if convnexts and not set(models) <= TORCHVISIONS:
        constants["VARIANTS"] = {name: (ARCHITECTURES[name].widths, ARCHITECTURES[name].depths) for name in models}
    return constants


def _helper(name: str, constants: Mapping[str, object]) -> str:
    return _read("build_convnext" if name == "build" and "VARIANTS" in constants else name) or ""


def _read(name: str) -> str | None:
    file: Traversable = files("edgeai_repro") / "scripts" / f"{name}.txt"
    return file.read_text(encoding="utf-8") if file.is_file() else None


def _no_script(paper: Paper, claim: Claim) -> UserError | ConditionMissing:
    name = paper.full_name(claim)
    if claim.needs:
        rests = ", ".join(RESTS_ON[need] for need in claim.needs)
        return ConditionMissing(
            claim.needs[-1], f"{name} rests on {rests}, so no short script shows it; judge it by pytest -m claims"
        )
    return UserError(
        f"a script must exist for {claim.metric!r} by {claim.technique!r} (got none for {name}); "
        "judge it by pytest -m claims"
    )
