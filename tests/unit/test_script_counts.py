"""Claims as scripts that count in another way: by a counter, as a paper's authors, without a cause, or a set."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch

from edgeai_repro.claims.schema import ClaimCase
from edgeai_repro.evidence.statistics import kendall_trend
from edgeai_repro.measure.compressed_models import CompressedModels
from edgeai_repro.measure.counters.adapters import COUNTERS
from edgeai_repro.networks import resolve
from edgeai_repro.report.script import script
from tests.support.factories import case, claim
from tests.support.scripts import CASES, COMPARED, IGNORED

SIZES = {f"vgg-{width}": {"family": "vgg_cifar", "channels": [width, width, "M", width]} for width in (4, 32, 128)}


@IGNORED
@pytest.mark.parametrize("name", COMPARED)
def test_script_shows_the_values_of_the_claim(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The script takes nothing from the package, and prints the values of the claim's row: of its last reading."""
    whole = CASES[name].claim
    entry = whole.model_copy(update={"conditions": {key: tried[-1:] for key, tried in whole.conditions.items()}})
    shown = ClaimCase(CASES[name].paper, entry)
    rows = CompressedModels([shown]).measure(shown).rows

    exec(compile(script(shown), name, "exec"), {"__name__": "__main__"})

    out = capsys.readouterr().out
    values = [value.value for row in rows for value in (row.reported, row.actual) if value]
    assert values
    assert [value for value in values if value and not is_printed(value, out)] == [], out


def is_printed(value: float, text: str) -> bool:
    """Return whether a text has a number with at least two digits after the point that is `value`, rounded."""
    return any(
        f"{value:.{len(digits)}f}" == f"{whole}.{digits}" for whole, digits in re.findall(r"(\d+)\.(\d\d+)", text)
    )


@IGNORED
@pytest.mark.parametrize("counter", [name for name, counter in COUNTERS.items() if counter.installed])
def test_script_counts_as_the_counter_that_a_claim_names(counter: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The script calls it as our adapter does."""
    entry = claim(
        metric="macs",
        technique="none",
        models=["vgg-32"],
        conditions={"counter": [counter], "resolution": [32], "classes": [10]},
    )
    shown = case(entry, networks=SIZES)
    network = resolve.build(shown.paper.network("vgg-32", {}), classes=10).model
    counted = COUNTERS[counter].count(network, (torch.zeros(1, 3, 32, 32),)).macs

    exec(compile(script(shown), counter, "exec"), {"__name__": "__main__"})

    assert f"vgg-32: {counted / 1e9:.{4 if counter == 'thop' else 6}f} G " in capsys.readouterr().out


def test_script_ranks_a_set_of_networks(capsys: pytest.CaptureFixture[str]) -> None:
    """Networks of 1 : 100 : 10,000 MACs take more time in this order, and tau is that of the statistics here."""
    networks = {**SIZES, "all": {"family": "set", "of": list(SIZES)}}
    entry = claim(
        metric="macs_time_tau",
        technique="none",
        models=["all"],
        conditions={"threads": [1], "batch": [1], "resolution": [32], "classes": [10]},
    )
    names: dict[str, Any] = {"__name__": "__main__"}

    exec(compile(script(case(entry, networks=networks)), "tau", "exec"), names)

    assert "tau of MACs and time over 3 networks here: 1.000" in capsys.readouterr().out
    pairs = [(1, 5), (2, 4), (2, 7), (3, 6), (5, 5), (8, 9)]
    assert names["tau"](pairs) == pytest.approx(kendall_trend(*zip(*pairs, strict=True)).tau)
