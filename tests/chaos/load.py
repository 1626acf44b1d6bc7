"""Runs claims under load: next to busy loops, and twice at once into the same files.

Counts must have the verdicts that they have on a quiet machine. A time must have the verdict that follows from its
claim, or none: a network takes 1 time as long as itself, so it is known without measuring.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from edgeai_repro.errors import UserError
from edgeai_repro.report import document
from tests.support.factories import claim_entry, paper_yaml
from tests.support.repository import TEST

ROOT = Path(__file__).parents[2]
SETTINGS = {"resolution": [32], "classes": [10]}
TIMED = {**SETTINGS, "threads": [1], "batch": [1]}
NETWORK = {"family": "resnet_cifar", "depth": 20}
NETWORKS = {name: {**NETWORK, "resolution": 32, "classes": 10} for name in ("one", "same")}


@dataclass(frozen=True)
class Load:
    """What a run of the claims meets: busy loops, and how many runs there are at once in the same folder."""

    name: str
    loops: int = 0
    runs: int = 1


@dataclass
class Strained:
    """What became of the runs: their seconds, the times that got no verdict, of how many, and what went wrong."""

    seconds: float = 0.0
    undecided: int = 0
    times: int = 0
    problems: list[str] = field(default_factory=list)


LOADS = [
    Load("claims, quiet"),
    Load("2 busy loops", loops=2),
    Load("4 busy loops", loops=4),
    Load("2 at once", runs=2),
]


def _claim(name: str, metric: str, value: float, verdict: str) -> dict[str, object]:
    timed = metric == "time_ratio"
    return claim_entry(
        id=name,
        metric=metric,
        technique="none",
        models=["one" if timed else "resnet18"],
        value=value,
        band={"rounding": 0.01 * value, "tolerance": 0.1 * value if timed else 0.0, "derivation": "for the test"},
        conditions=TIMED if timed else SETTINGS,
        expect={"verdict": verdict, "reason": "it is known without measuring"},
        **({"against": "same"} if timed else {}),
    )


CLAIMS = [
    _claim("true-count", "params", 11.18, "reproduced"),
    _claim("false-count", "params", 12.0, "contradicted"),
    _claim("true-time", "time_ratio", 1.0, "reproduced"),
    _claim("false-time", "time_ratio", 2.0, "contradicted"),
]


def strain(load: Load) -> Strained:
    """Run the claims under a load."""
    with tempfile.TemporaryDirectory(prefix="load-") as temporary, _busy(load.loops):
        folder = Path(temporary)
        (folder / "claims").mkdir()
        (folder / "claims" / "paper.yaml").write_text(paper_yaml(*CLAIMS, networks=NETWORKS), encoding="utf-8")
        (folder / "test_paper.py").write_text(TEST, encoding="utf-8")
        started = time.monotonic()
        processes = [_start(folder) for _ in range(load.runs)]
        outputs = [process.communicate()[0] for process in processes]
        strained = Strained(seconds=time.monotonic() - started)
        for process, output in zip(processes, outputs, strict=True):
            if process.returncode:
                strained.problems.append(f"exit status {process.returncode}: {output[-300:]!r}")
        strained.problems += _damage(folder)
        _judge(folder, strained)
        return strained


def _start(folder: Path) -> subprocess.Popen[str]:
    files = [f"--claims-json={folder / 'v.json'}", f"--claims-report={folder / 'report'}"]
    where = [
        f"--rootdir={folder}",
        f"--claims-dir={folder / 'claims'}",
        "-c",
        "/dev/null",
        "-p",
        "no:cacheprovider",
    ]
    return subprocess.Popen(
        [sys.executable, "-m", "pytest", "-q", "-m", "claims", *where, *files, str(folder / "test_paper.py")],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@contextmanager
def _busy(loops: int) -> Iterator[None]:
    """Run so many processes that never pause. They end with this one, even if it is killed."""
    endless = f"import os\nwhile os.getppid() == {os.getpid()}: pass"
    with ExitStack() as stack:
        for _ in range(loops):
            process = stack.enter_context(subprocess.Popen([sys.executable, "-c", endless]))
            stack.callback(process.kill)
        yield


def _damage(folder: Path) -> Iterator[str]:
    """Yield what is wrong with the files: none may be mixed, torn or left over."""
    for name, end in (("report.html", "</html>\n"), ("report.md", ".\n")):
        path = folder / "report" / name
        if not path.exists() or not path.read_text(encoding="utf-8").endswith(end):
            yield f"{name} is not whole"
    if left := [path.name for path in folder.rglob(".*") if path.name != ".benchmarks"]:
        yield f"left over: {', '.join(left)}"


def _judge(folder: Path, strained: Strained) -> None:
    """Compare the verdicts with those that are known."""
    try:
        entries = document.read(folder / "v.json").papers[0].claims
    except (UserError, IndexError) as error:
        strained.problems.append(f"v.json is not whole: {error}")
        return
    if [entry.id for entry in entries] != [claim["id"] for claim in CLAIMS]:
        strained.problems.append(f"v.json has other claims: {[entry.id for entry in entries]}")
    for entry in entries:
        timed = entry.metric == "time_ratio"
        strained.times += timed
        strained.undecided += timed and entry.verdict == "inconclusive"
        if entry.verdict != entry.expected and not (timed and entry.verdict == "inconclusive"):
            strained.problems.append(f"{entry.id} became {entry.verdict}: {entry.reason}")
