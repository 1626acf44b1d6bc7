"""`edgeai-repro grid`: train networks × techniques × settings × seeds, on this machine or on a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgeai_repro.errors import UserError

HELP_ON = (
    "local (one after the other), ray (in parallel on this machine), ray://HOST (a Ray cluster), or slurm. The "
    "workers must see the same folders."
)


def grid(
    file: Annotated[Path, typer.Argument(metavar="GRID.yaml", help="networks, techniques, settings and seeds")],
    on: Annotated[str, typer.Option("--on", help=HELP_ON)] = "local",
    out: Annotated[Path | None, typer.Option(help="Folder of the runs (default: EDGEAI_MODELS).")] = None,
    status: Annotated[bool, typer.Option("--status", help="Only show the state of the runs.")] = False,
) -> None:
    """Train all runs of a grid on the data in EDGEAI_DATA. Finished runs are skipped, killed ones resumed.

    Each run has the folder that `edgeai-repro train` would give it. Several drivers may share these folders. The
    summary, with one line per run, is in the folder of the runs. The grid can be left at any time: start the same
    command again.

    Example: edgeai-repro grid examples/grid.yaml --on=ray
    """
    from edgeai_repro.data.cifar import data_folder
    from edgeai_repro.grid.board import Board, stored_states, total
    from edgeai_repro.grid.display import Display
    from edgeai_repro.grid.driver import Driver, Place
    from edgeai_repro.grid.engines import engine
    from edgeai_repro.grid.runs import read_grid
    from edgeai_repro.grid.work import train_run

    content = read_grid(file)
    root = (_default_root() if out is None else out).absolute()
    if status:
        states = stored_states(content.runs, root)
        typer.echo("\n".join([*(state.line() for state in states), total(states)]))
        return
    place = Place(root, data_folder().absolute(), Path.cwd())
    summary = root / f"{content.name}-summary.txt"
    resources = content.file.resources
    with Display() as display:
        board = Board(content.runs, summary, changed=display.changed, refresh=display.refresh)
        driver = Driver(engine(on, content.file, root), train_run, board, place, resources.cpus)
        driver.drive(content.runs)
    states = list(board.states.values())
    typer.echo(f"{total(states)}; {summary}")
    if failed := [state for state in states if state.name == "failed"]:
        raise UserError(
            f"all runs must finish ({len(failed)} failed; {failed[0].run.id}: {failed[0].note}); "
            f"their folders have the reasons in failure.txt"
        )


def _default_root() -> Path:
    from edgeai_repro.compress.saved_models import default_root  # imports torch

    return default_root()
