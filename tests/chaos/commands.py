"""The commands that write files, each with an earlier result in its folder and a check of what is there later."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from edgeai_repro.checksums import verify_sha256
from edgeai_repro.cli import main as cli
from edgeai_repro.data import packing
from edgeai_repro.edge import bundle
from edgeai_repro.evidence import attestation, store
from edgeai_repro.evidence.training_record import RESULT, WEIGHTS, load_record
from edgeai_repro.files import write_text
from edgeai_repro.report import document
from tests.fuzz.onnx_models import onnx_models
from tests.support import small_cifar
from tests.support.records import dense, keep, pruned
from tests.support.reports import run as example
from tests.support.repository import TEST

HOSTILE = Path(__file__).parents[1] / "data" / "hostile" / "claims"


@dataclass(frozen=True)
class Command:
    """A command that writes into a folder.

    `prepare` fills the folder with inputs and an earlier result, `run` runs the command in it, and `check` raises
    an exception unless the results there are whole, the earlier or the new ones.
    """

    name: str
    prepare: Callable[[Path], None]
    run: Callable[[Path], None]
    check: Callable[[Path], None]


def _edgeai(*arguments: object) -> None:
    sys.argv = ["edgeai-repro", *map(str, arguments)]
    cli.main()


def _prepare_report(folder: Path) -> None:
    document.write(example(), folder / "run.json")
    for name in ("report.html", "report.md"):
        write_text(folder / "out" / name, "earlier\n")


def _check_report(folder: Path) -> None:
    for name, end in (("report.html", "</html>\n"), ("report.md", ".\n")):
        text = (folder / "out" / name).read_text(encoding="utf-8")
        assert text == "earlier\n" or (text.endswith(end) and len(text) > 1000), f"{name} is not whole"


def _prepare_evidence(folder: Path) -> None:
    keep(folder / "evidence", a=dense(900))
    (folder / "run").mkdir()
    write_text(folder / "run" / RESULT, pruned(880, dataset="other").model_dump_json())


def _check_evidence(folder: Path) -> None:
    """All listed files are whole. A file that is not yet listed is reported as such: the sum is written last."""
    sums = store.read_sums(folder / "evidence")
    assert set(sums) in ({"a.json"}, {"a.json", "b.json"}), "the list must be whole"
    for path in (folder / "evidence").glob("*.json"):
        store.load_record(path)


def _check_statement(folder: Path) -> None:
    path = folder / "out" / "statement.json"
    if path.exists():
        attestation.verify(attestation.read_statement(path)[0], folder / "evidence")


def _prepare_claims(folder: Path) -> None:
    shutil.copytree(HOSTILE, folder / "claims")
    write_text(folder / "test_paper.py", TEST)
    document.write(example(), folder / "v.json")


def _run_claims(folder: Path) -> None:
    options = ["-q", "-p", "no:cacheprovider", "-p", "no:hypothesispytest", "-p", "no:anyio"]
    files = [f"--claims-json={folder / 'v.json'}", f"--claims-report={folder / 'out'}"]
    root = [f"--rootdir={folder}", f"--claims-dir={folder / 'claims'}", str(folder / "test_paper.py")]
    sys.exit(pytest.main([*options, *files, *root]))


def _check_claims(folder: Path) -> None:
    assert document.read(folder / "v.json").papers, "the JSON must be whole"


def _check_bundle(folder: Path) -> None:
    if (folder / "bundle").exists():
        bundle.load(folder / "bundle")


def _prepare_images(folder: Path) -> None:
    """Write a small CIFAR-10. The package expects it until this process ends; its children inherit that."""
    small_cifar.write(folder / "images", pytest.MonkeyPatch())


def _check_pack(folder: Path) -> None:
    if (folder / "packed" / "cifar10").exists():
        assert {one.form for one in packing.verify(folder / "packed")} == {"packed"}


def _check_run(folder: Path) -> None:
    if (folder / "run" / RESULT).exists():
        record = load_record(folder / "run" / RESULT)
        verify_sha256(folder / "run" / WEIGHTS, record.weights_sha256, "the weights must be those of the record")


def _prepare_audit(folder: Path) -> None:
    (folder / "net.onnx").write_bytes(onnx_models()[0])
    write_text(folder / "page.html", "earlier\n")


def _check_page(folder: Path) -> None:
    text = (folder / "page.html").read_text(encoding="utf-8")
    assert text == "earlier\n" or (text.endswith("</html>\n") and len(text) > 1000), "the page is not whole"


def _pack(folder: Path) -> None:
    _edgeai("data", "pack", folder / "images", folder / "packed")


def _train(folder: Path) -> None:
    os.environ["EDGEAI_DATA"] = str(folder / "images")
    options = ["--epochs=1", "--batch-size=250", "--precision=fp32"]
    _edgeai("train", "convnext_atto", *options, f"--out={folder / 'run'}")


def _audit(folder: Path) -> None:
    _edgeai("audit", folder / "net.onnx", "--no-latency", f"--report={folder / 'page.html'}")


def _report(folder: Path) -> None:
    _edgeai("report", folder / "run.json", "-o", folder / "out", f"--claims-dir={HOSTILE}")


def _add(folder: Path) -> None:
    _edgeai("evidence", "add", folder / "run", "--name=b", f"--evidence={folder / 'evidence'}")


def _attest(folder: Path) -> None:
    given = [f"--evidence={folder / 'evidence'}", f"--claims-dir={HOSTILE}"]
    _edgeai("evidence", "attest", "-o", folder / "out", *given)


def _bundle(folder: Path) -> None:
    _edgeai("bundle", "convnext_atto", "-o", folder / "bundle")


COMMANDS = [
    Command("evidence add", _prepare_evidence, _add, _check_evidence),
    Command("evidence attest", _prepare_evidence, _attest, _check_statement),
    Command("report", _prepare_report, _report, _check_report),
    Command("pytest -m claims", _prepare_claims, _run_claims, _check_claims),
    Command("data pack", _prepare_images, _pack, _check_pack),
    Command("train", _prepare_images, _train, _check_run),
    Command("audit", _prepare_audit, _audit, _check_page),
    Command("bundle", lambda folder: None, _bundle, _check_bundle),
]
