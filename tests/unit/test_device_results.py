"""Results that devices contribute: they are kept if they can be true, and shown next to the roofline."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edgeai_repro.errors import UserError
from edgeai_repro.evidence.environment import describe
from edgeai_repro.evidence.measurement import Interval
from edgeai_repro.report import document, html, markdown
from edgeai_repro.report.device_results import add_result, load_results, with_device_results
from edgeai_repro.report.document import Document
from edgeai_repro.session import Session
from tests.support.device_results import DEVICES, result, run_of, timed, timed_document, write
from tests.support.reports import HERE


def test_result_of_a_device_is_kept_with_its_sha256(tmp_path: Path) -> None:
    """A device's result is kept whole, with its sha256, and comes back with what was measured."""
    kept = add_result(write(tmp_path, result(timed(), accuracy=timed(92.0))), tmp_path / "evidence", DEVICES)
    (found,) = load_results(tmp_path / "evidence", DEVICES)

    assert kept.parent == tmp_path / "evidence" / "devices"
    assert kept.name.startswith("raspberry-pi-5-")
    assert (found.device, found.claim, found.row.reported.value) == ("raspberry-pi-5", "fast", 15)
    assert found.row.source == "recorded"
    assert found.accuracy is not None
    assert found.accuracy.reported.value == 92


def test_folder_without_results_has_none(tmp_path: Path) -> None:
    """Where no device contributed anything, there is nothing."""
    assert load_results(tmp_path, DEVICES) == []


def test_result_is_shown_next_to_the_roofline(tmp_path: Path) -> None:
    """The table of latencies by device grows by a row, in Markdown and on the page."""
    before = run_of(tmp_path)
    add_result(write(tmp_path, result(timed(17.25))), tmp_path / "evidence", DEVICES)
    after = Session(tmp_path / "claims")

    def rows(run: Session, render: Callable[[Document], str], mark: str) -> int:
        text = render(timed_document(run))
        assert ("17.25" in text) == (run is after)
        return text.count(mark)

    assert rows(after, markdown.render, "| 32 |") == rows(before, markdown.render, "| 32 |") + 1
    assert rows(after, html.render, "<tr>") == rows(before, html.render, "<tr>") + 1


@pytest.mark.parametrize(
    ("found", "complaint"),
    [
        (result(timed(), device=None), r"the device is missing; set EDGEAI_DEVICE"),
        (result(timed(), device="raspberry-pi-6"), r"\(got 'raspberry-pi-6'\); did you mean 'raspberry-pi-"),
        (
            result(timed(), machine="x86_64"),
            r"must come from an edge device with its own architecture .* run on x86_64",
        ),
        (
            result(timed(), emulated=True),
            r"must come from a real processor \(got an emulated one\); run it on the device",
        ),
        (
            result(timed()).model_copy(update={"other_environments": [HERE]}),
            r"must come from one machine \(got 2, merged\)",
        ),
        (result(), r"a latency with a verdict is missing"),
        (result(timed(control=Interval(value=1, low=0.8, high=1.2))), r"a latency with a verdict is missing"),
        (result(timed(evidence=None)), r"the sha256 of the timed file or the A/A control is missing"),
        (result(timed(control=None)), r"the sha256 of the timed file or the A/A control is missing"),
        (result(timed(0.001)), r"must not be faster than raspberry-pi-5 can be, .* ms \(got 0\.00 ms\)"),
        (result(timed(), accuracy=timed(92.0, evidence="b" * 64)), r"must evaluate the file that it times, aaaaaa"),
    ],
)
def test_result_that_can_not_be_true_is_refused(tmp_path: Path, found: Document, complaint: str) -> None:
    """What can't be believed is refused in one line, and nothing is kept."""
    path = write(tmp_path, found)

    with pytest.raises(UserError, match=complaint) as caught:
        add_result(path, tmp_path / "evidence", DEVICES)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "evidence").exists()


def test_changed_result_is_refused(tmp_path: Path) -> None:
    """A result that was altered after it was kept is refused."""
    kept = add_result(write(tmp_path, result(timed())), tmp_path / "evidence", DEVICES)
    kept.write_text(kept.read_text(encoding="utf-8").replace("15.0", "12.0"), encoding="utf-8")

    with pytest.raises(UserError, match="must have the sha256"):
        load_results(tmp_path / "evidence", DEVICES)


def test_evidence_add_keeps_the_run_of_a_device(
    tmp_path: Path, command: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`edgeai-repro evidence add` takes a device's JSON."""
    run_of(tmp_path)
    monkeypatch.chdir(tmp_path)
    status, out, _ = command("evidence", "add", str(write(tmp_path, result(timed()))))

    assert status == 0
    assert out.startswith("evidence/devices/raspberry-pi-5-")


class TestReport:
    """`edgeai-repro report` shows the results that devices contributed after the run."""

    @pytest.fixture(autouse=True)
    def _run(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A run of before, in a working directory with claims, and a device's result after it, as evidence."""
        document.write(timed_document(run_of(tmp_path)), tmp_path / "before.json")
        add_result(write(tmp_path, result(timed(17.25), accuracy=timed(92.0))), tmp_path / "evidence", DEVICES)
        monkeypatch.chdir(tmp_path)

    def test_report_grows_by_a_row(self, command: Callable[..., tuple[int, str, str]]) -> None:
        """The evidence beside the claims is read by itself; both files name the device with its latency."""
        Path("none").mkdir()
        assert command("report", "before.json", "-o", "without", "--evidence", "none")[0] == 0
        assert command("report", "before.json", "-o", "with")[0] == 0

        for name, line in (("report.md", "| 32 | combined, 4 threads, top-1 92 % |"), ("report.html", "17.25")):
            assert line not in Path("without", name).read_text(encoding="utf-8"), name
            assert line in Path("with", name).read_text(encoding="utf-8"), name
        (row,) = [line for line in Path("with/report.md").read_text("utf-8").splitlines() if "17.25" in line]
        assert row.startswith("| Raspberry Pi 5")

    def test_same_json_and_evidence_give_the_same_bytes(self, command: Callable[..., tuple[int, str, str]]) -> None:
        """The same JSON and evidence give the same bytes, also where the run knew the result already."""
        run = document.read(Path("before.json")).run  # its date, its seconds and its memory are shown, too
        after = timed_document(Session(Path("claims"))).model_copy(update={"run": run})
        document.write(after, Path("after.json"))
        for folder, found in (("first", "before"), ("second", "before"), ("third", "after")):
            assert command("report", f"{found}.json", "-o", folder, "--evidence", "evidence")[0] == 0

        for name in ("report.html", "report.md"):
            texts = {Path(folder, name).read_bytes() for folder in ("first", "second", "third")}
            assert len(texts) == 1, name

    def test_report_needs_no_torch(self) -> None:
        """It needs no torch."""
        program = (
            "import sys; sys.modules['torch'] = None; "
            "sys.argv = ['edgeai-repro', 'report', 'before.json']; from edgeai_repro.__main__ import main; main()"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

        assert done.returncode == 0, done.stderr
        assert "17.25" in Path("claims-report/report.md").read_text(encoding="utf-8")

    @pytest.mark.parametrize(
        ("wrong", "complaint"),
        [("nowhere", "nowhere: must be the evidence folder"), ("evidence", "must have the sha256")],
    )
    def test_missing_or_changed_evidence_is_refused_in_one_line(
        self, wrong: str, complaint: str, command: Callable[..., tuple[int, str, str]]
    ) -> None:
        """A folder that isn't there, or evidence that was altered: one line, status 2, and nothing is written."""
        for kept in Path("evidence/devices").glob("*.json"):
            kept.write_text(kept.read_text("utf-8").replace("17.25", "12.25"), encoding="utf-8")

        status, _, err = command("report", "before.json", "--evidence", wrong)

        assert (status, err.count("\n")) == (2, 1)
        assert complaint in err
        assert not Path("claims-report").exists()


def test_device_that_the_run_did_not_know_is_shown_by_its_key(tmp_path: Path) -> None:
    """A result of a device that came after the run is shown by its key."""
    run = run_of(tmp_path, without="raspberry-pi-5")
    add_result(write(tmp_path, result(timed(17.25))), tmp_path / "evidence", DEVICES)

    grown = with_device_results(timed_document(run), load_results(tmp_path / "evidence", DEVICES))

    assert "| raspberry-pi-5 | 32 | combined, 4 threads | – | – | 17.25" in markdown.render(grown)
    assert "17.25" in html.render(grown)


@pytest.mark.parametrize(
    ("lines", "name"),
    [
        ("model name\t: AMD EPYC\nflags\t: avx2\n", "AMD EPYC"),
        (
            "CPU implementer\t: 0x41\nCPU part\t: 0xd0b\n\nModel\t\t: Raspberry Pi 5 Model B Rev 1.0\n",
            "Raspberry Pi 5 Model B Rev 1.0 0x41 0xd0b",
        ),
    ],
)
def test_cpu_has_the_name_of_its_kernel_or_board(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: str, name: str
) -> None:
    """A CPU has the name that its kernel gives, on ARM the board's and the core's numbers: boards differ by it."""
    (tmp_path / "cpuinfo").write_text(lines, encoding="utf-8")
    monkeypatch.setattr("edgeai_repro.evidence.environment.CPUINFO", tmp_path / "cpuinfo")

    assert describe().cpu == name
