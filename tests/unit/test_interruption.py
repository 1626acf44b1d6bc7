"""Ctrl-C ends a command within two seconds, with one line; a step of training ends, and an audit shows its rows."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from torch import nn

from edgeai_repro.audit import audit, table
from edgeai_repro.errors import Interrupted
from edgeai_repro.interruption import EXIT, interruptible, step_to_its_end
from tests.support.signals import heard

# A command that does what stands in `{work}` after it has said so, in the place of `edgeai-repro claims schema`.
COMMAND = """
import sys, time
from edgeai_repro.claims import editor_schema
from edgeai_repro.__main__ import main

def work(*_):
    print("working", file=sys.stderr, flush=True)
    {work}

editor_schema.json_schema = work
sys.argv = ["edgeai-repro", "claims", "schema"]
main()
"""
PRESSED_AT_IMPORT = """
import os, signal, sys

def press(event, arguments):
    if event == "import" and arguments[0] == "{module}":
        os.kill(os.getpid(), signal.SIGINT)

sys.addaudithook(press)
"""
PYTHON = "time.sleep(600)"
LIBRARY = "import numpy as np; big = np.ones((6000, 6000)); [big @ big for _ in range(600)]"


@pytest.mark.parametrize("work", [PYTHON, LIBRARY], ids=["python", "library"])
def test_interrupted_command_ends_with_one_line(work: str) -> None:
    """Whether Python waits or a library computes, the process ends, with the status of a shell."""
    code = COMMAND.format(work=work)
    with heard(), subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "working\n"

        process.send_signal(signal.SIGINT)

        assert process.stderr.read() == "edgeai-repro: interrupted\n"
    assert process.returncode == EXIT


@pytest.mark.parametrize(
    ("module", "arguments", "status"),
    [
        ("edgeai_repro.cli.main", ["-m", "edgeai_repro", "claims", "list"], EXIT),
        ("edgeai_repro.plugin.hooks", ["-m", "pytest", "-p", "no:cacheprovider"], pytest.ExitCode.INTERRUPTED),
    ],
    ids=["command", "plugin"],
)
def test_interrupted_start_ends_with_one_line(
    module: str, arguments: list[str], status: int, tmp_path: Path
) -> None:
    """Our modules are imported for up to a second; Python's traceback would show where."""
    (tmp_path / "sitecustomize.py").write_text(PRESSED_AT_IMPORT.format(module=module), encoding="utf-8")

    with heard():
        ended = subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
            capture_output=True,
            text=True,
        )

    assert (ended.returncode, ended.stdout, ended.stderr) == (status, "", "edgeai-repro: interrupted\n")


@pytest.fixture
def handlers() -> Iterator[Callable[[], list[object]]]:
    """The handlers of the two signals, which a block must leave as they were."""
    kinds = (signal.SIGINT, signal.SIGALRM)
    before = [signal.getsignal(kind) for kind in kinds]
    yield lambda: [signal.getsignal(kind) for kind in kinds]
    assert [signal.getsignal(kind) for kind in kinds] == before


@pytest.mark.usefixtures("handlers")
def test_step_ends_before_the_interruption() -> None:
    """The block goes on and learns that it should end."""
    with interruptible(), step_to_its_end() as interruption:
        os.kill(os.getpid(), signal.SIGINT)

        assert interruption.asked


@pytest.mark.usefixtures("handlers")
def test_step_that_takes_too_long_is_interrupted() -> None:
    """A step without end is left in its middle."""

    def step() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        while True:
            pass

    with interruptible(), step_to_its_end(seconds=0.01), pytest.raises(Interrupted):
        step()


@pytest.mark.usefixtures("handlers")
def test_outside_of_a_command_ctrl_c_stays_as_it_is() -> None:
    """A program that uses this library gets its KeyboardInterrupt at once."""
    with heard(), step_to_its_end() as interruption, pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)

    assert not interruption.asked


def test_interrupted_audit_has_the_rows_so_far() -> None:
    """It is marked as partial, and so is its table."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 4))

    def interrupt(technique: str) -> None:
        if technique == "dynamic_quantization":
            raise Interrupted

    result = audit(model, resolution=8, latency=False, on_progress=interrupt)

    assert result.partial
    assert [row.technique for row in result.rows][-1] == "dynamic_quantization"
    assert "partial: the audit was interrupted" in table.render(result, colour=False)
