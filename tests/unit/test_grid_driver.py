"""A driver skips finished runs, goes on with others after any end, and leaves runs to other drivers."""

from __future__ import annotations

import errno
import fcntl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgeai_repro.errors import UserError
from edgeai_repro.evidence.training_record import RESULT, load_record
from edgeai_repro.grid import folders
from edgeai_repro.grid.board import stored_states
from edgeai_repro.grid.engines import Loop
from edgeai_repro.grid.runs import Run
from edgeai_repro.grid.work import Outcome, Task, Tick, nothing, train_run
from edgeai_repro.judge.formatting import duration
from edgeai_repro.training.progress import Progress
from tests.support.grids import STEPS, NoiseWork, drive, results, runs_of
from tests.support.planted_work import Planted, record_of

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def runs(tmp_path: Path) -> tuple[Run, ...]:
    """Two runs, which differ by their seeds."""
    return runs_of(tmp_path, seeds=[0, 1])


class Noted:
    """Work that finishes every run at once and notes its name."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def __call__(self, task: Task, tick: Tick = nothing) -> Outcome:
        """Do the work of a task."""
        self.names.append(task.run.id)
        return Outcome(state="finished", record=record_of(task))


def test_finished_runs_are_skipped(runs: tuple[Run, ...], tmp_path: Path) -> None:
    """The second driver does only what the first one did not."""
    first, second = Noted(), Noted()
    drive(Loop(), first, runs[:1], tmp_path)

    board = drive(Loop(), second, runs, tmp_path)

    assert (first.names, second.names) == ([runs[0].id], [runs[1].id])
    assert [state.name for state in board.states.values()] == ["finished", "finished"]


def test_run_that_lacks_a_wanted_evaluation_is_not_finished(runs: tuple[Run, ...], tmp_path: Path) -> None:
    """`sweep` does not change the weights, so the folder is the same; the record gets the evaluations."""
    drive(Loop(), Noted(), runs[:1], tmp_path)
    [swept] = runs_of(tmp_path, settings={"sweep": [True]})
    work = Noted()

    drive(Loop(), work, (swept,), tmp_path)

    assert work.names == [runs[0].id]


@pytest.mark.parametrize(
    ("planted", "complaint"),
    [
        (lambda text: text.replace('"epochs": 2', '"epochs": 3'), "must be the record of the same recipe"),
        (lambda text: text[:100], "must be valid JSON"),
    ],
)
def test_wrong_record_is_a_failure_and_stays(
    runs: tuple[Run, ...], tmp_path: Path, planted: object, complaint: str
) -> None:
    """The others are trained all the same."""
    drive(Loop(), Noted(), runs[:1], tmp_path)
    path = tmp_path / runs[0].id / RESULT
    path.write_text(content := planted(path.read_text(encoding="utf-8")), encoding="utf-8")  # type: ignore[operator]

    board = drive(Loop(), Noted(), runs, tmp_path)

    assert [state.name for state in board.states.values()] == ["failed", "finished"]
    assert complaint in board.states[runs[0].id].note
    assert path.read_text(encoding="utf-8") == content


def test_only_the_driver_writes_records(runs: tuple[Run, ...], tmp_path: Path) -> None:
    """The work leaves weights, a checkpoint and its progress; the driver adds the record."""
    task = Task(runs[0], tmp_path, tmp_path / runs[0].id, 1, tmp_path)
    outcome = NoiseWork(tmp_path / "log")(task)

    before = {path.name for path in task.folder.iterdir()}
    drive(Loop(), lambda task, tick: outcome, runs[:1], tmp_path)

    left = {"weights.safetensors", "checkpoint.pt", "run.lock"}
    assert before == {*left, "progress.json"}
    assert {path.name for path in task.folder.iterdir()} == {*left, RESULT}
    assert load_record(task.folder / RESULT) == outcome.record


def test_interrupted_driver_writes_its_summary_and_the_next_one_goes_on(
    runs: tuple[Run, ...], tmp_path: Path
) -> None:
    """Ctrl-C in the second epoch of the first run: no step of the first epoch is repeated."""
    unbroken = tmp_path / "unbroken"
    drive(Loop(), NoiseWork(tmp_path / "other"), runs, unbroken)
    work = NoiseWork(tmp_path / "log")
    root = tmp_path / "root"

    def interrupted() -> None:
        if (progress := folders.read_progress(root / runs[0].id)) and progress.epoch == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        drive(Loop(), lambda task, tick: work(task, interrupted), runs, root)
    summary = (root / "summary.txt").read_text(encoding="utf-8")
    drive(Loop(), work, runs, root)

    assert summary.startswith("2 runs: 2 waiting\n")
    assert {name: [step for step, _ in taken] for name, taken in work.steps().items()} == {
        run.id: list(range(STEPS)) for run in runs
    }
    assert results(runs, root) == results(runs, unbroken)
    assert (
        (root / "summary.txt").read_text(encoding="utf-8").startswith("2 runs: 2 finished\nfinished  epoch   2/2 ")
    )


def test_failed_run_is_tried_again_by_the_next_driver(runs: tuple[Run, ...], tmp_path: Path) -> None:
    """The reason is kept until a record replaces it."""
    failing = drive(Loop(), lambda task, tick: Outcome.failed("the reason\nand more"), runs[:1], tmp_path)
    [stored] = stored_states(runs[:1], tmp_path)

    board = drive(Loop(), Noted(), runs[:1], tmp_path)

    assert [(s.name, s.note) for s in failing.states.values()] == [("failed", "the reason")]
    assert (stored.name, stored.note) == ("failed", "the reason")
    assert [state.name for state in board.states.values()] == ["finished"]
    assert stored_states(runs[:1], tmp_path)[0].note == ""


def test_mistake_in_our_own_code_is_a_failure_with_a_traceback(runs: tuple[Run, ...], tmp_path: Path) -> None:
    """The first line names it; the rest is for the one who repairs it."""
    outcome = train_run(Task(runs[0], tmp_path, tmp_path / "run", 0, tmp_path))  # torch takes no 0 threads

    assert outcome.state == "failed"
    assert outcome.reason.splitlines()[1] == "Traceback (most recent call last):"


def test_run_that_another_process_holds_is_left_to_it_and_waited_for(runs: tuple[Run, ...], tmp_path: Path) -> None:
    """The driver ends when the other one has written its record, and trains nothing itself."""
    work = NoiseWork(tmp_path / "log")
    task = Task(runs[0], tmp_path, tmp_path / runs[0].id, 1, tmp_path)
    seen: list[str] = []

    def others() -> Iterator[None]:
        with folders.held(task.folder):
            folders.write_progress(task.folder, Progress(epoch=1, epochs=2, top1=50.0, seconds_left=90.0))
            yield
            drive(Loop(), lambda task, tick: Outcome(state="finished", record=record_of(task)), runs[:1], tmp_path)

    other = others()
    next(other)
    seen += [f"{state.name} {state.note}" for state in stored_states(runs[:1], tmp_path)]
    thread = threading.Timer(0.5, lambda: list(other))
    thread.start()
    board = drive(Loop(), work, runs[:1], tmp_path)
    thread.join()

    assert seen == ["running "]
    assert [state.name for state in board.states.values()] == ["finished"]
    assert not work.log.exists()


def test_board_shows_epoch_accuracy_and_time_left(runs: tuple[Run, ...], tmp_path: Path) -> None:
    """They are those of the run's last progress."""
    folder = tmp_path / runs[0].id
    folders.check_lockable(folder)
    folders.write_progress(folder, Progress(epoch=1, epochs=2, top1=61.2, seconds_left=3700.0))

    with folders.held(folder):
        [state] = stored_states(runs[:1], tmp_path)

    assert state.line() == (
        f"running   epoch   1/2     61.20 %  1 h 1 min left  {runs[0].id}  resnet20 dense seed=0"
    )


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0 s"),
        (59, "59 s"),
        (60, "1 min 0 s"),
        (3599, "59 min 59 s"),
        (3661, "1 h 1 min"),
        (90_000, "1 d 1 h"),
    ],
)
def test_duration_has_two_units(seconds: float, text: str) -> None:
    """The larger one fits."""
    assert duration(seconds) == text


def test_folder_without_locks_is_one_line(
    runs: tuple[Run, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NFS without its lock service answers so. Nothing is trained, and nothing is lost."""

    def no_locks(file: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with pytest.raises(
        UserError, match=r"must be a folder that can be locked \(got No locks available\)"
    ) as caught:
        drive(Loop(), Planted(), runs, tmp_path / "nfs")

    assert "\n" not in str(caught.value)


def test_folder_that_cannot_be_made_is_one_line(runs: tuple[Run, ...], tmp_path: Path) -> None:
    """A file is in its place."""
    (tmp_path / "file").touch()

    with pytest.raises(UserError, match="must be a folder that can be locked") as caught:
        drive(Loop(), Planted(), runs, tmp_path / "file" / "root")

    assert "\n" not in str(caught.value)
