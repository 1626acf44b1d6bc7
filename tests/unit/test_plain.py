"""Texts of others stay texts: on a terminal, in the log of a CI job, in Markdown and in a script."""

from __future__ import annotations

import ast
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table
from rich.text import Text

from edgeai_repro.report import markdown
from edgeai_repro.report.console import to_text
from edgeai_repro.report.plain import on_one_line, printable
from edgeai_repro.report.script import script
from tests.support.factories import case, claim
from tests.support.gfm import structure

ESCAPE = "\x1b]8;;https://evil.example\x1b\\"
QUOTES = [
    "'''",
    '"""',
    "\\",
    "\\'",
    '\\"',
    "\n",
    "\r",
    "\x0c",
    "\x85",
    "\u2028",
    "\0",
    "#",
    "{",
    "MODELS",
    "SIDE",
    "os",
]
MARKUP = [
    *("- item", "+ item", "1. one", "23) x", "---", "===", "# heading", "> quote", "* x", "    code", "```"),
    *("[link](https://evil.example)", "![i](https://evil.example)", "https://evil.example", "www.evil.example"),
    *(
        "me@evil.example",
        "@octocat",
        "<img src=x onerror=alert(1)>",
        "<!--",
        "**bold**",
        "~~gone~~",
        "a | b",
        "$x$",
    ),
    *("a | b", "$x$", "[x]: https://evil.example", "\\", "`", "\n\n1. list"),
]


class TestPrintable:
    """What a terminal or the runner of a CI job obeys is written out."""

    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("plain, é µ × … \u00a0 ≤ 😀", "plain, é µ × … \u00a0 ≤ 😀"),
            ("\x1b[31mred", "\\u001b[31mred"),
            ("\x9b2J\x7f\x07", "\\u009b2J\\u007f\\u0007"),
            ("a\u202eb\u2066\u200b\ufeff", "a\\u202eb\\u2066\\u200b\\ufeff"),
            ("\U000e0041\ud800", "\\udb40\\udc41\\ud800"),
            ("one\ntwo", "one\ntwo"),
            ("one\rtwo\u2028", "one\\u000dtwo\\u2028"),
            ("::error::x\n  ::stop-commands::x", ": :error::x\n  : :stop-commands::x"),
            ("x ##[error]y aten::conv", "x ## [error]y aten::conv"),
        ],
    )
    def test_only_what_shows_is_left(self, text: str, shown: str) -> None:
        """Invisible characters are written as in JSON; letters, signs and spaces of any language stay."""
        assert printable(text) == shown

    @given(st.text())
    def test_json_stays_the_same_data(self, text: str) -> None:
        """Escapes in a string of JSON stand for the same characters."""
        document = json.dumps({"text": f"x{text}"}, ensure_ascii=False)

        assert json.loads(printable(document).replace("## [", "##[")) == json.loads(document.replace("## [", "##["))

    def test_line_of_a_text_is_no_line_of_the_report(self) -> None:
        """All ends of lines that Python or a terminal knows become spaces."""
        assert on_one_line("one\ntwo\r\nthree\x85four\u2028five") == "one two three four five"


@pytest.mark.parametrize("colour", [False, True])
def test_table_on_a_terminal_has_no_sequence_of_others(colour: bool) -> None:
    """Cells and sentences show control sequences and rich's markup as text, uncut, in lines of the usual width."""
    table = Table(title=f"[bold]title[/bold] {ESCAPE}")
    table.add_column("a")
    table.add_row(f"{ESCAPE}[red]cell[/red]")
    parts = [table, Text.assemble(("name", "red"), f"  {'long ' * 11}::error::sentence {ESCAPE}")]

    shown = to_text(parts, colour=colour, width=60)

    assert "\x1b]" not in shown
    assert "\u202e" not in shown
    assert ("\x1b[" in shown) == colour
    assert "[bold]title[/bold]" in shown
    assert "\\u001b]8;;https://evil.example\\u001b\\[red]cell[/red]" in shown.replace("\n", "")
    assert not [line for line in shown.splitlines() if line.lstrip().startswith("::")]


@pytest.mark.parametrize("place", ["{}", "| a |\n|:--|\n| {} |\n", "text\n{}\n", "> “{}” (abstract)\n", "- {}\n"])
@pytest.mark.parametrize("text", MARKUP)
def test_markup_in_markdown_is_text(text: str, place: str) -> None:
    """Alone on a line, in a table, a quote and a list, a text adds no markup."""
    assert structure(place.format(markdown.escaped(text))) == structure(place.format("text"))


@pytest.mark.parametrize("text", ["[l](https://evil.example)", "1. one", "- x", "<b>", "www.evil.example", "`x`"])
def test_markup_that_is_not_escaped_is_noticed(text: str) -> None:
    """The check of the test above finds the same markup if it is planted."""
    assert structure(text) != structure("text")


@pytest.mark.parametrize(
    ("url", "linked"),
    [("https://arxiv.org/abs/1", True), ("javascript:alert(1)", False), ("https://x.org/>\n<b>", False)],
)
def test_only_the_address_of_the_paper_is_a_link(url: str, linked: bool) -> None:
    """It is one if it is an address of the web and nothing else."""
    assert markdown.link(url) == (f"<{url}>" if linked else url)


@given(st.lists(st.sampled_from(QUOTES) | st.text(), max_size=6).map("".join), st.booleans())
def test_script_holds_texts_only_in_literals_and_comments(text: str, as_model: bool) -> None:
    """Whatever a quote, a reason or a model's name contains, the statements of the script stay the same."""
    model, quote = ("timm:" + text if as_model else "convnext_tiny"), f"10 % {text}"
    expect = {"verdict": "reproduced", "reason": f"because {text}"}
    fields = {"metric": "params", "technique": "none", "printed": "10 %"}

    written = script(case(claim(quote=quote, expect=expect, models=[model], **fields)))

    assert _statements(written) == _statements(
        script(case(claim(models=["timm:x" if as_model else "convnext_tiny"], **fields)))
    )
    assert repr([model]) == repr(_models(written)) or not as_model


def _statements(source: str) -> str:
    """Return the syntax tree of a script with all its strings emptied; comments aren't part of it."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            node.value = ""
    return ast.dump(tree)


def _models(source: str) -> list[str]:
    """Return the models of a script: the list of its loop."""
    loop = next(node for node in ast.parse(source).body if isinstance(node, ast.For))
    return list(ast.literal_eval(loop.iter))
