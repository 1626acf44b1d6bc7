"""An audit for a device as a table, a page and a plot, from a network of one's own; bad options are one line."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import yaml

from edgeai_repro.audit import page, table
from edgeai_repro.audit.audit import audit
from edgeai_repro.audit.schema import Audit
from edgeai_repro.claims.registry import TECHNIQUES
from edgeai_repro.devices.spec import load_devices
from edgeai_repro.errors import UserError
from edgeai_repro.report.figures.pareto import Point, pareto
from tests.fuzz.onnx_models import onnx_models
from tests.support.commands import Command

MODULE = """
from torch import nn


def grey():
    return nn.Sequential(nn.Conv2d(1, 64, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(1024, 10))
"""
CLAIMS = Path(__file__).parents[2] / "claims"
KEPT = {"dynamic_quantization", "structured_pruning", "combined", "static_quantization"}
LEFT_OUT = dict.fromkeys(TECHNIQUES.keys() - KEPT, ())


@pytest.fixture(scope="module")
def grey(tmp_path_factory: pytest.TempPathFactory) -> Audit:
    """The audit of a network of two layers for grey images, for a Raspberry Pi 5."""
    path = tmp_path_factory.mktemp("own") / "<b>own.py"
    path.write_text(MODULE, encoding="utf-8")
    device = load_devices(CLAIMS)["raspberry-pi-5"]
    return audit(f"{path}:grey", resolution=16, latency=False, settings=LEFT_OUT, device=device, target_ms=5)


def test_images_of_one_channel_are_audited_and_what_can_only_take_three_says_so(grey: Audit) -> None:
    """Pruning and int8 have rows; static quantization, whose random images have colours, has a line."""
    problems = {row.technique: row.problem for row in grey.rows}
    assert {name for name, problem in problems.items() if problem} == {"static_quantization"}
    assert "to have 1 channels, but got 3" in (problems["static_quantization"] or "")


def test_the_error_of_the_outputs_is_measured_against_fp32(grey: Audit) -> None:
    """It is 0 for the model itself, small for int8, and large for a network that lost most of its channels."""
    errors = {row.technique: row.output_error for row in grey.rows}
    assert errors["none"] == 0.0
    assert 0 < (errors["dynamic_quantization"] or 0) < 0.05
    assert (errors["structured_pruning"] or 0) > 0.2


def test_the_terminal_shows_the_variants_and_the_advice(grey: Audit) -> None:
    """The order, each variant's columns, and one sentence with what it does not know."""
    text = table.render(grey, colour=False, width=160)
    assert "variants, by the time that published rates let expect on Raspberry Pi 5" in text
    assert "→ 4 of 4 variants reach 5 ms on Raspberry Pi 5" in text
    assert "not known: the accuracy of any variant" in text


def test_the_page_has_the_plot_and_loads_nothing(grey: Audit) -> None:
    """The plot is in the page, names are escaped, and no address is loaded."""
    html = page.render(grey)
    assert "<svg" in html
    assert "Bytes, error and time, expected on Raspberry Pi 5" in html
    assert "&lt;b&gt;own.py" in html
    assert "<b>own.py" not in html
    assert "src=" not in html.replace("default-src", "").replace("img-src", "").replace("style-src", "")
    assert html.count('<tr class="front">') >= 2


def test_the_plot_is_a_file_of_svg_that_shows_every_ranked_variant(grey: Audit, tmp_path: Path) -> None:
    """It parses as XML and draws one marker per variant; variants that are close share a label."""
    path = tmp_path / "plot.svg"
    page.write(grey, path)
    texts = " ".join("".join(node.itertext()) for node in ET.parse(path).iter())
    assert grey.ranking is not None
    assert len(grey.ranking.variants) == 4
    assert "target, 5 ms, outside of the plot" in texts
    assert all(number in texts for number in ("1", "4"))


@pytest.mark.parametrize(
    ("megabytes", "labels"),
    [((1, 10, 100), ["1", "2", "3"]), ((1, 1, 1), ["1–3"]), ((1, 100, 1), ["1, 3", "2"])],
    ids=["apart", "at one place", "two at one place"],
)
def test_labels_that_would_cover_each_other_are_one(megabytes: tuple[int, ...], labels: list[str]) -> None:
    """The numbers of three variants and more in a row are a range."""
    points = [Point(number, "", 10**6 * mb, 5.0, 0.0, True) for number, mb in enumerate(megabytes, start=1)]
    plot = pareto(points, time="expected", target_ms=7)

    assert plot is not None
    texts = [
        "".join(node.itertext()).strip()
        for node in ET.fromstring(str(plot.svg)).iter("{http://www.w3.org/2000/svg}text")
    ]
    assert [text for text in texts if text in {"1", "2", "3", "1–3", "1, 3"}][-len(labels) :] == labels


def test_an_audit_without_times_has_no_plot(grey: Audit, tmp_path: Path) -> None:
    """The error is one line; the page does without the plot."""
    assert grey.ranking is not None
    untimed = grey.model_copy(update={"ranking": grey.ranking.model_copy(update={"ranked_by": "bytes"})})
    with pytest.raises(UserError, match="must have variants with times to plot"):
        page.write(untimed, tmp_path / "plot.svg")
    assert "<svg" not in page.render(untimed)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--device=raspberry-pi-6"], "'--device' must be known (got 'raspberry-pi-6'); did you mean"),
        (["--target-ms=0"], "'--target-ms' must be more than 0 (got 0.0)"),
        (["--target-ms=20", "--no-latency"], "'--target-ms' must be given without --no-latency, or with --device"),
        (["--report=audit.pdf"], "'--report' must end in .html or .svg (got 'audit.pdf')"),
    ],
)
def test_bad_options_are_refused_in_a_line(command: Command, options: list[str], message: str) -> None:
    """Before any work is done."""
    status, _, err = command("audit", "resnet18", f"--claims-dir={CLAIMS}", *options)
    assert status != 0
    assert message in err


def test_target_that_no_variant_reaches_is_one_sentence(command: Command, tmp_path: Path) -> None:
    """It names the fastest variant and what to do; the variants are ranked all the same."""
    status, out, err = command("audit", _onnx_file(tmp_path), *FOR_DEVICE, f"--claims-dir={CLAIMS}")
    assert (status, err) == (0, "")
    assert "→ no variant reaches 1e-09 ms on Raspberry Pi 5" in out
    assert " 1   uncompressed " in out


def test_device_without_rates_has_bounds_and_no_expectation(command: Command, tmp_path: Path) -> None:
    """The advice says that nobody published a rate; the bound, which needs none, is there."""
    document = yaml.safe_load((CLAIMS / "devices.yaml").read_text(encoding="utf-8"))
    document["devices"] = [device for device in document["devices"] if device.pop("achieved", None)]
    (tmp_path / "devices.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")

    status, out, err = command("audit", _onnx_file(tmp_path), *FOR_DEVICE, f"--claims-dir={tmp_path}")

    assert (status, err) == (0, "")
    assert "expected at" not in out
    assert "the fastest is uncompressed (at least " in " ".join(out.split())
    assert "no rate is published" in " ".join(out.split())


FOR_DEVICE = ("--no-latency", "--device=raspberry-pi-5", "--target-ms=1e-9")


def _onnx_file(folder: Path) -> str:
    """Write a small ONNX file, which is audited without torch in a second."""
    (folder / "net.onnx").write_bytes(onnx_models()[0])
    return str(folder / "net.onnx")
