"""The Markdown report, for the summary of a CI job: the tables and texts of the HTML page without its figures.

GitHub shows no summary of more than 1 MiB (https://docs.github.com/actions/reference/workflow-commands-for-github-actions).
The report of a run that would exceed it has the verdicts of each paper and the claims that are not as expected.

Text from claims files stays text: whatever Markdown or HTML would read as markup is escaped.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from edgeai_repro.judge.formatting import format_number
from edgeai_repro.report import front_page, linear_share, text
from edgeai_repro.report.document import Document
from edgeai_repro.report.plain import printable

MOST_BYTES = 900_000  # of the 1,048,576 of a step's summary, which may get its benchmarks, too
MOST_CLAIMS = 4_000  # in a summary; no more of them fit
_MARKUP = re.compile(r"([\\`*_{}\[\]|~#$])")
_BLOCK = re.compile(r"^( ?\d{0,9})([-+=.)])(?=[-+= ]|$)")  # begins a list, a rule or an underlined heading
# GitHub makes links of addresses and of names; a backslash before the sign prevents the one, a comment the other.
_ADDRESS = re.compile(r"(?<=\w):(?=//)|(?<=www)\.", re.IGNORECASE)
_NAME = re.compile(r"@(?=\w)")


def render(document: Document) -> str:
    """Return the document as GitHub's Markdown. The same document gives the same bytes.

    If it would have more than `MOST_BYTES`, it is shortened: as many papers and unexpected claims as fit are shown.
    """
    environment = _environment()
    document = front_page.published_papers_first(document)
    values: dict[str, Any] = {"document": document, "environment": document.environment, "most": None}
    if not document.is_large:
        page = f"{environment.get_template('report.md.j2').render(values).rstrip()}\n"
        if len(page.encode()) <= MOST_BYTES:
            return page
    unexpected = front_page.unexpected(document)
    values |= {"unexpected": unexpected, "most": MOST_CLAIMS}
    while True:
        page = f"{environment.get_template('short.md.j2').render(values).rstrip()}\n"
        if len(page.encode()) <= MOST_BYTES or not values["most"]:
            return page
        values["most"] //= 2


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("edgeai_repro.report"),
        autoescape=False,  # `finalize` escapes for both Markdown and HTML
        finalize=escaped,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        front_page=front_page, linear_share=linear_share, text=text, format_number=format_number, link=link
    )
    return environment


def link(url: str) -> str:
    """Return the address of a paper, as a link if it is one of the web and has only its usual characters."""
    return Markup(f"<{url}>") if re.fullmatch(r"https?://[\w./~%?&=:#+-]+", url, re.ASCII) else url


def escaped(value: object) -> str:
    """Return a value as one line without markup, fit for a cell of a table."""
    return value if isinstance(value, Markup) else _escaped(str(value))


@lru_cache(maxsize=10_000)  # the rows of a report repeat most of their texts
def _escaped(value: str) -> str:
    line = printable(re.sub(r"\s+", " ", value))
    line = _MARKUP.sub(r"\\\1", str(escape(line)).replace("&#39;", "'").replace("&#34;", '"'))
    line = _BLOCK.sub(r"\1\\\2", line)
    return _NAME.sub("@<!-- -->", _ADDRESS.sub(r"\\\g<0>", line))
