"""Claims files: what they hold, and what is refused."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import yaml

import edgeai_repro.builtin  # noqa: F401 - registers the metrics and techniques that claims name
from edgeai_repro.claims.load import load_claims, load_file, read_claims
from edgeai_repro.claims.registry import METRICS
from edgeai_repro.claims.schema import Paper
from edgeai_repro.devices.spec import DevicesFile
from edgeai_repro.errors import UserError
from tests.support.factories import AT_32, PAPER, claim, claim_entry, paper_entry, paper_yaml

CLAIMS = Path(__file__).parents[2] / "claims"
FILES = sorted(CLAIMS.glob("*.yaml"))
PAPERS = {paper.paper.id: paper for paper in load_claims(CLAIMS)}
TINY, SMALL = "convnext_tiny", "convnext_small"
CHOICE = {"name": "target", "default": 0.8, "swept_on": [TINY]}


def _band(**fields: Any) -> dict[str, Any]:
    return {"rounding": 1.0, "derivation": "for the test", **fields}


def _expect(verdict: str) -> dict[str, str]:
    return {"verdict": verdict, "reason": "the test says so"}


class TestOurs:
    """The files of this repository."""

    @pytest.mark.parametrize("paper", load_claims(CLAIMS), ids=lambda paper: str(paper.paper.id))
    def test_every_unstated_entry_is_assumed_by_a_claim(self, paper: Paper) -> None:
        """Everything listed as unstated is what some claim's verdict rests on."""
        used = {name for entry in paper.claims for name in entry.assumes}

        assert {entry.id for entry in paper.unstated} == used

    def test_claims_on_deployment_are_ours_or_need_the_device_that_they_are_about(self) -> None:
        """All are ratios of times. Ours hold on any machine; those that are published name a Raspberry Pi 5."""
        ours, published = PAPERS["edge"].claims, PAPERS["arm-executorch"].claims

        assert {entry.source for entry in ours} == {"ours"}
        assert [entry.id for entry in ours] == ["quantized-faster", "pruned-faster", "bundle-faster"]
        assert all(entry.edges == (1.0, math.inf) and not entry.values_of("device") for entry in ours)
        assert [entry.value for entry in published] == [3.61, 5.91, 1.61]
        assert all(entry.values_of("device") == ["raspberry-pi-5"] for entry in published)
        assert all(entry.metric == "speedup" and entry.needs == ["edge"] for entry in (*ours, *published))

    @pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
    def test_every_file_of_the_folder_loads(self, file: Path) -> None:
        """Every file of the folder is a paper or a list of devices."""
        assert isinstance(load_file(file), Paper | DevicesFile)


class TestBand:
    """How far a measurement may lie from the paper's value."""

    def test_parts_of_the_band_add_up(self) -> None:
        """The band's parts add up."""
        with_parts = claim(band=_band(rounding=0.5, sampling=0.25, tolerance=0.125, interpretation=0.0625))

        assert with_parts.edges == (9.0625, 10.9375)

    @pytest.mark.parametrize(
        ("side", "edges"), [("both", (9.0, 11.0)), ("at_least", (9.0, math.inf)), ("at_most", (-math.inf, 11.0))]
    )
    def test_one_sided_band_is_open_at_the_other_end(self, side: str, edges: tuple[float, float]) -> None:
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
    def test_interval_across_an_edge_straddles(self, low: float, high: float, where: str) -> None:
        """An interval that has a point in the closed band and one out of it straddles."""
        assert claim().locate(low, high) == where

    @pytest.mark.parametrize(
        ("side", "value", "edge"), [("both", 9.9, 9.0), ("both", 99.0, 11.0), ("at_most", 0.0, 11.0)]
    )
    def test_open_end_is_never_the_nearest_edge(self, side: str, value: float, edge: float) -> None:
        """The nearest edge is never the open end."""
        assert claim(band=_band(side=side)).nearest_edge(value) == edge


class TestVariants:
    """The settings and conditions that a model is measured with."""

    def test_values_are_combined(self) -> None:
        """Several settings are combined."""
        both = claim(settings={"target": [0.5, 0.8]}, conditions={"reading": ["points", "relative"]})

        assert len(both.variants_for(TINY)) == 4
        assert ({"target": 0.8}, {"reading": "points"}) in both.variants_for(TINY)

    def test_single_value_may_be_written_without_brackets(self) -> None:
        """It is read as a list of one value."""
        assert claim(conditions={"resolution": 224}).conditions == {"resolution": [224]}

    def test_claim_without_values_is_measured_once(self) -> None:
        """A technique without settings is measured once."""
        assert claim(conditions={}).variants_for(TINY) == [({}, {})]

    def test_model_that_does_not_sweep_is_measured_at_the_default(self) -> None:
        """A model that doesn't sweep the free choice is measured at our own value of it."""
        swept = claim(settings={"target": [0.5, 0.8]}, conditions={}, choice=CHOICE)

        assert swept.variants_for(TINY) == [({"target": 0.5}, {}), ({"target": 0.8}, {})]
        assert swept.variants_for(SMALL) == [({"target": 0.8}, {})]


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
        ({"band": _band(tolerence=1)}, ".band.tolerence: is not a known key; did you mean 'tolerance'?"),
        ({"band": _band(tolerance=-0.5)}, ".band.tolerance: "),
        ({"band": _band(rounding=math.inf)}, ".band.rounding: "),
        ({"band": _band(derivation="")}, ".band.derivation: "),
        ({"band": _band(side="atleast")}, ".band.side: "),
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
        claim_entry(id="two", band=_band(side="atleast"), locater="l"),
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


def test_defaults_reach_the_claims_whose_metric_takes_them(tmp_path: Path) -> None:
    """A condition of the claim itself comes first."""
    counted = claim_entry(metric="macs", technique="none", conditions={"classes": 10})
    other = claim_entry(id="other", metric="accuracy", needs=["weights"])
    scale = {"init": "scratch", "epochs": 1, "resolution": 32, "stem_stride": 4}
    document = paper_entry(counted, other, defaults={"resolution": 224, "classes": 1000}, full_scale=scale)
    (tmp_path / "paper.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")

    (paper,) = load_claims(tmp_path)

    assert [entry.conditions for entry in paper.claims] == [{"resolution": [224], "classes": [10]}, {}]


class TestFolder:
    """A folder of claims files."""

    def test_missing_folder_is_refused(self, tmp_path: Path) -> None:
        """Raises UserError if there is no such folder."""
        with pytest.raises(UserError, match=r"none: must be a folder with .* \(got no such folder\); name"):
            load_claims(tmp_path / "none")

    def test_file_in_place_of_the_folder_is_refused(self, tmp_path: Path) -> None:
        """Raises UserError if the folder is a file."""
        (tmp_path / "paper.yaml").write_text(paper_yaml(), encoding="utf-8")

        with pytest.raises(UserError, match=r"must be a folder with a claims file"):
            load_claims(tmp_path / "paper.yaml")

    def test_folder_without_a_paper_is_refused(self, tmp_path: Path) -> None:
        """Raises UserError if no file in it is of a paper."""
        with pytest.raises(UserError, match=r"\(got 0 YAML files, none of a paper\); name another with"):
            load_claims(tmp_path)

        (tmp_path / "devices.yaml").write_text("devices: []", encoding="utf-8")
        with pytest.raises(UserError, match=r"devices"):
            load_claims(tmp_path)

    def test_papers_come_in_the_order_of_the_file_names(self, tmp_path: Path) -> None:
        """Several papers stand side by side, in the order of their files' names."""
        for file, name in (("b.yaml", "first"), ("a.yaml", "second")):
            text = paper_yaml(paper={**PAPER, "id": name})
            (tmp_path / file).write_text(text, encoding="utf-8")

        assert [paper.paper.id for paper in load_claims(tmp_path)] == ["second", "first"]

    def test_same_paper_id_twice_is_refused(self, tmp_path: Path) -> None:
        """Raises UserError if two files give their paper the same id: full names would clash."""
        for file in ("a.yaml", "b.yaml"):
            (tmp_path / file).write_text(paper_yaml(), encoding="utf-8")

        with pytest.raises(UserError, match=r"paper 'id' must be unique \(got 'paper' twice\); rename one"):
            load_claims(tmp_path)


def test_claim_may_name_a_registered_metric(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Users register their own."""
    monkeypatch.setitem(METRICS, "own-metric", METRICS["params_reduction"])
    (tmp_path / "paper.yaml").write_text(paper_yaml(claim_entry(metric="own-metric")), encoding="utf-8")

    assert load_claims(tmp_path)[0].claims[0].metric == "own-metric"
