"""Puts the claims, the recorded evidence and the last verdicts into a wheel; pyproject.toml has everything else."""

from __future__ import annotations

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
SHIPPED = ("claims", "evidence", "docs/verdicts.json")


class BuildWithData(build_py):
    """Also copies what `edgeai_repro.shipped` finds; an editable install finds it in the clone."""

    def run(self) -> None:
        """Build the package, then copy the data into it."""
        super().run()
        if self.editable_mode:
            return
        for name in SHIPPED:
            source, target = ROOT / name, Path(self.build_lib) / "edgeai_repro" / "shipped" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copyfile(source, target)


setup(cmdclass={"build_py": BuildWithData})
