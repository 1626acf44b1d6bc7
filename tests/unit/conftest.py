"""Fixtures of several files. What needs torch is imported in them, for tests that run without torch."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import small_cifar
from tests.support.html_page import Page

if TYPE_CHECKING:
    from edgeai_repro.edge.bundle import Bundle


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with 500 training and 100 test images, as torchvision stores them."""
    with pytest.MonkeyPatch.context() as patch:
        yield small_cifar.write(tmp_path_factory.mktemp("data"), patch)


@pytest.fixture
def here(images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, which is empty. EDGEAI_DATA names the images, EDGEAI_MODELS the folder `models`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDGEAI_DATA", str(images))
    monkeypatch.setenv("EDGEAI_MODELS", "models")
    return tmp_path


@pytest.fixture
def few_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an audit time as few rounds, and as few images in each, as an interval allows."""
    from edgeai_repro.audit import latency

    monkeypatch.setattr(latency, "SECONDS", 0.0)
    monkeypatch.setattr(latency, "Plan", partial(latency.Plan, seconds=0.0, untimed_seconds=0.0))
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)


@pytest.fixture(scope="session")
def page() -> Page:
    """The HTML report of a run with one claim of each verdict, parsed."""
    from edgeai_repro.report import html
    from tests.support.reports import run

    return Page(html.render(run()))


@pytest.fixture
def loaded(atto_bundle: Path) -> Bundle:
    """The bundle of convnext_atto, checked."""
    from edgeai_repro.edge import bundle

    return bundle.load(atto_bundle)


@pytest.fixture
def copied(atto_bundle: Path, tmp_path: Path) -> Path:
    """A copy of the bundle that a test may damage."""
    return Path(shutil.copytree(atto_bundle, tmp_path / "copy"))


@pytest.fixture
def undeflated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Don't deflate: it takes seconds per row."""
    from edgeai_repro.measure import size

    monkeypatch.setattr(size, "deflated_bytes", lambda _: 0)


@pytest.fixture
def noise(monkeypatch: pytest.MonkeyPatch) -> None:
    """36 images of noise stand in for CIFAR-10: 4 steps of 8 an epoch, and a rest. Blocks are dropped at random."""
    import torch

    from edgeai_repro.data.cifar import Split
    from edgeai_repro.networks import variants
    from edgeai_repro.training import trainer

    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (36, 3, 32, 32), dtype=torch.uint8, generator=generator)
    split = Split(images, torch.randint(10, (36,), generator=generator), 10, "noise")
    monkeypatch.setattr(trainer, "load_split", lambda folder, part, dataset: split)
    dropped = replace(variants.CONVNEXT_VARIANTS["convnext_atto"], drop_path_rate=0.5)
    monkeypatch.setitem(variants.CONVNEXT_VARIANTS, "convnext_atto", dropped)
