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

from edgeai_repro.checksums import sha256
from edgeai_repro.devices.fingerprint import architecture, fingerprint
from edgeai_repro.edge import build, bundle
from edgeai_repro.report import document
from edgeai_repro.report.document import Document
from tests.support import shards
from tests.support.edge_checkout import AT_LEAST, AT_MOST, ATTO, DEVICES, OVER_FP32
from tests.support.factories import PAPER, claim_entry, paper_yaml

ROOT = Path(__file__).parents[2]
CHECKOUT = ("ci", "claims", "conftest.py", "edgeai_repro", "LICENSE", "pyproject.toml", "README.md", "tests")
TARGET = {"target": [0.8]}
FULL_SCALE = {"init": "imagenet", "epochs": 30, "resolution": 32, "stem_stride": 4}
EAGER = {**OVER_FP32, "baseline": ["combined"], "baseline_runtime": ["eager"]}
# The bands hold at any noise of this machine: the tests check that the claims are judged.
CLAIMS = [
    claim_entry(
        **{**ATTO, "needs": ["data", "weights", "edge"]},
        **{"id": "accuracy", "metric": "accuracy", "value": 0.0, "band": AT_LEAST, "settings": TARGET},
        conditions={"runtime": "onnxruntime"},
    ),
    claim_entry(**ATTO, id="latency", metric="latency", value=1e6, band=AT_MOST, settings=TARGET),
    claim_entry(**ATTO, id="faster", metric="speedup", value=0.0, band=AT_LEAST, conditions=OVER_FP32),
    claim_entry(**ATTO, id="than-eager", metric="speedup", value=0.0, band=AT_LEAST, conditions=EAGER),
]
TIMED = ("reproduced", "inconclusive")  # inconclusive if the A/A control fails


def trained(folder: Path) -> Path:
    """Turn a bundle with random weights into one whose manifest says that it was trained; add a test split."""
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
    install = script(checkout, "edge-install.sh", PYTHON=sys.executable)
    assert install.returncode == 0, install.stderr
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
def test_bundle_is_judged_without_torch(installed: Path, atto_bundle: Path) -> None:
    """Accuracy, latency and ratios are judged; a claim that needs torch says so."""
    trained(Path(shutil.copytree(atto_bundle, installed / "bundle", dirs_exist_ok=True)))
    torch = subprocess.run(
        [installed / ".venv" / "bin" / "python", "-c", "import torch"], check=False, capture_output=True, text=True
    )
    run = script(installed, "edge.sh", "bundle", "results", "--edge-threads=1", EDGEAI_DEVICE="this")

    assert "ModuleNotFoundError: No module named 'torch'" in torch.stderr
    assert run.returncode == 0, run.stdout + run.stderr
    results: Document = document.read(installed / "results" / "verdicts.json")
    entries = {entry.id: entry for entry in results.papers[0].claims}
    assert "torch" not in results.environment.versions
    assert entries["accuracy"].verdict == "reproduced"
    assert entries["accuracy"].rows[0].n == 10_000
    assert entries["latency"].verdict in TIMED
    assert entries["faster"].verdict in TIMED
    assert (entries["than-eager"].verdict, entries["than-eager"].requirement) == ("not_testable", "torch")
    assert entries["accuracy"].rows[0].evidence == entries["latency"].rows[0].evidence
    shown = script(installed, "summary.sh", "results").stdout
    assert all(name in shown for name in entries)


@pytest.mark.slow
def test_shards_are_merged_without_torch(installed: Path) -> None:
    """`ci/merge.sh` writes verdicts and report; it fails if a shard is missing, and merges the others."""
    for number, name in enumerate(("one", "two", "three"), 1):
        folder = installed / "shards" / f"shard-{number}"
        folder.mkdir(parents=True)
        document.write(shards.run(name, shard=f"{number}/3"), folder / "verdicts.json")
    whole = script(installed, "merge.sh", "shards", "whole")
    shutil.rmtree(installed / "shards" / "shard-2")
    part = script(installed, "merge.sh", "shards", "part")

    assert whole.returncode == 0, whole.stderr
    assert [claim.id for claim in document.read(installed / "whole" / "verdicts.json").papers[0].claims] == [
        *("one", "two", "three")
    ]
    assert "two" in (installed / "whole" / "report.md").read_text("utf-8")
    assert part.returncode == 3
    assert "edgeai-repro: shards are missing (got all but 2/3); merge them, too\n" in part.stderr
    assert (installed / "part" / "report.md").exists()


@pytest.mark.slow
def test_bundle_with_random_weights_fails_the_job(installed: Path, atto_bundle: Path) -> None:
    """The job can't pass by skipping."""
    folder = shutil.copytree(atto_bundle, installed / "random")
    run = script(installed, "edge.sh", folder.name, "required", "-k", "accuracy", EDGEAI_DEVICE="this")

    assert run.returncode == 1, run.stdout + run.stderr
    assert "'accuracy' must be testable with --claims-require=weights: " in run.stdout
    assert (installed / "required" / "report.md").exists(), "the summary must have what there is"


@pytest.mark.slow
def test_times_are_compared_with_the_last_ones_of_the_device(installed: Path, atto_bundle: Path) -> None:
    """Worse times fail the job until a person accepts them, unless the machine was too noisy for them."""
    folder = Path(shutil.copytree(atto_bundle, installed / "small"))
    manifest = json.loads((folder / bundle.MANIFEST).read_text())
    manifest["models"] = {
        "pruned-int8": manifest["models"]["pruned-int8"]
    }  # timing one takes a quarter of the time
    (folder / bundle.MANIFEST).write_text(json.dumps(manifest))
    compare = ("compare-benchmarks.sh", folder.name, "results", "--edge-threads=1")
    first = script(installed, *compare)
    (kept,) = (installed / ".benchmarks").glob("*/*/0001_*.json")
    stored = json.loads(kept.read_text())
    for benchmark in stored["benchmarks"]:
        benchmark["stats"]["median"] /= 100
    kept.write_text(json.dumps(stored))
    second = script(installed, *compare)
    accepted = script(installed, *compare, ACCEPT="true")

    assert first.returncode == 0, first.stdout + first.stderr
    assert "no benchmark of this device" in first.stdout
    assert kept.parent.parent.name == fingerprint(1).key
    if "too noisy to be compared" in second.stdout:  # then a difference is no regression
        assert second.returncode == 0, second.stdout + second.stderr
    else:
        assert second.returncode != 0, second.stdout
        assert "Performance has regressed" in second.stdout + second.stderr
    assert accepted.returncode == 0, accepted.stdout + accepted.stderr
    assert "convnext_atto-pruned-int8-onnxruntime" in (installed / "results" / "benchmarks.txt").read_text()
