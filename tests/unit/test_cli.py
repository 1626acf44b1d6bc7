"""The commands for claims and bundles: their output, exit status and errors."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from PIL import Image

from edgeai_repro import __version__
from edgeai_repro.claims.editor_schema import json_schema
from edgeai_repro.cli import main as cli
from edgeai_repro.errors import MissingRequirement, UserError
from tests.support.commands import Command
from tests.support.factories import PAPER, claim_entry, paper_yaml

UNSTATED = [{"id": "size", "what": "how size was measured", "assumed": "bytes of the file"}]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The claims folder, with two papers, of a repository that is the working directory."""
    claims = tmp_path / "claims"
    claims.mkdir()
    text = paper_yaml(claim_entry(assumes=["size"]), claim_entry(id="only-here"), unstated=UNSTATED)
    (claims / "paper.yaml").write_text(text, encoding="utf-8")
    (claims / "other.yaml").write_text(paper_yaml(paper={**PAPER, "id": "other"}), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return claims


def test_list_shows_all_claims_of_the_folder(folder: Path, command: Command) -> None:
    """The columns are full name, metric, technique, the printed number and the expected verdict."""
    status, out, _ = command("claims", "list")

    lines = [re.split(r"  +", line) for line in out.splitlines()]
    assert status == 0
    assert lines[0] == ["claim", "metric", "technique", "paper", "expected"]
    assert lines[1] == ["other/a-claim", "params_reduction", "dynamic_quantization", "10 %", "reproduced"]
    assert [line[0] for line in lines[2:]] == ["paper/a-claim", "paper/only-here"]


def test_list_reads_the_folder_of_claims_dir(
    folder: Path, command: Command, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """--claims-dir names another folder."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "paper.yaml").write_text(paper_yaml(claim_entry(id="elsewhere")), encoding="utf-8")

    assert "paper/elsewhere" in command("claims", "list", "--claims-dir", str(elsewhere))[1]


def test_show_prints_a_claim_with_the_text_of_its_assumptions(folder: Path, command: Command) -> None:
    """The output is the claim's YAML."""
    status, out, _ = command("claims", "show", "paper/a-claim")

    assert status == 0
    assert yaml.safe_load(out) == {**claim_entry(), "assumes": UNSTATED}


def test_show_accepts_a_short_name_if_it_is_unique(folder: Path, command: Command) -> None:
    """The paper's id may be left out."""
    assert yaml.safe_load(command("claims", "show", "only-here")[1])["id"] == "only-here"


def test_check_counts_the_claims_of_a_valid_file(folder: Path, command: Command) -> None:
    """The last line has the file's path; those before show each claim with its band."""
    status, out, _ = command("claims", "check", "claims/paper.yaml")

    assert status == 0
    assert "paper/a-claim: params_reduction of convnext_tiny, band 9 … 11 %\n" in out
    assert out.endswith("claims/paper.yaml: 2 claims, all right\n")


def test_schema_prints_the_json_schema(command: Command) -> None:
    """The output is that of `json_schema`, which `claims/schema.json` contains."""
    assert command("claims", "schema") == (0, json_schema(__version__), "")


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
        (
            ["check", "unknown.yaml"],
            "unknown.yaml: claims[a-claim]: 'metric' must be known (got 'wit'); known ",
        ),
    ],
)
def test_mistake_is_one_line_and_status_2(
    folder: Path, command: Command, arguments: list[str], complaint: str
) -> None:
    """The line goes to standard error, without a traceback."""
    Path("broken.yaml").write_text("paper: [", encoding="utf-8")
    Path("unknown.yaml").write_text(paper_yaml(claim_entry(metric="wit")), encoding="utf-8")

    status, out, err = command("claims", *arguments)

    assert (status, out) == (2, "")
    assert err.startswith(f"edgeai-repro: {complaint}")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments", [["clams"], ["claims", "nope"], ["claims", "show"], ["claims", "list", "--nope"]]
)
def test_unknown_command_or_missing_argument_is_status_2(command: Command, arguments: list[str]) -> None:
    """click explains the mistake, without a traceback."""
    status, _, err = command(*arguments)

    assert status == 2
    assert "Traceback" not in err


def test_missing_requirement_is_one_line_and_status_3(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line is the remedy."""

    def missing() -> None:
        raise MissingRequirement("data", "set EDGEAI_DATA")

    monkeypatch.setattr(cli, "app", missing)

    assert command() == (3, "", "edgeai-repro: set EDGEAI_DATA\n")


def test_error_of_several_lines_has_a_prefix_on_each(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mistakes of a claims file are listed one per line."""

    def fail() -> None:
        raise UserError("a.yaml: first", "a.yaml: second")

    monkeypatch.setattr(cli, "app", fail)

    assert command() == (2, "", "edgeai-repro: a.yaml: first\nedgeai-repro: a.yaml: second\n")


@pytest.mark.parametrize("arguments", [["list"], ["show", "only-here"], ["check", "claims/paper.yaml"]])
def test_claims_commands_import_no_large_library_and_no_heavy_source(folder: Path, arguments: list[str]) -> None:
    """Their imports would take up to seconds. Registering the metrics must not need them."""
    script = """
import sys
from edgeai_repro.cli.main import main
heavy = {"torch", "torchvision", "scipy", "numpy", "PIL", "onnxruntime", "pytest"}
heavy |= {"edgeai_repro.edge.deployed_models", "edgeai_repro.training.trained_models"}
try:
    main()
finally:
    print("loaded:", *heavy & sys.modules.keys())
"""
    done = subprocess.run(
        [sys.executable, "-c", script, "claims", *arguments], capture_output=True, text=True, check=True
    )

    assert done.stdout.splitlines()[-1] == "loaded:"


def test_classify_prints_all_classes_by_descending_logit(
    tmp_path: Path, command: Command, atto_bundle: Path
) -> None:
    """An image of any size is resized to the model's input."""
    image = tmp_path / "image.png"
    Image.new("RGB", (40, 30), "red").save(image)

    status, out, err = command("classify", str(atto_bundle), str(image), "--threads=1")

    classes = [int(line.split()[1].rstrip(":")) for line in out.splitlines()]
    logits = [float(line.split()[2]) for line in out.splitlines()]
    assert status == 0
    assert sorted(classes) == list(range(10))
    assert logits == sorted(logits, reverse=True)
    assert err == "edgeai-repro: pruned-int8 has random weights: these classes mean nothing\n"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("bundle", "convnext_huge", "-o", "out"), "MODEL must be a torchvision or timm name"),
        (("classify", "nowhere", "pyproject.toml"), "pyproject.toml: must be an image"),
        (("classify", "nowhere", "image.png"), "nowhere/manifest.json: must be a readable JSON file"),
        (("classify", "nowhere", "image.png", "--model", "int4"), "'model' must be known (got 'int4')"),
    ],
)
def test_mistake_with_a_bundle_is_one_line_and_status_2(
    tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], complaint: str
) -> None:
    """An unknown model, a missing bundle and a file that is no image are usage errors."""
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (32, 32)).save("image.png")
    Path("pyproject.toml").write_text("no image", encoding="utf-8")

    status, out, err = command(*arguments)

    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"edgeai-repro: {complaint}")
