"""The command line: what it shows, its exit status, and what it does without."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from PIL import Image

from edgeai_repro.claims.schema import json_schema
from edgeai_repro.cli import main as cli
from edgeai_repro.errors import MissingRequirement
from tests.support.factories import PAPER, claim_entry, paper_yaml

UNSTATED = [{"id": "size", "what": "how size was measured", "assumed": "bytes of the file"}]
Outcome = tuple[int, str, str]
Command = Callable[..., Outcome]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository's root with two papers under claims/, which is the working directory."""
    claims = tmp_path / "claims"
    claims.mkdir()
    text = paper_yaml(claim_entry(assumes=["size"]), claim_entry(id="only-here"), unstated=UNSTATED)
    (claims / "paper.yaml").write_text(text, encoding="utf-8")
    (claims / "other.yaml").write_text(paper_yaml(paper={**PAPER, "id": "other"}), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return claims


def test_list(folder: Path, command: Command) -> None:
    """Lists all claims with full name, metric, technique, the paper's value and the expected verdict."""
    status, out, _ = command("claims", "list")

    lines = [line.split() for line in out.splitlines()]
    assert status == 0
    assert lines[0] == ["claim", "metric", "technique", "paper", "expected"]
    assert lines[1] == ["other/a-claim", "params_reduction", "dynamic_quantization", "10.0", "reproduced"]
    assert [line[0] for line in lines[2:]] == ["paper/a-claim", "paper/only-here"]


def test_list_elsewhere(folder: Path, command: Command, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Lists the claims of another folder."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "paper.yaml").write_text(paper_yaml(claim_entry(id="elsewhere")), encoding="utf-8")

    assert "paper/elsewhere" in command("claims", "list", "--claims-dir", str(elsewhere))[1]


def test_show(folder: Path, command: Command) -> None:
    """Shows a claim as its file has it, with what it assumes spelled out."""
    status, out, _ = command("claims", "show", "paper/a-claim")

    assert status == 0
    assert yaml.safe_load(out) == {**claim_entry(), "assumes": UNSTATED}


def test_show_short(folder: Path, command: Command) -> None:
    """A claim's own id does where it is the only one."""
    assert yaml.safe_load(command("claims", "show", "only-here")[1])["id"] == "only-here"


def test_check(folder: Path, command: Command) -> None:
    """A file that is right is said to be."""
    assert command("claims", "check", "claims/paper.yaml") == (0, "claims/paper.yaml: 2 claims, all right\n", "")


def test_schema(command: Command) -> None:
    """Prints the schema that `claims/schema.json` holds."""
    assert command("claims", "schema") == (0, json_schema(), "")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["show", "only-hare"], "claim 'only-hare' must name one claim (got none); did you mean 'only-here'?"),
        (
            ["show", "a-claim"],
            "claim 'a-claim' must name one claim (got more than one); did you mean 'paper/a-claim'?",
        ),
        (["list", "--claims-dir", "nowhere"], "nowhere: must be a folder with a claims file"),
        (["check", "nowhere.yaml"], "nowhere.yaml: must be a readable YAML file (got No such file or directory)"),
        (["check", "claims"], "claims: must be a readable YAML file (got Is a directory)"),
        (["check", "broken.yaml"], "broken.yaml, line 2: must be valid YAML ("),
        (["check", "unknown.yaml"], "unknown.yaml: claims[a-claim]: metric must be known (got 'wit'; known are "),
    ],
)
def test_usage(folder: Path, command: Command, arguments: list[str], complaint: str) -> None:
    """A user's mistake is one line on standard error, without a traceback, and status 2."""
    Path("broken.yaml").write_text("paper: [", encoding="utf-8")
    Path("unknown.yaml").write_text(paper_yaml(claim_entry(metric="wit")), encoding="utf-8")

    status, out, err = command("claims", *arguments)

    assert (status, out) == (2, "")
    assert err.startswith(f"edgeai-repro: {complaint}")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments", [["clams"], ["claims", "nope"], ["claims", "show"], ["claims", "list", "--nope"]]
)
def test_unknown_command(command: Command, arguments: list[str]) -> None:
    """An unknown command or option, or a missing argument, is status 2."""
    status, _, err = command(*arguments)

    assert status == 2
    assert "Traceback" not in err


def test_missing_condition(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing condition is its remedy in one line, and status 3."""

    def missing() -> None:
        raise MissingRequirement("data", "set EDGEAI_DATA")

    monkeypatch.setattr(cli, "app", missing)

    assert command() == (3, "", "edgeai-repro: set EDGEAI_DATA\n")


def test_help(command: Command) -> None:
    """--help names the commands."""
    status, out, _ = command("claims", "--help")

    assert status == 0
    assert {"list", "show", "check", "schema"} <= set(out.split())


@pytest.mark.parametrize("arguments", [["list"], ["show", "only-here"], ["check", "claims/paper.yaml"]])
def test_light(folder: Path, arguments: list[str]) -> None:
    """Claims are listed, shown and checked without torch and scipy, which take seconds to import."""
    script = """
import sys
from edgeai_repro.cli.main import main
try:
    main()
finally:
    print("loaded:", *{"torch", "torchvision", "scipy", "pytest"} & sys.modules.keys())
"""
    done = subprocess.run(
        [sys.executable, "-c", script, "claims", *arguments], capture_output=True, text=True, check=True
    )

    assert done.stdout.splitlines()[-1] == "loaded:"


def test_bundle(tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bundle is written, its files are told with their sizes, and one of its models says what an image shows."""
    monkeypatch.delenv("EDGEAI_DATA", raising=False)
    folder, image = tmp_path / "bundle", tmp_path / "image.png"
    Image.new("RGB", (40, 30), "red").save(image)

    status, out, _ = command("bundle", "convnext_atto", "-o", str(folder))
    asked = command("classify", str(folder), str(image), "--threads", "1")

    assert status == 0
    assert out.splitlines()[-1] == str(folder)
    assert [line.partition(":")[0] for line in out.splitlines()[:-1]] == [
        f"{name}.onnx + {name}.weights" for name in ("fp32", "int8", "pruned", "pruned-int8")
    ]
    assert asked[0] == 0
    assert sorted(int(line.split()[1].rstrip(":")) for line in asked[1].splitlines()) == list(range(10))


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("bundle", "convnext_huge", "-o", "out"), "'source' must be a model, or the folder of a saved model"),
        (("classify", "nowhere", "pyproject.toml"), "pyproject.toml: must be an image"),
        (("classify", "nowhere", "image.png"), "nowhere/manifest.json: must be a readable JSON file"),
        (("classify", "nowhere", "image.png", "--model", "int4"), "'model' must be known (got 'int4')"),
    ],
)
def test_bundle_mistakes(
    tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], complaint: str
) -> None:
    """What can't be deployed or asked is refused in one line, with the status of a usage error."""
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (32, 32)).save("image.png")
    Path("pyproject.toml").write_text("no image", encoding="utf-8")

    status, out, err = command(*arguments)

    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"edgeai-repro: {complaint}")
