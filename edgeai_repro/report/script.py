"""Writes a claim as a script in plain torch and thop, to paste into a review or an issue. No torch here.

Each metric and technique has a body under `scripts/`. The script is the body with the imports and helpers that it
uses. Placeholders are filled in: `build(name)`, the line `NARROW`, and names in capitals, such as MODELS. Claims
that name a counter, a paper's way to count, or a network `without` the cause of a saving have their own bodies.

A claims file may come from anyone and its script is run, so its texts are only in literals and comments.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable

from edgeai_repro.claims.registry import UNCOMPRESSED
from edgeai_repro.claims.schema import ClaimCase
from edgeai_repro.errors import MissingRequirement, UserError, did_you_mean
from edgeai_repro.evidence.measurement import Setting
from edgeai_repro.judge.rows import DECIDED
from edgeai_repro.networks.specs import NetworkSpec, ResNetCifar, Timm, Torchvision
from edgeai_repro.networks.variants import CONVNEXT_VARIANTS, TIMM_PREFIX
from edgeai_repro.report.document import Document
from edgeai_repro.report.literals import literal
from edgeai_repro.report.plain import printable_line
from edgeai_repro.report.script_networks import own_build, single_name

STANDARD = ("inspect", "io", "itertools", "math", "runpy", "statistics", "timeit", "zlib")
INSTALLED = (
    "calflops",
    "fvcore.nn",
    "onnxruntime.quantization",
    "ptflops",
    "thop",
    "timm",
    "timm.utils",
    "torch",
    "torch.nn.utils.prune",
    "torch.utils.flop_counter",
    "torch_pruning.utils",
    "torchao.quantization",
    "torchinfo",
    "torchprofile",
    "torchvision",
)
CONVENTION, COUNTED = "convention", "counted"  # helpers with a file for each way to count
HELPERS = (
    *("vgg_cifar", "vgg", "resnet_cifar", "resnet", "from_file", CONVENTION, "convolutions", COUNTED, "tau"),
    *("build", "published", "quantize", "session", "median", "size", "macs", "parameters", "count"),
)
COMMON = {CONVENTION: "counter", "counter": "thop"}  # what a claim that names none means
BY_CONVENTION = ("params", "macs", "params_reduction", "macs_reduction")  # the metrics that its script shows
OWN_COUNTER = "FlopCounterMode"  # torch's
SINGLE = ("THREADS", "BATCH", "KEPT", "COUNTER")  # conditions of which a script takes the first value
BUILD = r"torchvision.models.get_model(\1, num_classes=CLASSES).eval()"
TORCHVISIONS = CONVNEXT_VARIANTS.keys() - {"convnext_atto", "convnext_xlarge"}
RESTS_ON = {"data": "CIFAR-10", "weights": "trained weights", "edge": "what is deployed on a device"}
BUNDLE_RESOLUTION, BUNDLE_CLASSES = 32, 10  # of `edgeai-repro bundle`
WIDTH = 110  # columns; longer comments are wrapped


def script(case: ClaimCase, models: Sequence[str] | None = None, *, run: Document | None = None) -> str:
    """Return a script that shows a claim's number and its explanation, for some of the claim's models (None: all).

    Its heading has the verdict that `run` gave the claim (None: no run is known).
    Raises UserError for a model that the claim doesn't name, and MissingRequirement if no short script can show it.
    """
    claim = case.claim
    named = [*claim.models, *claim.also_shown]
    for model in models or ():
        if model not in named:
            raise UserError(f"--model must be one of the claim's (got {model!r}); {did_you_mean(model, named)}")
    body = _body(case)
    if body is None:
        raise _no_script(case)
    named = [member for name in models or claim.models for member in case.paper.members(name)]
    pairs = [
        (single_name(case.paper, claim.against or model, given), single_name(case.paper, model, given))
        for model in named
        for _, given in claim.variants_for(model)
    ]
    networks, cut = _networks(case, pairs)
    values = {**_values(case, list(dict.fromkeys(pairs))), "CUT": cut}
    own = ""
    if all(_is_published(name, spec) for name, spec in networks.items()):
        if "VARIANTS" not in values:
            timms = any(name.startswith(TIMM_PREFIX) for name in networks)
            body = re.sub(r"build\((name|each|against)\)", r"published(\1)" if timms else BUILD, body)
    else:
        own = own_build(networks, _conditions(case, pairs[0][0])["classes"])
    body = re.sub("^( +)NARROW\n", lambda match: textwrap.indent(_read("narrow") or "", match[1]), body, flags=re.M)
    wanted: list[str] = []
    for name in HELPERS:  # each may use those after it
        if (name != "build" or not own) and any(re.search(rf"\b{name}\(", text) for text in (own, body, *wanted)):
            wanted.append(_read(_file(name, case)) or "")
    keys = "|".join(map(re.escape, values))  # all at once: a value may contain the name of another
    *helpers, body = (
        re.sub(rf"\b({keys})\b", lambda match: literal(values[match[1]]), text) for text in (*wanted, body)
    )
    text = "\n\n".join([*helpers, *([own] if own else []), body])
    return "\n".join([*_heading(case, run), "", *_imports(text), "", text])


def verdict_of(case: ClaimCase, run: Document | None) -> str:
    """Return the verdict that a run gave a claim and why, as a sentence; that it is not tested if it gave none."""
    expected = case.claim.expect
    papers = [paper for paper in run.papers if paper.id == case.paper.paper.id] if run else []
    judged = [claim for paper in papers for claim in paper.claims if claim.verdict in DECIDED]
    entry = next((claim for claim in judged if claim.id == case.claim.id), None)
    if run is None or entry is None:
        return f"Not tested yet; {expected.verdict} is expected: {expected.reason}."
    date = f" on {run.run.date[:10]}" if run.run else ""
    if entry.verdict == expected.verdict:
        return f"{entry.verdict.capitalize()}{date}: {expected.reason}."
    return f"{entry.verdict.capitalize()}{date}, not {expected.verdict}: {entry.reason}."


def _heading(case: ClaimCase, run: Document | None) -> Iterator[str]:
    claim = case.claim
    name = ", ".join(filter(None, [case.id, case.paper.paper.url]))
    for line in [
        f'{name}: "{claim.quote}"',
        f'Printed: "{claim.printed}". {verdict_of(case, run)}',
    ]:
        # On one line, so that no text can end its comment.
        yield from textwrap.wrap(
            printable_line(line), WIDTH, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False
        )


def _imports(text: str) -> Iterator[str]:
    """Yield the import statements of a script: the standard library first, then installed packages."""
    for group in (STANDARD, INSTALLED):
        if used := [name for name in group if re.search(rf"\b{re.escape(name)}\.", text)]:
            yield from (f"import {name}" for name in used)
            yield ""


def _values(case: ClaimCase, pairs: Sequence[tuple[str, str]]) -> Mapping[str, object]:
    """Return the values of the placeholders: networks, sides of images, classes, settings and conditions.

    `pairs` are each network that is compared with, and each model; twice the model if a claim compares nothing.
    """
    claim, models = case.claim, [model for _, model in pairs]
    given = {name.upper(): tried for name, tried in {**claim.settings, **claim.conditions}.items()}
    values: dict[str, object] = {name: tried[0] if name in SINGLE else list(tried) for name, tried in given.items()}
    if claim.without is not None:
        values["WITHOUT"] = single_name(case.paper, claim.without, {})
    values.setdefault("OPERATIONS_PER_MAC", [1])
    values |= {"MODELS": list(dict.fromkeys(models)), "PAIRS": list(pairs)}
    own = {name: _conditions(case, name) for pair in pairs for name in pair}
    values["SIDES"] = {name: conditions["resolution"] for name, conditions in own.items()}
    values["SIDE"], values["CLASSES"] = own[models[0]]["resolution"], own[models[0]]["classes"]
    if all(model in CONVNEXT_VARIANTS for model in models) and not set(models) <= TORCHVISIONS:
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


def _is_published(name: str, spec: NetworkSpec) -> bool:
    """Return whether torchvision or timm has a network, so that a script can build it in one line."""
    return isinstance(spec, Torchvision | Timm) and spec.name == name.removeprefix(TIMM_PREFIX) and not spec.options


def _body(case: ClaimCase) -> str | None:
    """Return the body of a claim's script, by metric, technique and way to count; None if there is none."""
    claim = case.claim
    ways = {name: claim.conditions.get(name, [common]) for name, common in COMMON.items()}
    if any(len(tried) > 1 for tried in ways.values()):
        return None
    name = f"{claim.metric}--{claim.technique}"
    if ways[CONVENTION] != [COMMON[CONVENTION]]:
        shown = claim.metric in BY_CONVENTION and claim.technique == UNCOMPRESSED and claim.without is None
        return _read(CONVENTION) if shown else None
    if claim.without is not None:
        name += "--without"
    if ways["counter"] != [COMMON["counter"]]:
        name += "--counter"
    return _read(name)


def _file(helper: str, case: ClaimCase) -> str:
    """Return the name of a helper's file; counters and conventions have one each."""
    conditions = case.claim.conditions
    if helper == CONVENTION:
        return f"convention-{conditions[CONVENTION][0]}"
    if helper == COUNTED:
        return f"counter-{conditions.get('counter', [OWN_COUNTER])[0]}".replace(", ", "-")
    return helper


def _networks(case: ClaimCase, pairs: Sequence[tuple[str, str]]) -> tuple[dict[str, NetworkSpec], dict[str, str]]:
    """Return all networks that a script builds, by name, and that with all listed filters cut, by model.

    HRank counts this one, which is not the model if it has shortcuts.
    """
    claim = case.claim
    without = [] if claim.without is None else [single_name(case.paper, claim.without, {})]
    names = [name for pair in pairs for name in pair]
    networks = {name: case.paper.network(name, {}) for name in [*names, *without]}
    cut: dict[str, str] = {}
    for _, name in pairs if claim.conditions.get(CONVENTION) == ["hrank"] else []:
        if isinstance(spec := networks[name], ResNetCifar):
            spec = spec.model_copy(update={"cut": "all"})
            cut[name] = next((other for other, known in networks.items() if known == spec), f"{name}, all cut")
            networks[cut[name]] = spec
    return networks, cut


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
