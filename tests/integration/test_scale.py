"""Many claims are judged from many records and reported, by the same commands as in `tests/benchmarks/scale.py`."""

from __future__ import annotations

import base64
import gzip
import re
from pathlib import Path

import pytest

pytest.importorskip("jinja2", reason="the report's template engine isn't installed")
pytest.importorskip("matplotlib", reason="the report's plotting library isn't installed")

from edgeai_repro.report import document, front_page, markdown
from edgeai_repro.training.trained_models import SHOWN
from tests.benchmarks import scale
from tests.support.commands import Command

CLAIMS, RECORDS = document.LARGE + 1, 150
PACKED = re.compile('<script type="application/gzip"(?: id="packed-rows")?>([^<]*)</script>')


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with claims and records."""
    path = tmp_path_factory.mktemp("scale")
    scale.write(path, claims=CLAIMS, records=RECORDS)
    return path


def unpacked(page: str) -> str:
    """Return what the script of a large page unpacks."""
    return "".join(gzip.decompress(base64.b64decode(packed)).decode() for packed in PACKED.findall(page))


def test_many_claims_are_judged_and_reported(folder: Path, command: Command) -> None:
    """Each is in the page once, in the table and in its paper; the terminal shows only some that fail the run."""
    options = f"--claims-dir={folder / 'claims'}"
    status, out, err = command("rejudge", options, f"--json={folder / 'all.json'}")
    run = document.read(folder / "all.json")
    reported, _, _ = command("report", str(folder / "all.json"), f"--output={folder}", options)
    page = (folder / "report.html").read_text("utf-8")

    claims = front_page.all_claims(run)
    assert (status, reported, len(claims)) == (1, 0, CLAIMS)
    assert {claim.verdict for claim in claims} >= {"reproduced", "contradicted"}
    assert max(len(claim.rows) for claim in claims) <= SHOWN + 1, "one at full scale"
    assert f"{CLAIMS - 100} more claims" in out
    assert len(err.splitlines()) > 100, "every drift is an error"
    content = unpacked(page)
    for start in ('<article class="claim" id="', '<tr role="row" class="claim-row"'):
        assert content.count(start) == CLAIMS
    assert {f"{paper.id}/{claim.id}" for paper in run.papers for claim in paper.claims} == set(
        re.findall('<article class="claim" id="([^"]*)"', content)
    )
    assert "<svg" not in page
    assert len(page) < 1_000 * CLAIMS
    summary = (folder / "report.md").read_bytes()
    assert len(summary) < markdown.MOST_BYTES
    drifted = sum(map(front_page.fails, claims))
    assert f"Of the {drifted} that fail the run, {drifted} are listed" in summary.decode()
