"""Jobs of SLURM, with stand-ins for its commands: what a driver left in the queue, the next one takes up."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgeai_repro.errors import UserError
from edgeai_repro.grid.runs import Run
from edgeai_repro.grid.schema import Resources
from edgeai_repro.grid.work import Task
from tests.support.grids import drive, runs_of
from tests.support.planted_work import Planted

submitit_engine = pytest.importorskip("edgeai_repro.grid.submitit_engine", exc_type=ImportError)
ROOT = Path(__file__).parents[2]
COMMANDS = {
    "sbatch": 'cp "$1" {folder}/submitted.sh; echo "Submitted batch job 7"',
    "srun": "exit 1",
    "sacct": 'echo "JobID|State|NodeList"; echo "7|$(cat {folder}/state)|"',
}


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with SLURM's commands, in front of the others; the file `state` has the state of every job."""
    folder = tmp_path / "cluster"
    folder.mkdir()
    for name, script in COMMANDS.items():
        (folder / name).write_text(f"#!/bin/sh\n{script.format(folder=folder)}\n", encoding="utf-8")
        (folder / name).chmod(0o755)
    (folder / "state").write_text("PENDING", encoding="utf-8")
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """One run."""
    return runs_of(tmp_path)[0]


def leave(work: Planted, run: Run, root: Path) -> None:
    """Submit a run as a driver does, which is then interrupted."""

    def interrupted() -> None:
        raise KeyboardInterrupt

    engine = submitit_engine.SubmititEngine(Resources(cpus=2, hours=1.5), root, {"partition": "gpu"})
    with pytest.raises(KeyboardInterrupt):
        list(engine.outcomes(work, [Task(run, root, root / run.id, 2, root)], interrupted))


def do_job(root: Path) -> None:
    """Do job 7 as the submitted script does on a node."""
    subprocess.run(
        [sys.executable, "-m", "submitit.core._submit", str(root / submitit_engine.JOBS)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "SUBMITIT_EXECUTOR": "slurm", "SLURM_JOB_ID": "7"},
        check=True,
    )


def test_job_asks_for_the_resources_of_the_grid(cluster: Path, run: Run, tmp_path: Path) -> None:
    """Hours become minutes, and the options of sbatch are passed on."""
    leave(Planted(), run, tmp_path / "root")

    lines = (cluster / "submitted.sh").read_text(encoding="utf-8").splitlines()
    wanted = {"#SBATCH --cpus-per-task=2", "#SBATCH --time=90", "#SBATCH --partition=gpu"}
    assert wanted <= set(lines)


def test_job_that_a_driver_left_is_not_submitted_again(cluster: Path, run: Run, tmp_path: Path) -> None:
    """It ends while no driver is there; the next one writes its record."""
    root = tmp_path / "root"
    leave(Planted(), run, root)
    (cluster / "submitted.sh").unlink()
    do_job(root)

    board = drive(submitit_engine.SubmititEngine(Resources(), root, {}), Planted(), (run,), root)

    assert board.states[run.id].name == "finished"
    assert not (cluster / "submitted.sh").exists()
    assert not (root / run.id / submitit_engine.JOB).exists()


@pytest.mark.parametrize(("state", "submitted"), [("PENDING", False), ("NODE_FAIL", True)])
def test_job_is_submitted_again_only_if_it_was_killed(
    cluster: Path, run: Run, tmp_path: Path, state: str, submitted: bool
) -> None:
    """A job that waits is left in the queue."""
    root = tmp_path / "root"
    leave(Planted(), run, root)
    (cluster / "submitted.sh").unlink()
    (cluster / "state").write_text(state, encoding="utf-8")

    leave(Planted(), run, root)

    assert (cluster / "submitted.sh").exists() == submitted


def test_preempted_job_is_queued_again_with_the_same_task(run: Run, tmp_path: Path) -> None:
    """submitit asks the work for what to queue."""
    task = Task(run, tmp_path, tmp_path / run.id, 1, tmp_path)
    work = submitit_engine.Requeued(Planted())

    delayed = work.checkpoint(task)

    assert (delayed.function, delayed.args) == (work, (task,))


def test_sbatch_that_refuses_a_job_is_one_line(cluster: Path, run: Run, tmp_path: Path) -> None:
    """The line has sbatch's own."""
    (cluster / "sbatch").write_text("#!/bin/sh\necho 'invalid partition specified: gpu' >&2; exit 1\n")

    with pytest.raises(UserError, match="sbatch must take the job of resnet20--none--") as caught:
        drive(submitit_engine.SubmititEngine(Resources(), tmp_path, {}), Planted(), (run,), tmp_path)

    assert "invalid partition specified" in str(caught.value)
    assert "\n" not in str(caught.value)
