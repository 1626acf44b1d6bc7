"""Writes a claim as a script in plain torch and thop, to paste into a review or an issue. No torch here.

Each metric and technique has a body under `scripts/`. The script is the body with the imports and helpers that it
uses. Placeholders are filled in: `build(name)`, the line `NARROW`, and names in capitals, such as MODELS.

A claims file may come from anyone and its script is run, so its texts are only in literals and comments.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable

from edgeai_repro.claims.schema import ClaimCase
from edgeai_repro.errors import MissingRequirement, UserError, did_you_mean
from edgeai_repro.evidence.measurement import Setting
from edgeai_repro.networks.references import reference
from edgeai_repro.networks.specs import Timm, Torchvision
from edgeai_repro.networks.variants import CONVNEXT_VARIANTS, TIMM_PREFIX
from edgeai_repro.report.plain import printable_line

STANDARD = ("io", "statistics", "timeit", "zlib")
INSTALLED = (
    "onnxruntime.quantization",
    "thop",
    "timm",
    "timm.utils",
    "torch",
    "torch.nn.utils.prune",
    "torchao.quantization",
    "torchvision",
)
HELPERS = ("build", "published", "quantize", "session", "median", "size", "count")
BUILD = "torchvision.models.get_model(name, num_classes=CLASSES).eval()"
TORCHVISIONS = CONVNEXT_VARIANTS.keys() - {"convnext_atto", "convnext_xlarge"}
RESTS_ON = {"data": "CIFAR-10", "weights": "trained weights", "edge": "what is deployed on a device"}
BUNDLE_RESOLUTION, BUNDLE_CLASSES = 32, 10  # of `edgeai-repro bundle`
WIDTH, LITERAL = 110, 115  # columns; longer comments and values are wrapped


def script(case: ClaimCase, models: Sequence[str] | None = None) -> str:
    """Return a script that shows a claim's number and its explanation, for some of the claim's models (None: all).

    Raises UserError for a model that the claim doesn't name, and MissingRequirement if no short script can show it.
    """
    claim = case.claim
    named = [*claim.models, *claim.also_shown]
    for model in models or ():
        if model not in named:
            raise UserError(f"--model must be one of the claim's (got {model!r}); {did_you_mean(model, named)}")
    body = _read(f"{claim.metric}--{claim.technique}")
    chosen = list(models or claim.models)
    # The scripts count with thop, and a MAC as one operation.
    by_thop = claim.conditions.get("counter", ["thop"]) == ["thop"]
    as_counted = claim.conditions.get("operations_per_mac", [1]) == [1]
    if (
        body is None
        or not by_thop
        or not as_counted
        or claim.against is not None
        or not all(_is_published(case, model) for model in chosen)
    ):
        raise _no_script(case)
    values = _values(case, chosen)
    if "VARIANTS" not in values:
        timms = any(model.startswith(TIMM_PREFIX) for model in chosen)
        body = body.replace("build(name)", "published(name)" if timms else BUILD)
    body = re.sub("^( +)NARROW\n", lambda match: textwrap.indent(_read("narrow") or "", match[1]), body, flags=re.M)
    text = "\n\n".join([*(_read(name) or "" for name in HELPERS if re.search(rf"\b{name}\(", body)), body])
    names = "|".join(map(re.escape, values))  # all at once: a value may contain the name of another
    text = re.sub(rf"\b({names})\b", lambda match: _literal(values[match[1]]), text)
    return "\n".join([*_heading(case), "", *_imports(text), "", text])


def _literal(value: object) -> str:
    """Return a value as Python source, a list on several lines if it is long."""
    match value:
        case str():
            return repr(value) if {*value} & {*"'\""} else f'"{repr(value)[1:-1]}"'
        case list():
            return _lines([_literal(entry) for entry in value], "[]")
        case tuple():
            return f"({', '.join(map(_literal, value))})"
        case dict():
            return _lines([f"{_literal(key)}: {_literal(entry)}" for key, entry in value.items()], "{}")
    return repr(value)


def _lines(entries: list[str], brackets: str) -> str:
    """Return the literals of entries in brackets, wrapped between two entries and never within one."""
    lines = [brackets[0]]
    for number, entry in enumerate(entries):
        part = f"{entry}, " if number < len(entries) - 1 else f"{entry}{brackets[1]}"
        if len(lines[-1]) + len(part) > LITERAL and lines[-1].strip() != brackets[0]:
            lines.append(8 * " ")
        lines[-1] += part
    return "\n".join(line.rstrip() for line in lines) if entries else brackets


def _heading(case: ClaimCase) -> Iterator[str]:
    claim = case.claim
    name = ", ".join(filter(None, [case.id, case.paper.paper.url]))
    for line in [
        f'{name}: "{claim.quote}"',
        f'Printed: "{claim.printed}". {claim.expect.verdict.capitalize()}: {claim.expect.reason}.',
    ]:
        # On one line, so that no text can end its comment.
        yield from textwrap.wrap(printable_line(line), WIDTH, initial_indent="# ", subsequent_indent="# ")


def _imports(text: str) -> Iterator[str]:
    """Yield the import statements of a script: the standard library first, then installed packages."""
    for group in (STANDARD, INSTALLED):
        if used := [name for name in group if re.search(rf"\b{re.escape(name)}\.", text)]:
            yield from (f"import {name}" for name in used)
            yield ""


def _values(case: ClaimCase, models: list[str]) -> Mapping[str, object]:
    """Return the values of the placeholders: models, image side, classes, settings and conditions."""
    claim = case.claim
    convnexts = all(model in CONVNEXT_VARIANTS for model in models)
    values: dict[str, object] = {
        name.upper(): list(tried) for name, tried in {**claim.settings, **claim.conditions}.items()
    }
    values["MODELS"] = models
    for name, own in _conditions(case, models[0]).items():
        values["SIDE" if name == "resolution" else name.upper()] = own
    if convnexts and not set(models) <= TORCHVISIONS:
        values["VARIANTS"] = {
            name: (CONVNEXT_VARIANTS[name].dims, CONVNEXT_VARIANTS[name].depths) for name in models
        }
    return values


def _conditions(case: ClaimCase, model: str) -> dict[str, Setting]:
    """Return the side of the image and the classes of a model: its own, the claim's, or those of a bundle."""
    given = {name: values[0] for name, values in case.claim.conditions.items()}
    spec = case.paper.network(model, given)
    bundled = {"resolution": BUNDLE_RESOLUTION, "classes": BUNDLE_CLASSES}
    return {name: getattr(spec, name) or given.get(name, bundled[name]) for name in bundled}


def _is_published(case: ClaimCase, model: str) -> bool:
    """Return whether torchvision or timm has a model, so that a script can build it in one line."""
    spec = case.paper.networks.get(model) or reference(model)
    return (
        isinstance(spec, Torchvision | Timm) and spec.name == model.removeprefix(TIMM_PREFIX) and not spec.options
    )


def _read(name: str) -> str | None:
    file: Traversable = files("edgeai_repro.report") / "scripts" / f"{name}.txt"
    return file.read_text(encoding="utf-8") if file.is_file() else None


def _no_script(case: ClaimCase) -> UserError | MissingRequirement:
    name, claim = case.id, case.claim
    if claim.needs:
        rests = ", ".join(RESTS_ON[need] for need in claim.needs)
        return MissingRequirement(
            claim.needs[-1], f"{name} rests on {rests}, so no short script shows it; judge it by pytest -m claims"
        )
    return UserError(
        f"a script must exist for {claim.metric!r} by {claim.technique!r} (got none for {name}); "
        "judge it by pytest -m claims"
    )
