"""Grids on real engines: Ray with two workers, submitit's local executor, and two drivers at the same time."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from edgeai_repro.checksums import sha256
from edgeai_repro.evidence.training_record import WEIGHTS
from edgeai_repro.grid.engines import Engine, Loop
from edgeai_repro.grid.ray_engine import RayEngine, start
from edgeai_repro.grid.runs import Run
from edgeai_repro.grid.schema import Resources
from edgeai_repro.grid.submitit_engine import SubmititEngine
from tests.support.grids import STEPS, NoiseWork, drive, results, runs_of
from tests.support.planted_work import Planted

ray = pytest.importorskip("ray")
ROOT = Path(__file__).parents[2]
SEEDS = {"seeds": [0, 1]}


@pytest.fixture(scope="module", autouse=True)
def two_workers() -> Iterator[None]:
    """Ray with two workers, for all tests of this file; and a path on which other processes find the tests."""
    with tempfile.TemporaryDirectory(prefix="ray") as folder, pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv("OMP_NUM_THREADS", "1")
        start(2, Path(folder))  # a short path: Ray's sockets are in it
        yield
        ray.shutdown()


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, ...]:
    """Two runs, which differ by their seeds."""
    return runs_of(tmp_path_factory.mktemp("grid"), **SEEDS)


@pytest.fixture(scope="module")
def looped(runs: tuple[Run, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the same runs, trained one after the other in this process."""
    root = tmp_path_factory.mktemp("looped")
    drive(Loop(), NoiseWork(root / "log"), runs, root)
    return root


def assert_same(runs: tuple[Run, ...], root: Path, expected: Path) -> None:
    """Fail unless all records and weights are equal to the last bit."""
    assert results(runs, root) == results(runs, expected)
    for run in runs:
        assert sha256(root / run.id / WEIGHTS) == sha256(expected / run.id / WEIGHTS)


def test_killed_worker_of_ray_is_replaced_and_the_record_is_the_same(
    runs: tuple[Run, ...], looped: Path, tmp_path: Path
) -> None:
    """One of two workers dies after the third step of a run; its run resumes at the checkpoint of the second."""
    work = NoiseWork(tmp_path / "log", kill_after=3)

    board = drive(RayEngine(Resources(), None), work, runs, tmp_path)

    assert {state.name for state in board.states.values()} == {"finished"}
    assert_same(runs, tmp_path, looped)
    taken = work.steps()
    [(steps, processes)] = [
        ([step for step, _ in entries], [process for _, process in entries])
        for entries in taken.values()
        if len({process for _, process in entries}) > 1
    ]
    assert steps == [0, 1, 2, 2, 3]
    assert len(set(processes[:3])) == len(set(processes[3:])) == 1
    assert sum(len(entries) for entries in taken.values()) == 2 * STEPS + 1


def test_two_drivers_at_the_same_time_train_each_run_once(
    runs: tuple[Run, ...], looped: Path, tmp_path: Path
) -> None:
    """One has Ray's workers, which are other processes, the other is a loop here; both end when all is finished."""
    work = NoiseWork(tmp_path / "log")

    with ThreadPoolExecutor(1) as other:
        by_ray = other.submit(drive, RayEngine(Resources(), None), work, runs, tmp_path)
        here = drive(Loop(), work, runs, tmp_path)
    boards = [by_ray.result(), here]

    assert {state.name for board in boards for state in board.states.values()} == {"finished"}
    assert {name: [step for step, _ in entries] for name, entries in work.steps().items()} == {
        run.id: list(range(STEPS)) for run in runs
    }
    assert_same(runs, tmp_path, looped)


def test_job_of_submitit_gives_the_same_record(runs: tuple[Run, ...], looped: Path, tmp_path: Path) -> None:
    """submitit's local executor starts a process for the run."""
    engine = SubmititEngine(Resources(), tmp_path, {}, cluster="local", window=1)

    drive(engine, NoiseWork(tmp_path / "log"), runs[:1], tmp_path)

    assert_same(runs[:1], tmp_path, looped)


def test_run_whose_workers_are_always_killed_fails_and_the_other_finishes(
    runs: tuple[Run, ...], tmp_path: Path
) -> None:
    """Ray gives up after the retries; the reason is one line."""
    engine = RayEngine(Resources(retries=1), None)

    board = drive(engine, Planted(killed=runs[0].id), runs[:2], tmp_path)

    assert [state.name for state in board.states.values()] == ["failed", "finished"]
    assert board.states[runs[0].id].note.startswith("its worker was killed 2 times (")


@pytest.mark.parametrize("name", ["ray", "submitit"])
def test_exception_of_a_worker_is_the_reason_of_a_failure(name: str, runs: tuple[Run, ...], tmp_path: Path) -> None:
    """The line names it, the file has its traceback, and the other run goes on."""
    engine: Engine = (
        RayEngine(Resources(), None)
        if name == "ray"
        else SubmititEngine(Resources(), tmp_path, {}, cluster="local")
    )

    board = drive(engine, Planted(broken=runs[0].id), runs[:2], tmp_path)

    assert [state.name for state in board.states.values()] == ["failed", "finished"]
    assert "ZeroDivisionError" in (tmp_path / runs[0].id / "failure.txt").read_text(encoding="utf-8")
