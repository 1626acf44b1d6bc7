"""Runs of shards, as on several machines, come together to the document of one run."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeai_repro.report import document, merging
from edgeai_repro.report.document import Document
from tests.support.repository import IMPLICATION, IMPLICATION_TEST, Repository, planted

CLAIMS = [
    planted(10, id="passes"),
    planted(10, 0, id="artefact", expected="artefact", models=["alexnet"]),
    planted(20, id="drifted", models=["vgg16"]),
    planted("broken", id="broken", models=["resnet50"]),
    planted("without data", id="untestable", models=["resnet18"]),
    planted(10, id="passes-too"),
]


def without_times(run: Document) -> Document:
    """Return a document without durations and provenance, which never repeat, and without its shards."""
    papers = [
        paper.model_copy(
            update={
                "claims": [
                    claim.model_copy(
                        update={"rows": [row.model_copy(update={"seconds": 0.0}) for row in claim.rows]}
                    )
                    for claim in paper.claims
                ]
            }
        )
        for paper in run.papers
    ]
    return run.model_copy(update={"papers": papers, "seconds": {}, "claim_seconds": {}, "shards": [], "run": None})


@pytest.fixture
def run(repository: Repository) -> Repository:
    """A repository with six claims on five networks, and an implication."""
    repository.write(*CLAIMS, implications=[IMPLICATION])
    repository.pytester.makepyfile(test_implication=IMPLICATION_TEST)
    return repository


def test_merged_shards_are_the_document_of_one_run(run: Repository) -> None:
    """Each claim and each implication is judged once; a shard may be empty, and only that of the drift fails."""
    paths = [run.pytester.path / f"{number}.json" for number in range(1, 7)]
    runs = [run.run(f"--claims-shard={number}/6", f"--claims-json={path}") for number, path in enumerate(paths, 1)]
    run.run(f"--claims-json={run.json}")

    shards = [(Path(path), document.read(path)) for path in paths]
    whole = merging.merge(shards)
    assert without_times(whole) == without_times(document.read(run.json))
    assert whole.shards == [f"{number}/6" for number in range(1, 7)]
    assert sorted(int(shard.ret) for shard in runs) == [0, 0, 0, 0, 1, 1]
    judged = [sum(len(paper.claims) for paper in shard.papers) for _, shard in shards]
    assert sorted(judged) == [0, 1, 1, 1, 1, 2], "claims on one network stay together"


def test_header_names_the_shard(run: Repository) -> None:
    """With the number of its claims."""
    run.run("--claims-shard=1/2").stdout.fnmatch_lines(["shard 1/2: 3 of 6 claims"])


@pytest.mark.parametrize("shard", ["0/5", "6/5", "x"])
def test_wrong_shard_ends_the_run_before_it_starts(run: Repository, shard: str) -> None:
    """In one line; nothing is written."""
    result = run.run(f"--claims-shard={shard}", f"--claims-json={run.json}")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert [line for line in result.errlines if line] == [
        f"ERROR: --claims-shard must be NUMBER/OF with a number from 1 to OF (got {shard!r}); "
        "write --claims-shard=2/5 for the second of five"
    ]
    assert not run.json.exists()


def test_shard_without_a_claims_folder_is_refused(pytester: pytest.Pytester) -> None:
    """Like all options about claims."""
    result = pytester.runpytest_inprocess("--claims-shard=1/2")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --claims-shard needs a claims folder, which is missing; *"])
