"""A missing optional package is one line that names its extra, for an install from an index and from a clone."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from edgeai_repro.extras import EXTRAS, missing_package

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
IMPORTED = {"PIL": "pillow", "torch_pruning": "torch-pruning", "only_train_once": "only-train-once"}


@pytest.mark.parametrize("package", EXTRAS)
def test_named_extra_installs_the_package(package: str) -> None:
    """The table agrees with pyproject.toml."""
    listed = PROJECT["optional-dependencies"][EXTRAS[package]]

    assert IMPORTED.get(package, package) in {re.split(r"[<>=\[]", requirement)[0] for requirement in listed}


def test_message_is_one_line_for_an_index_and_a_clone() -> None:
    """The package may be that of a submodule."""
    missing = missing_package(ModuleNotFoundError("No module named 'torch.nn'", name="torch.nn"))

    assert missing is not None
    assert missing.requirement == "torch"
    assert missing.remedy == (
        "torch is missing, which this needs; pip install 'edgeai-repro[torch]', or in a clone "
        "pip install -e '.[torch]'"
    )


def test_unknown_package_is_none_of_ours() -> None:
    """A mistake in our own imports must not look like the user's."""
    assert missing_package(ModuleNotFoundError("No module named 'edgeai_repo'", name="edgeai_repo")) is None
