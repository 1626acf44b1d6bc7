"""The document as Markdown, for a job's summary: the tables and sentences of the page, without its drawings.

Text from claims files stays text: what Markdown or HTML would read as markup is escaped.
"""

from __future__ import annotations

import re

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import escape

from edgeai_repro.judge.formatting import format_number
from edgeai_repro.report import reach
from edgeai_repro.report import text as cells
from edgeai_repro.report.document import Document

_MARKUP = re.compile(r"([\\`*_{}\[\]|~#])")


def render(document: Document) -> str:
    """Return the document as GitHub's Markdown. The same document gives the same bytes."""
    environment = Environment(
        loader=PackageLoader("edgeai_repro.report"),
        autoescape=False,  # `finalize` escapes, for Markdown and HTML alike
        finalize=_escaped,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(cells=cells, reach=reach, show=format_number)
    document = cells.published_papers_first(document)
    return (
        environment.get_template("report.md.j2").render(document=document, environment=document.environment) + "\n"
    )


def _escaped(value: object) -> str:
    """Return a value as one line in which nothing is markup; it may stand in a table's cell."""
    text = re.sub(r"\s+", " ", str(value))
    return _MARKUP.sub(r"\\\1", str(escape(text)).replace("&#39;", "'").replace("&#34;", '"'))
