"""`edgeai-repro grid` trains, shows one line per run, and leaves what `edgeai-repro train` would leave."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from edgeai_repro.checksums import sha256
from edgeai_repro.evidence.training_record import RESULT, WEIGHTS, load_record
from tests.support.commands import Command
from tests.support.grids import write_grid

pytestmark = pytest.mark.usefixtures("one_thread", "here")

ATTO = {
    "techniques": {"dense": {"epochs": 1, "batch_size": 250, "precision": "fp32"}},
    "networks": ["convnext_atto"],
}


def test_run_of_a_grid_is_that_of_the_command_in_its_record(command: Command, here: Path) -> None:
    """The recorded command, given to `edgeai-repro train`, gives the same weights in the same folder."""
    write_grid(here, **ATTO)
    status, out, _ = command("grid", "small.yaml")
    [folder] = Path("models").glob("convnext_atto--none--*")
    record = load_record(folder / RESULT)
    weights = sha256(folder / WEIGHTS)
    for name in (RESULT, WEIGHTS, "checkpoint.pt"):
        (folder / name).unlink()

    command(*shlex.split(record.command)[1:])

    assert status == 0
    assert sha256(folder / WEIGHTS) == weights
    assert load_record(folder / RESULT).evaluations == record.evaluations
    *lines, total = out.splitlines()
    assert [line.split()[0] for line in lines] == ["running", "finished"]
    assert f"{record.curve[-1].test_top1:.2f} %" in lines[-1]
    assert total == f"1 run: 1 finished; {here / 'models' / 'small-summary.txt'}"


def test_status_shows_a_line_per_run_and_trains_nothing(command: Command, here: Path) -> None:
    """They are followed by the number of runs in each state."""
    write_grid(here, seeds=[0, 1])

    status, out, _ = command("grid", "small.yaml", "--status", "--out=runs")

    assert status == 0
    assert [line.split()[0] for line in out.splitlines()] == ["waiting", "waiting", "2"]
    assert not Path("runs").exists()


def test_failed_run_gives_status_2_and_its_reason(command: Command, here: Path) -> None:
    """A rate that is far too high: the loss is not finite."""
    write_grid(here, **ATTO, settings={"lr": [1e30]})

    status, out, err = command("grid", "small.yaml", "--out=runs")

    assert (status, err.count("\n")) == (2, 1)
    assert "must stay finite" in err
    assert out.splitlines()[-1].startswith("1 run: 1 failed; ")


def test_grid_without_data_has_status_3(command: Command, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """EDGEAI_DATA is unset."""
    monkeypatch.delenv("EDGEAI_DATA")
    write_grid(here)

    status, out, err = command("grid", "small.yaml")

    assert (status, out, err.count("\n")) == (3, "", 1)
    assert "EDGEAI_DATA" in err
