"""A claims file whose every text tries to be more than text, on all ways out: `tests/data/hostile/claims`."""

from __future__ import annotations

import ast
import json
import re
import shutil
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.support.commands import Command
from tests.support.factories import claim_entry, paper_yaml
from tests.support.gfm import OURS, structure
from tests.support.repository import PLUGINS, TEST

CLAIMS = Path(__file__).parents[1] / "data" / "hostile" / "claims"
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f]")
COMMAND = re.compile(r"(?m)^\s*::|##\[")


class _Tags(HTMLParser):
    """The tags of a page outside of its figures, with their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.attributes: set[str] = set()
        self.links: list[str] = []
        self.scripts = 0
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.attributes |= {name for name, _ in attributes}
        self.links += [value or "" for name, value in attributes if name in ("href", "src")]
        self.scripts += tag == "script"


@pytest.fixture
def outputs(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What a run of the hostile claims shows and writes, by the name of the output."""
    monkeypatch.setenv("NO_COLOR", "1")
    shutil.copytree(CLAIMS, pytester.path / "claims")
    pytester.makepyfile(test_paper=TEST)
    files = ["--claims-json=v.json", "--claims-report=report", "--junitxml=junit.xml"]
    result = pytester.runpytest_subprocess("--claims-dir=claims", "-v", "-rA", *files, *PLUGINS)
    result.assert_outcomes(passed=1, xfailed=1)
    written = {path: (pytester.path / path).read_text(encoding="utf-8") for path in ("v.json", "junit.xml")}
    report = {
        suffix: (pytester.path / f"report/report.{suffix}").read_text(encoding="utf-8") for suffix in ("html", "md")
    }
    return {"terminal": "\n".join(result.outlines), **written, **report}


def test_hostile_texts_stay_texts_in_every_output_of_a_run(outputs: dict[str, str]) -> None:
    """Nothing reaches the terminal, the reports and JUnit's file but text; all of it is still there."""
    for name in ("terminal", "html", "md", "junit.xml"):
        assert not CONTROL.search(outputs[name]), f"{name} must have no control character"
    assert not COMMAND.search(outputs["terminal"] + outputs["md"])

    assert set(structure(outputs["md"])) <= OURS
    page = _Tags(outputs["html"])
    assert page.scripts == 1
    assert not {name for name in page.attributes if name.startswith("on")}
    assert [link for link in page.links if not link.startswith(("#", "data:"))] == []

    suite = ElementTree.fromstring(outputs["junit.xml"])
    assert {key for case in suite.iter("testcase") for key in case.attrib} == {"classname", "name", "time"}
    assert {entry.get("name") for entry in suite.iter("property")} <= {
        *("verdict", "expected", "paper", "printed", "reported", "actual", "band", "flip_margin")
    }
    assert "os.system('touch owned')" in json.loads(outputs["v.json"])["papers"][0]["claims"][0]["quote"]


def test_hostile_texts_stay_texts_in_every_command(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`claims` prints no control sequence, and the script of a claim is the same as without its texts."""
    folder = f"--claims-dir={CLAIMS}"
    shown = [
        command("claims", "check", str(CLAIMS / "hostile.yaml")),
        command("claims", "list", folder),
        command("claims", "show", "quote", folder),
        command("claims", "show", "name", folder),
    ]
    status, source, _ = command("reproduce", "quote", folder)

    assert {code for code, _, _ in shown} == {status} == {0}
    for _, out, err in shown:
        assert not CONTROL.search(out + err)
        assert not COMMAND.search(out + err)
    assert not CONTROL.search(source)
    calls = {ast.unparse(node.func) for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)}
    assert {call.partition("(")[0] for call in calls} == {
        *("torch.device", "torchvision.models.get_model", "print", "count"),
        *("sum", "map", "isinstance", "parameters", "parameter.numel", "model.parameters", "model.modules"),
        "layer.bias.numel",
    }
    assert "touch owned" in source


PLANTED = """
from pathlib import Path
Path(__file__).with_name("owned").touch()

def network():
    from torch import nn
    return nn.Sequential(nn.Flatten(), nn.Linear(3, 2))
"""


def test_code_next_to_claims_runs_only_if_it_may(command: Command, tmp_path: Path) -> None:
    """`claims check --no-code` and `claims schema` import neither conftest.py nor the file of a network."""
    folder = tmp_path / "claims"
    folder.mkdir()
    for name in ("conftest.py", "net.py"):
        (folder / name).write_text(PLANTED, encoding="utf-8")
    own = claim_entry(id="own-metric", metric="unheard-of", conditions={})
    built = claim_entry(id="built", metric="params", technique="none", models=["net.py:network"], conditions={})
    (folder / "paper.yaml").write_text(paper_yaml(built, own), encoding="utf-8")
    (folder / "other.yaml").write_text(paper_yaml(built), encoding="utf-8")

    status, out, err = command(
        "claims", "check", "--no-code", str(folder / "paper.yaml"), str(folder / "other.yaml")
    )
    schema, _, _ = command("claims", "schema")

    assert (status, schema) == (2, 0)
    assert "'metric' must be known (got 'unheard-of')" in err
    assert "is built by a function of its own, which --no-code doesn't run" in out
    assert not (folder / "owned").exists()

    command("claims", "check", str(folder / "other.yaml"))

    assert (folder / "owned").exists(), "the planted code must be able to run"
