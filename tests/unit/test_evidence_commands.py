"""The commands that keep records, judge them again, and write a report. Errors are one line each."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from edgeai_repro.evidence.store import SUMS
from edgeai_repro.evidence.training_record import RESULT, load_record
from edgeai_repro.report import document
from tests.support import reports
from tests.support.commands import Command
from tests.support.factories import claim_entry, paper_yaml
from tests.support.records import FULL, FULL_SCALE, dense, keep, pruned

pytestmark = pytest.mark.usefixtures("here")

ROOT = Path(__file__).parents[2]
CLAIM = claim_entry(
    id="kept",
    metric="accuracy_change",
    technique="combined",
    models=["convnext_small"],
    value=0.0,
    band={"rounding": 0.0, "tolerance": 1.0, "side": "at_least", "derivation": "for the test"},
    settings={"target": [0.8]},
    needs=["data", "weights"],
)


@pytest.fixture
def claims(here: Path) -> Path:
    """A claims folder with one claim, about the accuracy of trained models."""
    (here / "claims").mkdir()
    text = paper_yaml(CLAIM, full_scale=FULL_SCALE.model_dump())
    (here / "claims" / "paper.yaml").write_text(text, encoding="utf-8")
    return here / "claims"


def test_add_keeps_the_record_of_a_run(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its name is that of the run's folder, or the given one; the run may be named by folder or by file."""
    monkeypatch.setenv("EDGEAI_DATA", ".")  # without images: the record is of CIFAR-10's own test split
    Path("run").mkdir()
    shutil.copy(ROOT / "evidence" / "tiny-dense-s0.json", Path("run") / RESULT)

    assert command("evidence", "add", "run") == (0, "evidence/run.json\n", "")
    assert command("evidence", "add", f"run/{RESULT}", "--name", "again")[1] == "evidence/again.json\n"

    made, kept = load_record(Path("run") / RESULT), load_record(Path("evidence/run.json"))
    assert kept.model_dump(exclude={"evaluations"}) == made.model_dump(exclude={"evaluations"})
    assert [form.correct for form in kept.evaluations] == [form.correct for form in made.evaluations]
    assert [line.split("  ")[1] for line in Path("evidence", SUMS).read_text().splitlines()] == [
        "again.json",
        "run.json",
    ]


@pytest.mark.parametrize("run", ["nowhere", "."])
def test_add_refuses_a_folder_without_a_record(command: Command, run: str) -> None:
    """It creates no evidence folder."""
    status, _, err = command("evidence", "add", run)

    assert (status, err.count("\n")) == (2, 1)
    assert not Path("evidence").exists()


@pytest.mark.parametrize(
    ("compressed", "recipe", "status", "verdict"),
    [
        (895, FULL, 0, "reproduced"),
        (870, FULL, 1, "contradicted (expected reproduced)"),
        (870, {}, 0, "not testable"),
    ],
    ids=["as expected", "drift", "reduced scale"],
)
def test_rejudge_has_status_1_only_on_drift(
    command: Command,
    claims: Path,
    compressed: int,
    recipe: dict[str, object],
    status: int,
    verdict: str,
) -> None:
    """The status is 0 if the verdict is expected, or if the recorded evidence doesn't decide the claim."""
    keep(Path("evidence").absolute(), a=dense(900, **recipe), b=pruned(compressed, **recipe))

    exit_status, out, err = command("rejudge", "--json", "out.json")

    (entry,) = document.read(Path("out.json")).papers[0].claims
    assert (exit_status, entry.id) == (status, "kept")
    assert verdict in out
    assert err.startswith("edgeai-repro: 'kept' must be reproduced (got contradicted: ") == (status == 1)
    assert entry.rows[0].source == "recorded"


def test_rejudge_needs_no_data(command: Command, claims: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without evidence the claim isn't decided, which is no drift."""
    monkeypatch.delenv("EDGEAI_DATA")

    status, out, _ = command("rejudge")

    assert status == 0
    assert "no convnext_small trained at full scale is here" in out


def test_rejudge_refuses_changed_evidence(command: Command, claims: Path) -> None:
    """The error is one line with the file's name and its sha256."""
    keep(Path("evidence").absolute(), a=dense(900))
    with Path("evidence/a.json").open("a") as kept:
        kept.write(" ")

    status, out, err = command("rejudge")

    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "a.json: must have the sha256" in err


def test_rejudge_refuses_a_folder_without_claims(command: Command) -> None:
    """The exit status is 2."""
    assert command("rejudge", "--claims-dir", "nowhere")[0] == 2


def test_report_is_written_from_the_json_of_a_run(command: Command) -> None:
    """It is an HTML file and a Markdown file."""
    document.write(reports.run(), Path("verdicts.json"))

    status, out, _ = command("report", "verdicts.json", "-o", "shown")

    assert (status, out) == (0, "shown/report.html\nshown/report.md\n")
    assert all(Path(path).stat().st_size > 1000 for path in out.split())


def test_report_shows_the_json_of_rejudge(command: Command, claims: Path) -> None:
    """The rows are marked as those of reduced scale."""
    keep(Path("evidence").absolute(), a=dense(900), b=pruned(870))
    command("rejudge", "--json", "out.json")

    assert command("report", "out.json", "-o", "shown")[0] == 0
    assert "at reduced scale -3 points" in Path("shown/report.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("text", ["{}", "nonsense"])
def test_report_refuses_another_file(command: Command, text: str) -> None:
    """Each line of the error begins with the file's name, and nothing is written."""
    Path("verdicts.json").write_text(text, encoding="utf-8")

    status, _, err = command("report", "verdicts.json")

    assert status == 2
    assert all("verdicts.json: " in line for line in err.splitlines())
    assert not Path("claims-report").exists()
