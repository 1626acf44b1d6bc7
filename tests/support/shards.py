"""Documents of runs on several machines, for tests."""

from __future__ import annotations

from typing import Any

from edgeai_repro.report.document import ClaimsFile, Document, PaperEntry, claim_entry
from tests.support.factories import claim, judged, row
from tests.support.reports import HERE

FIRST = HERE.model_copy(update={"cpu": "first cpu", "versions": {"torch": "2.15.0"}})
SECOND = FIRST.model_copy(update={"cpu": "second cpu", "machine": "aarch64"})
FILE = ClaimsFile(sha256="0" * 64, claims=["one", "two", "three"], implications=["implied"])


def run(*names: str, shard: str = "", **fields: Any) -> Document:
    """Return the document of a run that judged these claims; `fields` replace the document's."""
    claims = [claim_entry(judged(claim(id=name), [row(10.0)])) for name in names]
    papers = [PaperEntry(id="paper", title="A Paper", claims=claims, implications=[])] if claims else []
    given = {"environment": FIRST, "papers": papers, "claims_files": {"paper": FILE}, "seconds": {"build": 1.0}}
    return Document(**{**given, "shards": [shard] if shard else [], **fields})
