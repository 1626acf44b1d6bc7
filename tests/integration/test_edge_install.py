"""The edge install: what CI runs on a device, in a fresh environment without torch, judges a bundle and times."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgeai_repro.devices.fingerprint import architecture, fingerprint
from edgeai_repro.edge import build, bundle
from edgeai_repro.files import sha256
from edgeai_repro.report import document
from edgeai_repro.report.document import Document
from tests.integration.test_edge_claims import AT_LEAST, AT_MOST, ATTO, DEVICES, FASTER
from tests.support.factories import PAPER, claim_entry, paper_yaml

ROOT = Path(__file__).parents[2]
CHECKOUT = ("ci", "claims", "conftest.py", "edgeai_repro", "LICENSE", "pyproject.toml", "README.md", "tests")
TARGET = {"target": [0.8]}
FULL_SCALE = {"init": "imagenet", "epochs": 30, "resolution": 32, "stem_stride": 4}
EAGER = {**FASTER, "baseline": ["combined"], "baseline_runtime": ["eager"]}
# What is judged here is whether it can be judged: the bands hold whatever this machine's noise may be.
CLAIMS = [
    claim_entry(
        **{**ATTO, "needs": ["data", "weights", "edge"]},
        **{"id": "accuracy", "metric": "accuracy", "value": 0.0, "band": AT_LEAST, "settings": TARGET},
    ),
    claim_entry(**ATTO, id="latency", metric="latency", value=1e6, band=AT_MOST, settings=TARGET),
    claim_entry(**ATTO, id="faster", metric="speedup", value=0.0, band=AT_LEAST, settings=FASTER),
    claim_entry(**ATTO, id="than-eager", metric="speedup", value=0.0, band=AT_LEAST, settings=EAGER),
]
TIMED = ("reproduced", "inconclusive")  # the latter where the A/A control says "too noisy"


def trained(folder: Path) -> Path:
    """Make a bundle out of one with random weights that says of itself that it was trained, with a test split."""
    labels = np.repeat(np.arange(10, dtype=np.uint8), 1000)
    images = np.broadcast_to(25 * labels[:, None, None, None], (10_000, 3, 32, 32)).astype(np.uint8)
    path = folder / bundle.MANIFEST
    manifest = json.loads(path.read_text())
    manifest["data_sha256"] = build._write_split(folder, images, labels)
    for name in (bundle.TEST_IMAGES, bundle.TEST_LABELS):
        manifest["files"][name] = {"sha256": sha256(folder / name), "bytes": (folder / name).stat().st_size}
    for model in manifest["models"].values():
        model["origin"] = {"sha256": "f" * 64, "recipe": {**FULL_SCALE, "structured": 0.8, "seed": 0}}
    path.write_text(json.dumps(manifest))
    return folder


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout as on a device, with claims about convnext_atto."""
    folder = tmp_path_factory.mktemp("device") / "checkout"
    folder.mkdir()
    for name in CHECKOUT:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    for file in (folder / "claims").glob("*.yaml"):
        file.unlink()
    text = paper_yaml(*CLAIMS, paper={**PAPER, "id": "atto"}, full_scale=FULL_SCALE)
    (folder / "claims" / "atto.yaml").write_text(text, encoding="utf-8")
    (folder / "claims" / "devices.yaml").write_text(DEVICES.format(architecture=architecture()), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def installed(checkout: Path) -> Path:
    """The checkout after `ci/edge-install.sh`."""
    found = script(checkout, "edge-install.sh", PYTHON=sys.executable)
    assert found.returncode == 0, found.stderr
    return checkout


def script(checkout: Path, name: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a script of `ci/` there."""
    bare = {key: value for key, value in os.environ.items() if not key.startswith(("EDGEAI_", "PYTHON", "GITHUB_"))}
    return subprocess.run(
        [checkout / "ci" / name, *arguments],
        env={**bare, **variables},
        stdin=subprocess.DEVNULL,
        check=False,
        capture_output=True,
        text=True,
    )


@pytest.mark.slow
def test_edge_install(installed: Path, atto_bundle: Path) -> None:
    """Torch isn't importable there, and accuracy, latency and ratios are judged; what needs torch says so."""
    trained(Path(shutil.copytree(atto_bundle, installed / "bundle", dirs_exist_ok=True)))
    torch = subprocess.run(
        [installed / ".venv" / "bin" / "python", "-c", "import torch"], check=False, capture_output=True, text=True
    )
    run = script(installed, "edge.sh", "bundle", "results", EDGEAI_DEVICE="this")

    assert "ModuleNotFoundError: No module named 'torch'" in torch.stderr
    assert run.returncode == 0, run.stdout + run.stderr
    found: Document = document.read(installed / "results" / "verdicts.json")
    entries = {entry.id: entry for entry in found.papers[0].claims}
    assert "torch" not in found.environment.versions
    assert entries["accuracy"].verdict == "reproduced"
    assert entries["accuracy"].rows[0].n == 10_000
    assert entries["latency"].verdict in TIMED
    assert entries["faster"].verdict in TIMED
    assert (entries["than-eager"].verdict, entries["than-eager"].condition) == ("not_testable", "torch")
    assert entries["accuracy"].rows[0].evidence == entries["latency"].rows[0].evidence
    shown = script(installed, "summary.sh", "results").stdout
    assert all(name in shown for name in entries)


@pytest.mark.slow
def test_required(installed: Path, atto_bundle: Path) -> None:
    """A bundle with random weights fails the job: it can't go green by skipping."""
    folder = shutil.copytree(atto_bundle, installed / "random")
    found = script(installed, "edge.sh", folder.name, "required", "-k", "accuracy", EDGEAI_DEVICE="this")

    assert found.returncode == 1, found.stdout + found.stderr
    assert "'accuracy' must be testable, --claims-require weights: " in found.stdout
    assert (installed / "required" / "report.md").exists(), "the summary must have what there is"


@pytest.mark.slow
def test_compared(installed: Path, atto_bundle: Path) -> None:
    """Times are kept by device, and compared with the last ones; worse ones fail, until a person accepts them."""
    folder = Path(shutil.copytree(atto_bundle, installed / "small"))
    manifest = json.loads((folder / bundle.MANIFEST).read_text())
    manifest["models"] = {"pruned-int8": manifest["models"]["pruned-int8"]}  # one is timed in a quarter of the time
    (folder / bundle.MANIFEST).write_text(json.dumps(manifest))
    compare = ("compare-benchmarks.sh", folder.name, "results", "--edge-threads=1")
    first = script(installed, *compare)
    (kept,) = (installed / ".benchmarks").glob("*/0001_*.json")
    stored = json.loads(kept.read_text())
    for benchmark in stored["benchmarks"]:
        benchmark["stats"]["median"] /= 100
    kept.write_text(json.dumps(stored))
    second = script(installed, *compare)
    accepted = script(installed, *compare, ACCEPT="true")

    assert first.returncode == 0, first.stdout + first.stderr
    assert "no benchmark of this device" in first.stdout
    assert kept.parent.name == fingerprint(1).key
    assert second.returncode != 0, second.stdout
    assert "Performance has regressed" in second.stdout + second.stderr
    assert accepted.returncode == 0, accepted.stdout + accepted.stderr
    assert "convnext_atto-pruned-int8-onnxruntime" in (installed / "results" / "benchmarks.txt").read_text()
