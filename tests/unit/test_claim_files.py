"""Commands for whoever adds a paper: `claims new`, `claims check` and `networks`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edgeai_repro.claims.load import load_file
from edgeai_repro.claims.schema import Paper
from edgeai_repro.cli.main import app
from edgeai_repro.errors import UserError
from tests.support.factories import claim_entry, paper_yaml

RATIO = claim_entry(
    id="smaller",
    quote="3 times",
    printed="3",
    metric="params_ratio",
    technique="none",
    models=["small"],
    against="vgg16_cifar",
    value=3.0,
    band={"rounding": 0.5, "derivation": "one printed digit"},
)
SMALL = {"family": "vgg_cifar", "channels": [32, "M", 64, "M", 128, "M", 256, 256, "M", 512, 512]}


def _run(*arguments: str, status: int = 0) -> str:
    result = CliRunner().invoke(app, arguments, catch_exceptions=isinstance(status, int) and status != 2)
    assert result.exit_code == status, result.output
    return result.output


@pytest.fixture
def new(tmp_path: Path) -> Path:
    """A new claims file."""
    _run(
        *("claims", "new", "iandola2016", f"--claims-dir={tmp_path}", "--year=2016"),
        *('--title=SqueezeNet: "50x"', "--authors=Iandola et al.", "--url=https://arxiv.org/abs/1602.07360"),
    )
    return tmp_path / "iandola2016.yaml"


def test_new_file_has_the_papers_data_and_loads(new: Path) -> None:
    """Its first line names the schema for editors."""
    paper = load_file(new)

    assert isinstance(paper, Paper)
    assert (paper.paper.id, paper.paper.title, paper.paper.year) == ("iandola2016", 'SqueezeNet: "50x"', 2016)
    assert new.read_text(encoding="utf-8").startswith("# yaml-language-server: $schema=schema.json\n")


def test_every_commented_claim_of_a_new_file_loads(new: Path) -> None:
    """Only the sign has to be removed."""
    text = new.read_text(encoding="utf-8")
    networks, claims = text.index("# networks:"), text.index("claims:\n")
    defined = re.sub(r"^# ", "", text[networks : text.index("# What the paper leaves")], flags=re.M)
    written = re.sub(r"^  # (?=- id|  \S)", "  ", text[claims:], flags=re.M)
    new.write_text(text[:networks] + defined + written, encoding="utf-8")

    paper = load_file(new)

    assert isinstance(paper, Paper)
    assert [claim.metric for claim in paper.claims] == [
        "params",
        "params_ratio",
        "macs_reduction",
        "macs",
        "time_ratio",
    ]


def test_new_file_replaces_none(new: Path) -> None:
    """Bad ids and existing files are refused."""
    for name, complaint in (("iandola2016", "must not exist yet"), ("Iandola", "must be small letters")):
        with pytest.raises(UserError, match=complaint):
            CliRunner().invoke(app, ["claims", "new", name, f"--claims-dir={new.parent}"], catch_exceptions=False)


def test_check_shows_band_counts_and_verdict(tmp_path: Path) -> None:
    """Claims that need more than counts are only named."""
    accuracy = claim_entry(id="accurate", metric="accuracy", needs=["weights"])
    scale = {"init": "scratch", "epochs": 1, "resolution": 32, "stem_stride": 4}
    compressed = claim_entry(id="quantized")
    text = paper_yaml(RATIO, accuracy, compressed, networks={"small": SMALL}, full_scale=scale)
    (tmp_path / "paper.yaml").write_text(text, encoding="utf-8")

    output = _run("claims", "check", str(tmp_path / "paper.yaml"))

    assert "paper/smaller: params_ratio of small, band 2.5 … 3.5 ×" in output
    assert re.search(r"small, .*: reported 3\.\d+ ×, actual 3\.\d+ ×\n    reproduced: ", output)
    assert "    needs trained weights: judged by pytest -m claims" in output
    assert "    needs networks compressed by dynamic_quantization: judged by pytest -m claims" in output


def test_check_lists_the_mistakes_of_all_files(tmp_path: Path) -> None:
    """A function that fails is a mistake of its claim; the others are still counted."""
    (tmp_path / "own.py").write_text("def net():\n    raise KeyError('x')\n", encoding="utf-8")
    broken = claim_entry(id="broken", metric="params", technique="none", models=["own.py:net"])
    (tmp_path / "a.yaml").write_text(paper_yaml(broken, RATIO, networks={"small": SMALL}), encoding="utf-8")
    others = [claim_entry(models=["convnext_tinny"]), claim_entry(id="b-claim", models=["timm:resnett50"])]
    (tmp_path / "b.yaml").write_text(paper_yaml(*others), encoding="utf-8")

    output = _run("claims", "check", str(tmp_path / "a.yaml"), str(tmp_path / "b.yaml"), status=2)

    assert "paper/smaller: params_ratio" in output
    assert f"a.yaml: claims[broken].models: {tmp_path / 'own.py'}:net must return a model" in output
    assert "a.yaml: 2 claims, 1 with a problem, see below" in output
    assert "b.yaml: claims[a-claim]: 'models' must be known networks (got 'convnext_tinny')" in output
    assert (
        "claims[b-claim]: 'models' must be known networks (got 'timm:resnett50'); did you mean 'timm:resnet50'"
        in output
    )


def test_function_that_ignores_the_classes_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its output has another number of classes than the claim says; another one's output has no classes."""
    (tmp_path / "own.py").write_text(
        "from torch import nn\n\n"
        "def ten():\n    return nn.Sequential(nn.Flatten(), nn.Linear(192, 10))\n\n"
        "def maps():\n    return nn.Conv2d(3, 4, 3)\n",
        encoding="utf-8",
    )
    asked = {"metric": "params", "technique": "none", "conditions": {"resolution": 8, "classes": 100}}
    claims = [claim_entry(id=name, models=[f"own.py:{name}"], **asked) for name in ("ten", "maps")]
    (tmp_path / "a.yaml").write_text(paper_yaml(*claims), encoding="utf-8")

    monkeypatch.chdir(tmp_path)  # with a long path the middle of the message would be left out
    output = _run("claims", "check", "a.yaml", status=2)

    assert "own.py:ten must return a network of 100 class" in output
    assert "the network its own 'classes' under 'networks'" in output
    assert "own.py:maps, resolution 8, classes 100: reported" in output


def test_networks_are_shown_as_reported_and_as_they_are() -> None:
    """Parameters, MACs and bytes."""
    output = _run("networks", "squeezenet1_0")

    assert re.search(r"squeezenet1_0 +reported +1,248,424 +8[0-9,]+ +5,0[0-9,]+\n", output)
    assert re.search(r" +actual +1,248,424 +818,924,576 +4,993,696\n", output)


def test_network_of_a_claims_file_is_shown_for_each_condition(tmp_path: Path) -> None:
    """An unknown name gets the closest one."""
    either = {"family": "alternatives", "by": "size", "of": {"small": "small", "large": "vgg16_cifar"}}
    text = paper_yaml(RATIO, networks={"small": SMALL, "either": either})
    file = tmp_path / "paper.yaml"
    file.write_text(text, encoding="utf-8")

    output = _run("networks", "either", f"--claims={file}", "--resolution=32", "--classes=10")

    assert "either, size small" in output
    assert re.search(r"either, size large +reported +14,987,722 ", output)
    with pytest.raises(UserError, match=r"NAME must be a known network \(got 'eithr'\); did you mean 'either'"):
        CliRunner().invoke(app, ["networks", "eithr", f"--claims={file}"], catch_exceptions=False)
