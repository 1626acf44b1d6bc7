"""Runs with pytest-xdist's workers: the results are those of one process, and a killed worker loses little."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from edgeai_repro.report import document
from edgeai_repro.report.document import Document
from tests.support.factories import AT_32, paper_yaml
from tests.support.repository import CONFTEST, IMPLICATION, IMPLICATION_TEST, PLUGINS, TEST, planted

# A metric that is timed, and a record of what ran when and where.
OBSERVED = '''
import os, signal, time
from pathlib import Path


def record(*words):
    with open("log", "a") as stream:
        print(*words, file=stream)


@metric("observed", unit="%", conditions=("seconds",))
def observed(models, claim, model):
    """A number that takes its time."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "none")
    record("start", claim.id, model, worker, os.environ.get("OMP_NUM_THREADS"))
    for _, conditions in claim.variants_for(model):
        if conditions["seconds"] < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(conditions["seconds"])
        yield Measurement(
            model=model, technique=claim.technique, conditions=conditions, reported=Interval.exact(10.0)
        )
    record("end", claim.id)


@metric("timed", unit="%", conditions=("seconds",), timed=True)
def timed(models, claim, model):
    """The same, timed."""
    yield from observed(models, claim, model)
'''


def observed(seconds: float, *, metric: str = "observed", **fields: Any) -> dict[str, Any]:
    """Return the file entry of a claim that takes some seconds; a negative number kills the process."""
    return planted(10, metric=metric, conditions={**AT_32, "seconds": [seconds]}, **fields)


CLAIMS = [
    planted(10, id="passes"),
    planted(10, 0, id="artefact", expected="artefact", models=["alexnet"]),
    planted(20, id="drifted", models=["vgg16"]),
    planted("broken", id="broken", models=["resnet50"]),
    planted("without data", id="untestable", models=["resnet18"]),
    observed(0, metric="timed", id="first-timed"),
    observed(0, id="first-of-two", models=["convnext_small"]),
    observed(0, id="second-of-two", models=["convnext_small"]),
    observed(1, id="slow", models=["convnext_base"]),
    observed(0, metric="timed", id="last-timed", models=["alexnet"]),
]


@dataclass
class Run:
    """A run of pytest in a folder, in a process of its own."""

    folder: Path
    status: int
    output: str

    @property
    def document(self) -> Document:
        """The JSON file without times and the command line, which are never the same."""
        content = document.read(self.folder / "out.json")
        papers = [
            paper.model_copy(update={"claims": [_without_times(claim) for claim in paper.claims]})
            for paper in content.papers
        ]
        return content.model_copy(update={"seconds": {}, "claim_seconds": {}, "papers": papers, "run": None})

    @property
    def table(self) -> str:
        """The table of verdicts on the terminal, with what follows it up to pytest's own summary."""
        found = re.search(r"^=+ claims =+$(.*?)^=", self.output, re.MULTILINE | re.DOTALL)
        assert found is not None, self.output
        return found[1]

    @property
    def verdicts(self) -> dict[str, str]:
        """The verdicts in the JSON file, by the ids of their claims."""
        return {claim.id: claim.verdict for paper in self.document.papers for claim in paper.claims}

    @property
    def properties(self) -> dict[str, dict[str, str]]:
        """The properties in the JUnit file, by the names of the tests."""
        cases = ET.parse(self.folder / "junit.xml").getroot().iter("testcase")
        return {
            case.attrib["name"]: {one.attrib["name"]: one.attrib["value"] for one in case.iter("property")}
            for case in cases
        }

    @property
    def log(self) -> list[list[str]]:
        """The words of each line that the metrics recorded."""
        return [line.split() for line in (self.folder / "log").read_text("utf-8").splitlines()]


def _without_times(claim: document.ClaimEntry) -> document.ClaimEntry:
    return claim.model_copy(update={"rows": [row.model_copy(update={"seconds": None}) for row in claim.rows]})


def run(folder: Path, *arguments: str, claims: list[dict[str, Any]] = CLAIMS) -> Run:
    """Write a repository into a new folder and run pytest there."""
    (folder / "claims").mkdir(parents=True)
    (folder / "claims" / "paper.yaml").write_text(paper_yaml(*claims, implications=[IMPLICATION]), "utf-8")
    (folder / "conftest.py").write_text(CONFTEST + OBSERVED, "utf-8")
    (folder / "test_paper.py").write_text(TEST + IMPLICATION_TEST, "utf-8")
    (folder / "pytest.ini").write_text("[pytest]\nclaims_dir = claims\naddopts = --strict-markers\n", "utf-8")
    command = [sys.executable, "-m", "pytest", *PLUGINS, "-W", "error", "--claims-json=out.json"]
    ignored = ("EDGEAI_", "PYTEST_", "OMP_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ignored)}
    done = subprocess.run(
        [*command, "--junitxml=junit.xml", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return Run(folder, done.returncode, done.stdout + done.stderr)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run in one process."""
    return run(tmp_path_factory.mktemp("alone") / "repository", "-p", "no:xdist")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The same run with two workers."""
    return run(tmp_path_factory.mktemp("shared") / "repository", "-n2")


def test_one_process_gives_the_expected_verdicts(alone: Run) -> None:
    """So the comparisons below don't compare two empty runs."""
    others = ("passes", "first-timed", "first-of-two", "second-of-two", "slow", "last-timed")
    expected = dict.fromkeys(others, "reproduced")
    expected |= {"artefact": "artefact", "drifted": "contradicted", "broken": "error", "untestable": "not_testable"}

    assert alone.verdicts == expected
    assert [entry.id for paper in alone.document.papers for entry in paper.implications] == ["it"]
    assert alone.status == pytest.ExitCode.TESTS_FAILED


def test_workers_give_the_same_document_table_and_status(alone: Run, shared: Run) -> None:
    """Only the times differ."""
    assert "2 workers" in shared.output
    assert shared.document == alone.document
    assert shared.table == alone.table
    assert shared.status == alone.status


def test_junit_file_has_the_same_names_and_properties(alone: Run, shared: Run) -> None:
    """Dashboards show an artefact as a skip; the properties tell them apart."""
    assert alone.properties["test_claim[paper/artefact]"] == {
        "verdict": "artefact",
        "expected": "artefact",
        "paper": "paper",
        "printed": "10 %",
        "reported": "10 %",
        "actual": "0 %",
        "band": "9 … 11 %",
        "flip_margin": alone.document.papers[0].claims[1].flip_margin.text,  # type: ignore[union-attr]
    }
    assert alone.properties["test_claim[paper/broken]"]["verdict"] == "error"
    assert shared.properties == alone.properties


def test_claims_on_one_network_are_measured_by_one_worker(shared: Run) -> None:
    """Both workers have work."""
    workers = defaultdict(set)
    for _, name, model, worker, _ in (words for words in shared.log if words[0] == "start"):
        if "timed" not in name:
            workers[model].add(worker)

    assert {len(of_model) for of_model in workers.values()} == {1}
    assert {worker for words in shared.log if words[0] == "start" for worker in words[3:4]} == {"gw0", "gw1"}


def test_threads_are_divided_between_workers(shared: Run) -> None:
    """Each has its part of the usable cores, and at least one."""
    threads = {words[4] for words in shared.log if words[0] == "start"}

    assert threads == {str(max(1, len(os.sched_getaffinity(0)) // 2))}


def test_timed_claims_run_after_all_others(shared: Run) -> None:
    """They keep their order, although one of them comes earlier in the file."""
    order = [(event, name) for event, name, *_ in shared.log]

    assert order[-4:] == [
        ("start", "first-timed"),
        ("end", "first-timed"),
        ("start", "last-timed"),
        ("end", "last-timed"),
    ]


def test_killed_worker_loses_only_the_claim_that_it_was_measuring(tmp_path: Path) -> None:
    """What it had reported stays, another worker measures the rest of its share, and the run fails."""
    claims = [
        planted(10, id="passes"),
        planted(10, id="reported-before", models=["alexnet"]),
        observed(-1, id="killed", models=["alexnet"]),
        planted(10, id="measured-after", models=["alexnet"]),
    ]

    killed = run(tmp_path / "repository", "-n2", claims=claims)

    assert killed.verdicts == dict.fromkeys(("passes", "reported-before", "measured-after"), "reproduced")
    assert killed.status == pytest.ExitCode.TESTS_FAILED
    assert re.search(r"worker 'gw\d' crashed while running '.*killed", killed.output)
