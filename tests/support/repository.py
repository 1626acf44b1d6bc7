"""Another repository that uses the plugin, with its own metric, claims file and test."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from edgeai_repro.report import document
from tests.support.factories import AT_32, claim_entry, paper_yaml

IMPLICATION = {
    "id": "it",
    "rule": "int8-ceiling",
    "claims": {"size_by_quantization": "passes"},
    "given": {"models": "convnext_tiny"},
    "expect": True,
}
IMPLICATION_TEST = """
import pytest


@pytest.mark.claims
def test_implication(implication, implication_result):
    assert implication_result.holds == implication.expect
"""
CONFTEST = '''
from edgeai_repro import Interval, Measurement, metric
from edgeai_repro.errors import MissingRequirement, TooNoisyError


def interval(text):
    low, *rest = (float(part) for part in str(text).split())
    high = rest[0] if rest else low
    return Interval(value=(low + high) / 2, low=low, high=high)


@metric("planted", unit="%", has_actual=True, conditions=("reported",), optional=("actual",))
def planted(models, claim, model):
    """The numbers in the claim's conditions."""
    for settings, conditions in claim.variants_for(model):
        reported = conditions["reported"]
        if reported == "broken":
            raise RuntimeError("the infrastructure broke")
        if reported == "interrupted":
            raise KeyboardInterrupt
        if reported == "without data":
            raise MissingRequirement("data", "CIFAR-10 is missing; set EDGEAI_DATA")
        if reported == "noisy":
            raise TooNoisyError("the processor was throttled")
        yield Measurement(
            model=model,
            technique=claim.technique,
            settings=settings,
            conditions=conditions,
            notes={"planted": True},
            reported=interval(reported),
            actual=interval(conditions.get("actual", reported)),
        )
'''
TEST = """
import pytest


@pytest.mark.claims
def test_claim(verdict, report_outcome):
    report_outcome(verdict)
"""
# Each run in this process would import hypothesis again and rewrite its assertions, which takes a second.
PLUGINS = ("-p", "no:cacheprovider", "-p", "no:hypothesispytest", "-p", "no:anyio")
HEADING = "flips if"  # of a column of the table of verdicts


def planted(
    reported: float | str, actual: float | str | None = None, *, expected: str = "reproduced", **fields: Any
) -> dict[str, Any]:
    """Return the file entry of a claim of 10 ± 1. Its conditions hold the numbers or intervals to measure."""
    conditions: dict[str, list[Any]] = {**AT_32, "reported": [reported]}
    if actual is not None:
        conditions["actual"] = [actual]
    expect = {"verdict": expected, "reason": "the test says so"}
    return claim_entry(**{"metric": "planted", "conditions": conditions, "expect": expect, **fields})


def swept(*reported: float, expected: str) -> dict[str, Any]:
    """Return a claim of 10 ± 1 with a free choice. Each value of the choice is also the measured number."""
    choice = {"name": "reported", "default": reported[0], "swept_on": ["convnext_tiny"]}
    return planted(reported[0], expected=expected, conditions={**AT_32, "reported": list(reported)}, choice=choice)


@dataclass
class Repository:
    """A repository that uses the plugin."""

    pytester: pytest.Pytester

    @property
    def claims(self) -> Path:
        """The path of the claims file."""
        return self.pytester.path / "claims" / "paper.yaml"

    @property
    def json(self) -> Path:
        """The path of the JSON file with the verdicts."""
        return self.pytester.path / "out.json"

    def write(self, *claims: dict[str, Any], **fields: Any) -> None:
        """Write the claims file; `fields` replace or add entries of the paper."""
        self.claims.parent.mkdir(exist_ok=True)
        self.claims.write_text(paper_yaml(*claims, **fields), encoding="utf-8")

    def run(self, *arguments: str) -> pytest.RunResult:
        """Run pytest in the repository, within this process; warnings are errors."""
        return self.pytester.runpytest_inprocess(*PLUGINS, "-W", "error", *arguments, no_reraise_ctrlc=True)

    def judge(self, *claims: dict[str, Any], arguments: tuple[str, ...] = ()) -> pytest.RunResult:
        """Write the claims file and run pytest."""
        self.write(*claims)
        return self.run(*arguments)

    def verdicts(self) -> dict[str, str]:
        """Return the verdicts in the JSON file, by the ids of their claims."""
        return {entry.id: entry.verdict for paper in document.read(self.json).papers for entry in paper.claims}
