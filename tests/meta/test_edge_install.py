"""The edge install: a fresh environment with the extra `edge` alone judges a bundle, without torch."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgeai_repro.documents import sha256
from edgeai_repro.edge import build, bundle
from edgeai_repro.edge.device import architecture
from edgeai_repro.report import document
from edgeai_repro.report.document import Document
from tests.factories import PAPER, claim_entry, paper_yaml
from tests.meta.test_edge import AT_LEAST, AT_MOST, ATTO, DEVICES, FASTER

ROOT = Path(__file__).parents[2]
CHECKOUT = ("claims", "conftest.py", "edgeai_repro", "LICENSE", "pyproject.toml", "README.md", "tests")
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
def python(checkout: Path) -> Path:
    """The Python of a fresh environment into which the checkout was installed with the extra `edge` alone."""
    environment = checkout.parent / "environment"
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    found = environment / "bin" / "python"
    install = [found, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-e", f"{checkout}[edge]"]
    subprocess.run(install, check=True, stdin=subprocess.DEVNULL)
    return found


@pytest.mark.slow
def test_edge_install(checkout: Path, python: Path, atto_bundle: Path) -> None:
    """Torch isn't importable there, and accuracy, latency and ratios are judged; what needs torch says so."""
    folder = trained(Path(shutil.copytree(atto_bundle, checkout / "bundle")))
    bare = {name: value for name, value in os.environ.items() if not name.startswith(("EDGEAI_", "PYTHON"))}
    torch = subprocess.run(
        [python, "-c", "import torch"], cwd=checkout, env=bare, check=False, capture_output=True, text=True
    )
    run = subprocess.run(
        [python, "-m", "pytest", "-m", "claims and edge", "--bundle", folder, "--claims-json=out.json"],
        cwd=checkout,
        env={**bare, "EDGEAI_DEVICE": "this"},
        check=False,
        capture_output=True,
        text=True,
    )

    assert "ModuleNotFoundError: No module named 'torch'" in torch.stderr
    assert run.returncode == 0, run.stdout + run.stderr
    found: Document = document.read(checkout / "out.json")
    entries = {entry.id: entry for entry in found.papers[0].claims}
    assert "torch" not in found.environment.versions
    assert entries["accuracy"].verdict == "reproduced"
    assert entries["accuracy"].rows[0].n == 10_000
    assert entries["latency"].verdict in TIMED
    assert entries["faster"].verdict in TIMED
    assert (entries["than-eager"].verdict, entries["than-eager"].condition) == ("not_testable", "torch")
    assert entries["accuracy"].rows[0].evidence == entries["latency"].rows[0].evidence
