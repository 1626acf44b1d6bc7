"""Claims files: what they hold, the ends of a band, and the variants of a claim."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import yaml

import edgeai_repro.builtin  # noqa: F401 - registers the metrics and techniques that claims name
from edgeai_repro.claims.load import load_claims, load_file
from edgeai_repro.claims.registry import METRICS
from edgeai_repro.claims.schema import Paper
from edgeai_repro.devices.spec import DevicesFile
from edgeai_repro.errors import UserError
from tests.support.factories import CHOICE, PAPER, SMALL, TINY, band, claim, claim_entry, paper_entry, paper_yaml

CLAIMS = Path(__file__).parents[2] / "claims"
FILES = sorted(CLAIMS.glob("*.yaml"))
PAPERS = {paper.paper.id: paper for paper in load_claims(CLAIMS)}


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
        with_parts = claim(band=band(rounding=0.5, sampling=0.25, tolerance=0.125, interpretation=0.0625))

        assert with_parts.edges == (9.0625, 10.9375)

    @pytest.mark.parametrize(
        ("side", "edges"), [("both", (9.0, 11.0)), ("at_least", (9.0, math.inf)), ("at_most", (-math.inf, 11.0))]
    )
    def test_one_sided_band_is_open_at_the_other_end(self, side: str, edges: tuple[float, float]) -> None:
        """A one-sided band is open at the other end."""
        assert claim(band=band(side=side)).edges == edges

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
        assert claim(band=band(side=side)).nearest_edge(value) == edge


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
