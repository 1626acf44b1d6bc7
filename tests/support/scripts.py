"""Runs the scripts of the claims of this repository."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeai_repro.claims.load import load_claims
from edgeai_repro.claims.schema import Claim, ClaimCase
from edgeai_repro.errors import MissingRequirement, UserError
from edgeai_repro.evidence.measurement import Setting
from edgeai_repro.report.script import script

CASES = {case.id: case for paper in load_claims(Path(__file__).parents[2] / "claims") for case in paper.cases}
# Claims whose scripts must show all values of their rows.
COMPARED = (
    *("luo2017/gap-pruning-only", "lin2020/resnet56-params", "lin2020/vgg-flops"),
    "he2019/resnet56-count",
)
IGNORED = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning", "ignore::torch.jit.TracerWarning"
)


def quickest(entry: Claim) -> str:
    """Return the fastest model of a claim."""
    named = [*entry.models, *entry.also_shown]
    quick = ("convnext_atto", "mobilenet_v3_large", "convnext_tiny")
    return next((model for model in quick if model in named), named[0])


def run(name: str, settings: dict[str, list[Setting]] = {}) -> None:  # noqa: B006 - it is only read
    """Run the script of a claim in this process, for its fastest model and with other settings."""
    paper, entry = CASES[name].paper, CASES[name].claim
    entry = entry.model_copy(update={"settings": {**entry.settings, **settings}})

    exec(compile(script(ClaimCase(paper, entry), [quickest(entry)]), name, "exec"), {"__name__": "__main__"})


def _has_script(name: str) -> bool:
    """Return whether a script can show a claim; of others, `reproduce` says why not."""
    try:
        return bool(script(CASES[name]))
    except (UserError, MissingRequirement):
        return False


WITHOUT = [name for name in CASES if not _has_script(name)]
