"""A mistake in a claims file is refused in one line, and leaves out no other claim."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import yaml

import edgeai_repro.builtin  # noqa: F401 - registers the metrics and techniques that claims name
from edgeai_repro.claims.load import load_claims, read_claims
from edgeai_repro.errors import UserError
from tests.support.factories import AT_32, CHOICE, PAPER, SMALL, TINY, band, claim_entry, paper_entry, paper_yaml
from tests.support.records import FULL_SCALE


def _expect(verdict: str) -> dict[str, str]:
    return {"verdict": verdict, "reason": "the test says so"}


PRUNED = {"technique": "structured_pruning", "settings": {"target": [0.5, 0.8]}}


def _refusal(folder: Path, document: object) -> list[str]:
    """Return the lines that refuse a file, without its path."""
    file = folder / "paper.yaml"
    file.write_text(yaml.safe_dump(document), encoding="utf-8")
    with pytest.raises(UserError) as refused:
        load_claims(folder)
    lines = str(refused.value).splitlines()
    assert all(line.startswith(f"{file}: ") for line in lines), lines
    return [line.removeprefix(f"{file}: ") for line in lines]


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"locater": "l"}, ".locater: is not a known key; did you mean 'locator'?"),
        ({"neighbours": [TINY]}, ".neighbours: is now called 'also_shown'; rename it"),
        ({"band": band(tolerence=1)}, ".band.tolerence: is not a known key; did you mean 'tolerance'?"),
        ({"band": band(tolerance=-0.5)}, ".band.tolerance: "),
        ({"band": band(rounding=math.inf)}, ".band.rounding: "),
        ({"band": band(derivation="")}, ".band.derivation: "),
        ({"band": band(side="atleast")}, ".band.side: "),
        ({"value": math.nan}, ".value: "),
        ({"value": None}, ".value: "),
        (
            {"metric": "size_reductoin"},
            ": 'metric' must be known (got 'size_reductoin'); did you mean 'size_reduction'?",
        ),
        ({"technique": "combinde"}, ": 'technique' must be known (got 'combinde'); did you mean 'combined'?"),
        (
            {"models": ["convnext_tinny"]},
            ": 'models' must be known networks (got 'convnext_tinny'); did you mean 'convnext_tiny'?",
        ),
        (
            {"also_shown": ["timm:xyzzy"]},
            ": 'also_shown' must be known networks (got 'timm:xyzzy'); write a torchvision name, timm:NAME ",
        ),
        (
            {"metric": "params_ratio", "technique": "none", "against": "pinned"},
            ": 'against' must have as many classes as the model (got 'pinned' and 'convnext_tiny' with 7 and 10)",
        ),
        ({"metric": "params_ratio", "technique": "none"}, ": 'against' is missing: 'params_ratio' compares two"),
        (
            {"against": "alexnet", "metric": "imbalance", "technique": "none"},
            ": 'against' must be unset: 'imbalance' does not compare two networks",
        ),
        ({"conditions": {**AT_32, "biases": "no"}}, ": 'conditions.biases' must be counted or left out (got 'no')"),
        ({"models": ["own.py:net"]}, ": 'models' must be known networks (got 'own.py:net'); "),
        (
            {"also_shown": [TINY]},
            ": 'models' and 'also_shown' must name each model once (got 'convnext_tiny' twice)",
        ),
        ({"quantifier": "upto"}, ".quantifier: "),
        ({"needs": ["wieghts"]}, ".needs[0]: "),
        ({"models": []}, ".models: "),
        ({"models": [TINY, SMALL]}, ": 'models' must be one model for quantifier 'named' (got 2)"),
        ({"settings": {"target": []}}, ".settings.target: "),
        (
            {"settings": {"targt": 0.8}},
            ": 'settings.targt' must be a setting of 'dynamic_quantization' (it takes none)",
        ),
        (
            {"technique": "structured_pruning"},
            ": 'settings.target' is missing: 'structured_pruning' needs it; add it",
        ),
        (
            {"conditions": {**AT_32, "threads": 1}},
            ": 'conditions.threads' must be a condition of 'params_reduction' (it takes biases, ",
        ),
        (
            {"conditions": {"classes": 10}},
            ": 'conditions.resolution' is missing: 'convnext_tiny' is built and counted with it; add it, or 'def",
        ),
        (
            {
                "metric": "params",
                "technique": "none",
                "settings": {"classes": 10},
                "conditions": {"resolution": 32},
            },
            ": 'settings.classes' is a condition of 'params'; move it to 'conditions'",
        ),
        ({"settings": {"x": 1}, "conditions": {"x": 1}}, ": 'x' must be a setting or a condition (got both)"),
        ({"printed": "11 %"}, ": 'printed' must occur in 'quote' (got '11 %'); copy it from the quote"),
        ({"metric": "accuracy"}, ": 'needs' must list weights for 'accuracy' (got none); add it"),
        ({"expect": _expect("inconclusive")}, ".expect.verdict: "),
        (
            {"expect": _expect("attainable")},
            ": 'expect.verdict' must not be 'attainable' for a claim without 'choice'",
        ),
        (
            {"expect": _expect("artefact"), "metric": "size_reduction"},
            ": 'expect.verdict' must not be 'artefact': 'size_reduction' has no actual quantity",
        ),
        ({"choice": CHOICE}, ": 'choice.default' must be one of two or more values of 'target' (got 0.8 of [])"),
        ({"choice": {**CHOICE, "recipe": 0.8}}, ".choice.recipe: is now called 'default'; rename it"),
        (
            {**PRUNED, "choice": {**CHOICE, "swept_on": [SMALL]}},
            ": 'choice.swept_on' must name all of 'models' (got no convnext_tiny)",
        ),
        (
            {**PRUNED, "choice": {**CHOICE, "accuracy_claim": "a-clam"}},
            ": 'choice.accuracy_claim' must be known (got 'a-clam'); did you mean 'a-claim'?",
        ),
        (
            {"assumes": ["size"]},
            ": 'assumes' must be known (got 'size'); none is known; or add it under 'unstated'",
        ),
    ],
)
def test_mistake_in_a_claim_is_one_line(tmp_path: Path, fields: dict[str, Any], complaint: str) -> None:
    """The line names the file, the claim, the key, the rule, the value received and the next step."""
    pinned = {"family": "torchvision", "name": "resnet18", "classes": 7, "resolution": 64}
    document = paper_entry(claim_entry(), claim_entry(id="bad", **fields), networks={"pinned": pinned})
    lines = _refusal(tmp_path, document)

    assert lines[0].startswith(f"claims[bad]{complaint}"), lines


def test_every_mistake_of_a_file_is_listed(tmp_path: Path) -> None:
    """Each has a line of its own, those that only several entries show included."""
    mistakes = paper_entry(
        claim_entry(id="one", models=[TINY, SMALL], printed="11 %"),
        claim_entry(id="two", band=band(side="atleast"), locater="l"),
    )
    bad = claim_entry(id="two", technique="t", models=["n"])
    unknown = paper_entry(claim_entry(id="one", metric="m", conditions={}), bad)

    assert [line.partition(":")[0] for line in _refusal(tmp_path, mistakes)] == [
        "claims[one]",
        "claims[one]",
        "claims[two].band.side",
        "claims[two].locater",
    ]
    assert [line.partition(":")[0] for line in _refusal(tmp_path, unknown)] == [
        "claims[one]",
        "claims[two]",
        "claims[two]",
    ]


class TestOtherClaims:
    """A mistake leaves out the claim that has it, and nothing else."""

    @pytest.mark.parametrize(
        "mistake",
        [{"models": ["convnext_tinny"]}, {"value": "ten"}, {"printed": "11 %"}, {"conditions": {"resolution": 32}}],
        ids=lambda mistake: next(iter(mistake)),
    )
    def test_other_claims_of_the_file_are_read(self, tmp_path: Path, mistake: dict[str, Any]) -> None:
        """The mistake is one line."""
        ceiling = {**CEILING, "claims": {"size_by_quantization": "bad"}}
        document = paper_yaml(claim_entry(), claim_entry(id="bad", **mistake), implications=[ceiling])
        (tmp_path / "paper.yaml").write_text(document, encoding="utf-8")

        read = read_claims(tmp_path)

        assert [claim.id for claim in read.papers[0].claims] == ["a-claim"]
        assert read.papers[0].implications == []  # it follows from the claim that is left out
        assert len(read.problems) == 1
        assert read.problems[0].startswith(f"{tmp_path / 'paper.yaml'}: claims[bad]")

    def test_other_files_are_read(self, tmp_path: Path) -> None:
        """A file whose mistake is not in a claim is left out as a whole."""
        (tmp_path / "a.yaml").write_text(paper_yaml(unstated=[{"id": "x"}]), encoding="utf-8")
        (tmp_path / "b.yaml").write_text(paper_yaml(), encoding="utf-8")

        read = read_claims(tmp_path)

        assert [paper.file for paper in read.papers] == [tmp_path / "b.yaml"]
        assert [problem.startswith(f"{tmp_path / 'a.yaml'}: unstated[x]") for problem in read.problems] == [
            True
        ] * 2


CEILING = {"id": "i", "rule": "int8-ceiling", "given": {"models": TINY}, "expect": True}


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        (paper_entry(claim_entry(), claim_entry()), "claim 'id' must be unique (got 'a-claim' twice)"),
        (paper_entry(claims=[]), "claims: "),
        (
            paper_entry(unstated=[{"id": "size", "what": "w", "assumed": "a"}] * 2),
            "unstated 'id' must be unique (got 'size' twice)",
        ),
        (
            paper_entry(implications=[{**CEILING, "claims": {"size_by_quantization": "a-clam"}}]),
            "implications[i]: 'claims' must be known (got 'a-clam'); did you mean 'a-claim'?",
        ),
        (
            paper_entry(claim_entry(metric="accuracy", needs=["data", "weights"])),
            "claims[a-claim]: 'full_scale' of the file is missing",
        ),
        (
            paper_entry(full_scale={**FULL_SCALE.model_dump(), "dense_top1": {"convnext_tyni": 90.0}}),
            "'full_scale.dense_top1' must name models of the claims (got 'convnext_tyni')",
        ),
        (
            paper_entry(full_scale={**FULL_SCALE.model_dump(), "dense_top1": {"convnext_tiny": 932.5}}),
            "full_scale.dense_top1.convnext_tiny: must be less than or equal to 100 (got 932.5)",
        ),
        (paper_entry(defaults={"stride": "v1"}), "'defaults.stride' must be a condition of a claim's metric"),
        ({"schema_version": 2, "paper": PAPER}, "claims: is missing; add it"),
        (paper_entry(paper={**PAPER, "id": "Francy 2024"}), "paper.id: "),
        (paper_entry(schema_version=1), "'schema_version' must be 2 (got 1); write 'schema_version: 2'"),
        ({"paper": PAPER}, "'schema_version' is missing; write 'schema_version: 2'"),
        ({"papers": PAPER}, "must have a key 'paper' or 'devices' (got papers); add it"),
        ([claim_entry()], "must have a key 'paper' or 'devices' (got list); add it"),
        (None, "must have a key 'paper' or 'devices' (got nothing); add it"),
        ({}, "must have a key 'paper' or 'devices' (got nothing); add it"),
    ],
)
def test_mistake_in_a_file_is_one_line(tmp_path: Path, document: object, complaint: str) -> None:
    """The line names the file, the rule, the value received and the next step."""
    assert _refusal(tmp_path, document)[0].startswith(complaint)
