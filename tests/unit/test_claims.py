"""Claims files: what they hold, what is refused, and the schema that editors check them by."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from edgeai_repro.claims.registry import METRICS
from edgeai_repro.claims.schema import Paper, json_schema, load_claims, load_file
from edgeai_repro.devices.spec import DevicesFile
from edgeai_repro.errors import UserError
from edgeai_repro.files import read_yaml
from tests.support.factories import PAPER, claim, claim_entry, paper_entry, paper_yaml

CLAIMS = Path(__file__).parents[2] / "claims"
FILES = sorted(CLAIMS.glob("*.yaml"))
PAPERS = {paper.paper.id: paper for paper in load_claims(CLAIMS)}
TINY, SMALL = "convnext_tiny", "convnext_small"
CHOICE = {"name": "target", "default": 0.8, "swept_on": [TINY]}


def _band(**fields: Any) -> dict[str, Any]:
    return {"rounding": 1.0, "derivation": "for the test", **fields}


def _expect(verdict: str) -> dict[str, str]:
    return {"verdict": verdict, "reason": "the test says so"}


@pytest.fixture
def schema() -> jsonschema.Draft202012Validator:
    """The schema in the claims folder."""
    return jsonschema.Draft202012Validator(json.loads((CLAIMS / "schema.json").read_text(encoding="utf-8")))


class TestOurs:
    """The files of this repository."""

    def test_paper(self) -> None:
        """The folder holds the paper with all claims of the design's table, in its order."""
        paper = PAPERS["francy2024"]

        assert [paper.full_name(entry).removeprefix("francy2024/") for entry in paper.claims] == [
            "structured-size",
            "dq-size",
            "dq-params",
            "dq-macs",
            "unstructured-macs",
            "unstructured-compression",
            "unstructured-accuracy",
            "combined-size",
            "combined-params",
            "combined-macs",
            "combined-additive",
            "combined-accuracy",
            "maintained-accuracy",
            "finetuned-better",
            "edge-accuracy",
            "edge-latency",
            "alexnet-imbalance",
        ]

    @pytest.mark.parametrize("paper", load_claims(CLAIMS), ids=lambda paper: str(paper.paper.id))
    def test_assumptions_are_used(self, paper: Paper) -> None:
        """Everything listed as unstated is what some claim's verdict rests on."""
        used = {name for entry in paper.claims for name in entry.assumes}

        assert {entry.id for entry in paper.unstated} == used

    def test_edge(self) -> None:
        """What is claimed of deployment is ours, and is measured on what is deployed."""
        claims = PAPERS["edge"].claims

        assert [entry.id for entry in claims] == ["quantized-faster", "pruned-faster", "bundle-faster"]
        assert all(entry.source == "ours" and entry.metric == "speedup" for entry in claims)
        assert all(entry.edges == (1.0, math.inf) for entry in claims)

    @pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
    def test_all_load(self, file: Path) -> None:
        """Every file of the folder is a paper or a list of devices."""
        assert isinstance(load_file(file), Paper | DevicesFile)


class TestSchema:
    """The JSON schema that editors complete and check by."""

    def test_kept(self) -> None:
        """`claims/schema.json` is what the models say; `edgeai-repro claims schema` writes it anew."""
        assert (CLAIMS / "schema.json").read_text(encoding="utf-8") == json_schema()

    @pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
    def test_accepts(self, schema: jsonschema.Draft202012Validator, file: Path) -> None:
        """The schema accepts every file of the folder, which names it for editors."""
        assert schema.is_valid(read_yaml(file))
        assert "$schema=schema.json" in file.read_text(encoding="utf-8").partition("\n")[0]

    @pytest.mark.parametrize(
        "fields",
        [
            {"quantifier": "upto"},
            {"locater": "sentence 1"},
            {"band": _band(tolerance=-1.0)},
            {"value": "ninety-five"},
            {"id": "Upper Case"},
            {"models": []},
            {"expect": _expect("inconclusive")},
        ],
        ids=lambda fields: next(iter(fields)),
    )
    def test_rejects(self, schema: jsonschema.Draft202012Validator, fields: dict[str, Any]) -> None:
        """The schema rejects a claim with one planted error, and accepts it without."""
        assert schema.is_valid(paper_entry(claim_entry()))
        assert not schema.is_valid(paper_entry(claim_entry(**fields)))


class TestBand:
    """How far a measurement may lie from the paper's value."""

    def test_parts(self) -> None:
        """The band's parts add up."""
        found = claim(band=_band(rounding=0.5, sampling=0.25, tolerance=0.125))

        assert found.edges == (9.125, 10.875)

    @pytest.mark.parametrize(
        ("side", "edges"), [("both", (9.0, 11.0)), ("at_least", (9.0, math.inf)), ("at_most", (-math.inf, 11.0))]
    )
    def test_sides(self, side: str, edges: tuple[float, float]) -> None:
        """A one-sided band is open at the other end."""
        assert claim(band=_band(side=side)).edges == edges

    @pytest.mark.parametrize(
        ("low", "high", "where"),
        [
            (9.0, 11.0, "inside"),
            (9.5, 9.5, "inside"),
            (8.0, 8.5, "outside"),
            (11.5, 12.0, "outside"),
            (8.0, 9.0, "straddles"),
            (8.0, 12.0, "straddles"),
            (10.0, 12.0, "straddles"),
        ],
    )
    def test_locate(self, low: float, high: float, where: str) -> None:
        """An interval that has a point in the closed band and one out of it straddles."""
        assert claim().locate(low, high) == where

    @pytest.mark.parametrize(
        ("side", "value", "edge"), [("both", 9.9, 9.0), ("both", 99.0, 11.0), ("at_most", 0.0, 11.0)]
    )
    def test_nearest_edge(self, side: str, value: float, edge: float) -> None:
        """The nearest edge is never the open end."""
        assert claim(band=_band(side=side)).nearest_edge(value) == edge


class TestSettings:
    """What is measured of each model."""

    def test_product(self) -> None:
        """Several settings are combined."""
        asked = claim(settings={"target": [0.5, 0.8], "reading": ["points", "relative"]})

        assert len(asked.settings_for(TINY)) == 4
        assert {"target": 0.8, "reading": "points"} in asked.settings_for(TINY)

    def test_none(self) -> None:
        """A technique without settings is measured once."""
        assert claim().settings_for(TINY) == [{}]

    def test_unswept(self) -> None:
        """A model that doesn't sweep the free choice is measured at our own value of it."""
        asked = claim(settings={"target": [0.5, 0.8]}, choice=CHOICE)

        assert asked.settings_for(TINY) == [{"target": 0.5}, {"target": 0.8}]
        assert asked.settings_for(SMALL) == [{"target": 0.8}]


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"locater": "l"}, "'locater' must be a known key (got 'l' for it); did you mean 'locator'?"),
        (
            {"band": _band(tolerence=1)},
            "'band.tolerence' must be a known key (got 1 for it); did you mean 'tolerance'?",
        ),
        (
            {"band": _band(tolerance=-0.5)},
            "'band.tolerance' must fit: input should be greater than or equal to 0 (",
        ),
        ({"band": _band(rounding=math.inf)}, "'band.rounding' must fit: input should be a finite number (got inf)"),
        ({"band": _band(sampling=math.nan)}, "'band.sampling' must fit: input should be a finite number (got nan)"),
        ({"band": _band(derivation="")}, "'band.derivation' must fit: string should have at least 1 character"),
        ({"band": _band(side="atleast")}, "'band.side' must be known (got 'atleast'; did you mean 'at_least'?)"),
        ({"value": math.nan}, "'value' must fit: input should be a finite number (got nan)"),
        ({"value": None}, "'value' must fit: input should be a valid number (got None)"),
        (
            {"metric": "size_reductoin"},
            "metric must be known (got 'size_reductoin'; did you mean 'size_reduction'?)",
        ),
        ({"technique": "combinde"}, "technique must be known (got 'combinde'; did you mean 'combined'?)"),
        (
            {"models": ["convnext_tinny"]},
            "model must be known (got 'convnext_tinny'; did you mean 'convnext_tiny'?)",
        ),
        (
            {"also_shown": ["darknet"]},
            "model must be known (got 'darknet'; known are alexnet, convnext_atto, convnext_base",
        ),
        (
            {"also_shown": [TINY]},
            "'models' and 'neighbours' must name each model once (got 'convnext_tiny' twice)",
        ),
        ({"models": ["small"]}, "model must be known (got 'small'; did you mean 'convnext_small'?)"),
        ({"quantifier": "upto"}, "'quantifier' must be known (got 'upto'; did you mean 'up_to'?)"),
        ({"needs": ["wieghts"]}, "needs number 1 must be known (got 'wieghts'; did you mean 'weights'?)"),
        ({"models": []}, "'models' must fit: list should have at least 1 item"),
        ({"models": [TINY, SMALL]}, "'models' must be the one model of quantifier 'named' (got 2)"),
        ({"settings": {"target": []}}, "'settings.target' must fit: list should have at least 1 item"),
        ({"expect": _expect("inconclusive")}, "'expect.verdict' must be known (got 'inconclusive'; known are"),
        (
            {"expect": _expect("attainable")},
            "'expect.verdict' must not be 'attainable' for a claim without 'choice'",
        ),
        (
            {"expect": _expect("artefact"), "metric": "size_reduction"},
            "'expect.verdict' must not be 'artefact': 'size_reduction' has no actual quantity",
        ),
        (
            {"choice": CHOICE},
            "'choice.default' must be one of two values or more in settings['target'] (got 0.8 of [])",
        ),
        (
            {"choice": CHOICE, "settings": {"target": [0.8]}},
            "'choice.default' must be one of two values or more in settings['target'] (got 0.8 of [0.8])",
        ),
        (
            {"choice": {**CHOICE, "swept_on": [SMALL]}, "settings": {"target": [0.5, 0.8]}},
            "'choice.swept_on' must name one of 'models' (got ['convnext_small'])",
        ),
        (
            {"choice": {**CHOICE, "swept_on": ["convnext-tiny"]}, "settings": {"target": [0.5, 0.8]}},
            "model must be known (got 'convnext-tiny'; did you mean 'convnext_tiny'?)",
        ),
    ],
)
def test_refused_claim(tmp_path: Path, fields: dict[str, Any], complaint: str) -> None:
    """Raises UserError in one line with file, claim, rule, what came and what to do."""
    text = paper_yaml(claim_entry(), claim_entry(id="bad", **fields))
    (tmp_path / "paper.yaml").write_text(text, encoding="utf-8")

    with pytest.raises(UserError) as refused:
        load_claims(tmp_path)

    line = str(refused.value)
    assert line.startswith(f"{tmp_path}/paper.yaml: claims bad: {complaint}"), line
    assert "\n" not in line


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        (paper_entry(claim_entry(), claim_entry()), "claim 'id' must be unique (got 'a-claim' twice)"),
        (paper_entry(claims=[]), "'claims' must fit: list should have at least 1 item"),
        (
            paper_entry(claim_entry(assumes=["size"])),
            "a-claim: assumption must be known (got 'size'; none is known)",
        ),
        (
            paper_entry(unstated=[{"id": "size", "what": "w", "assumed": "a"}] * 2),
            "unstated 'id' must be unique (got 'size' twice)",
        ),
        (
            paper_entry(
                claim_entry(assumes=["siez"]), unstated=[{"id": "size", "what": "w", "assumed": "a"}]
            ),
            "a-claim: assumption must be known (got 'siez'; did you mean 'size'?)",
        ),
        (
            paper_entry(
                implications=[
                    {
                        "id": "i",
                        "rule": "int8-ceiling",
                        "claims": {"size_by_quantization": "a-clam"},
                        "parameters": {"models": TINY},
                        "expect": True,
                    }
                ]
            ),
            "i: claim must be known (got 'a-clam'; did you mean 'a-claim'?)",
        ),
        (
            paper_entry(claim_entry(needs=["data", "weights"])),
            "'full_scale' must be given where a claim needs weights (got none; a-claim does)",
        ),
        (
            paper_entry(claim_entry(settings={"target": [0.5, 0.8]}, choice={**CHOICE, "accuracy_claim": "a-clam"})),
            "a-claim: choice.accuracy_claim must be known (got 'a-clam'; did you mean 'a-claim'?)",
        ),
        ({"paper": PAPER}, "'claims' must be given (got nothing); add it"),
        (paper_entry(paper={**PAPER, "id": "Francy 2024"}), "'paper.id' must fit: string should match pattern"),
        ({"papers": PAPER}, "must have a key 'paper' or 'devices' (got papers); add it"),
        ([claim_entry()], "must have a key 'paper' or 'devices' (got list); add it"),
        (None, "must have a key 'paper' or 'devices' (got nothing); add it"),
        ({}, "must have a key 'paper' or 'devices' (got nothing); add it"),
    ],
)  # fmt: skip
def test_refused_file(tmp_path: Path, document: object, complaint: str) -> None:
    """Raises UserError in one line for what is wrong with a file as a whole."""
    (tmp_path / "paper.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")

    with pytest.raises(UserError) as refused:
        load_claims(tmp_path)

    assert str(refused.value).startswith(f"{tmp_path}/paper.yaml: {complaint}"), refused.value
    assert "\n" not in str(refused.value)


class TestFolder:
    """A folder of claims files."""

    def test_missing(self, tmp_path: Path) -> None:
        """Raises UserError if there is no such folder."""
        with pytest.raises(UserError, match=r"none: must be a folder with .* \(got no such folder\); name"):
            load_claims(tmp_path / "none")

    def test_a_file(self, tmp_path: Path) -> None:
        """Raises UserError if the folder is a file."""
        (tmp_path / "paper.yaml").write_text(paper_yaml(), encoding="utf-8")

        with pytest.raises(UserError, match=r"must be a folder with a claims file"):
            load_claims(tmp_path / "paper.yaml")

    def test_empty(self, tmp_path: Path) -> None:
        """Raises UserError if no file in it is of a paper."""
        with pytest.raises(UserError, match=r"\(got 0 YAML files, none of a paper\); name another with"):
            load_claims(tmp_path)

        (tmp_path / "devices.yaml").write_text("devices: []", encoding="utf-8")
        with pytest.raises(UserError, match=r"devices"):
            load_claims(tmp_path)

    def test_several(self, tmp_path: Path) -> None:
        """Several papers stand side by side, in the order of their files' names."""
        for file, name in (("b.yaml", "first"), ("a.yaml", "second")):
            text = paper_yaml(paper={**PAPER, "id": name})
            (tmp_path / file).write_text(text, encoding="utf-8")

        assert [paper.paper.id for paper in load_claims(tmp_path)] == ["second", "first"]

    def test_same_paper_twice(self, tmp_path: Path) -> None:
        """Raises UserError if two files give their paper the same id: full names would clash."""
        for file in ("a.yaml", "b.yaml"):
            (tmp_path / file).write_text(paper_yaml(), encoding="utf-8")

        with pytest.raises(UserError, match=r"paper 'id' must be unique \(got 'paper' twice\); rename one"):
            load_claims(tmp_path)


def test_metrics_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A claim may name any metric that was registered."""
    monkeypatch.setitem(METRICS, "of-ones-own", METRICS["accuracy"])

    assert claim(metric="of-ones-own").metric == "of-ones-own"
