"""The project's wheel, unpacked, and its command line in a process that can import no torch."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from tests.support.repository import TEST

ROOT = Path(__file__).parents[2]
SOURCES = ("claims", "docs", "edgeai_repro", "evidence", "LICENSE", "MANIFEST.in", "pyproject.toml", "README.md")
# What `pip install 'edgeai-repro[onnx]'` does not install.
ABSENT = (
    *("jinja2", "matplotlib", "only_train_once", "safetensors", "thop", "timm", "torch", "torchao"),
    *("torch_pruning", "torchvision", "tqdm", "psutil"),
)
HIDER = f"""
import sys
from importlib.machinery import PathFinder


class Hider(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        hidden = name.partition(".")[0] in {ABSENT!r}
        return None if hidden else PathFinder.find_spec(name, path, target)


sys.meta_path[sys.meta_path.index(PathFinder)] = Hider
"""
MAIN = "from edgeai_repro.__main__ import main; main()"


def build_wheel(folder: Path) -> Path:
    """Build a wheel from a copy of the checkout, and return the folder that it is unpacked in."""
    copy = folder / "copy"
    copy.mkdir()
    for name in (*SOURCES, "setup.py"):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, copy / name)
    wheel = ["-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", f"--wheel-dir={folder}", "."]
    subprocess.run([sys.executable, *wheel], cwd=copy, check=True)
    (built,) = folder.glob("*.whl")
    installed = folder / "installed"
    with zipfile.ZipFile(built) as archive:
        archive.extractall(installed)
    shutil.rmtree(copy)
    (installed / "sitecustomize.py").write_text(HIDER, encoding="utf-8")
    return installed


def run(installed: Path, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the command line of an unpacked wheel in a folder, without the packages of the extra `torch`."""
    return subprocess.run(
        [sys.executable, "-c", MAIN, *arguments],
        cwd=cwd,
        env=_variables(installed),
        capture_output=True,
        text=True,
        check=False,
    )


def judge(installed: Path, claim: str, *, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Judge a claim of an unpacked wheel by pytest in a folder, without the packages of the extra `torch`."""
    (cwd / "test_claims.py").write_text(TEST, encoding="utf-8")
    folder = installed / "edgeai_repro" / "shipped" / "claims"
    options = ["-rs", "-p", "no:cacheprovider", "-p", "no:xdist", "-k", claim, f"--claims-dir={folder}"]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *options],
        cwd=cwd,
        env={**_variables(installed), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )


def _variables(installed: Path) -> dict[str, str]:
    bare = {name: value for name, value in os.environ.items() if not name.startswith("EDGEAI_")}
    return {**bare, "PYTHONPATH": str(installed)}
