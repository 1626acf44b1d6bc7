"""The Markdown report, for the summary of a CI job: the tables and texts of the HTML page without its figures.

Text from claims files stays text: whatever Markdown or HTML would read as markup is escaped.
"""

from __future__ import annotations

import re

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import escape

from edgeai_repro.judge.formatting import format_number
from edgeai_repro.report import front_page, text
from edgeai_repro.report.document import Document

_MARKUP = re.compile(r"([\\`*_{}\[\]|~#])")


def render(document: Document) -> str:
    """Return the document as GitHub's Markdown. The same document gives the same bytes."""
    environment = Environment(
        loader=PackageLoader("edgeai_repro.report"),
        autoescape=False,  # `finalize` escapes for both Markdown and HTML
        finalize=_escape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(front_page=front_page, text=text, format_number=format_number)
    document = front_page.published_papers_first(document)
    page = environment.get_template("report.md.j2").render(document=document, environment=document.environment)
    return f"{page}\n"


def _escape(value: object) -> str:
    """Return a value as one line without markup, fit for a cell of a table."""
    line = re.sub(r"\s+", " ", str(value))
    return _MARKUP.sub(r"\\\1", str(escape(line)).replace("&#39;", "'").replace("&#34;", '"'))
