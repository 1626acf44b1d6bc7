"""CIFAR-10 reads the same from both forms, and damaged files are refused in one line."""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from edgeai_repro.data import cifar, packing
from edgeai_repro.errors import MissingRequirement, UserError
from tests.support import small_cifar

TRAIN_FILES = 2


def plain_images(first: int, count: int) -> np.ndarray:
    """Return images of one colour each, (count, 3072); the colour encodes the index."""
    index = np.arange(first, first + count)
    colours = np.stack([index // 256 % 256, index % 256, index % 7], 1).astype(np.uint8)
    return colours.repeat(1024, axis=1)


@pytest.fixture(scope="module")
def batches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in torchvision's form with images of one colour, whose md5 sums replace the published ones.

    It has two of the five training files, because packing them takes seconds.
    """
    root = tmp_path_factory.mktemp("torchvision")
    folder = root / cifar.BATCHES_FOLDER
    folder.mkdir()
    digests: dict[str, dict[str, str]] = {"train": {}, "test": {}}
    for part, names in cifar.BATCHES.items():
        for place, name in enumerate(list(names)[:TRAIN_FILES]):
            labels = [index % 10 for index in range(10_000)]
            content = pickle.dumps({b"data": plain_images(place * 10_000, 10_000), b"labels": labels}, protocol=4)
            (folder / name).write_bytes(content)
            digests[part][name] = hashlib.md5(content, usedforsecurity=False).hexdigest()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cifar, "BATCHES", digests)
        patch.setitem(cifar.CIFAR10.sizes, "train", TRAIN_FILES * 10_000)
        yield root


@pytest.fixture(scope="module")
def packed(batches: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same data in the packed form."""
    root = tmp_path_factory.mktemp("packed")
    packing.pack(batches, root)
    return root


@pytest.fixture
def copy(packed: Path, tmp_path: Path) -> Path:
    """A copy of the packed folder made of links, which tests replace."""
    folder = tmp_path / "cifar10"
    folder.mkdir()
    for path in (packed / "cifar10").iterdir():
        (folder / path.name).symlink_to(path)
    return folder


def replace(path: Path, content: bytes) -> None:
    """Replace a link by a file."""
    path.unlink()
    path.write_bytes(content)


@pytest.mark.parametrize("part", ["train", "test"])
def test_both_forms_hold_the_same_images_and_labels(batches: Path, packed: Path, part: cifar.Part) -> None:
    """Packing loses no pixel, no label, and keeps the order."""
    ours, theirs = cifar.load_split(packed, part), cifar.load_split(batches, part)

    assert torch.equal(ours.images, theirs.images)
    assert torch.equal(ours.labels, theirs.labels)
    assert ours.sha256 == theirs.sha256


def test_images_keep_their_order(packed: Path) -> None:
    """Image 12,345 of the training split has the colour that was written as the 12,345th."""
    split = cifar.load_split(packed, "train")

    assert split.images.shape == (20_000, 3, 32, 32)
    assert split.images.dtype == torch.uint8
    assert np.array_equal(split.images[12_345].reshape(-1).numpy(), plain_images(12_345, 1)[0])


def test_the_folder_itself_may_be_named(packed: Path) -> None:
    """`EDGEAI_DATA` may name `cifar10` or its parent folder."""
    assert len(cifar.load_split(packed / "cifar10", "test")) == 10_000


def test_verify_names_every_part(packed: Path) -> None:
    """Verifying returns the form, images and classes of each part."""
    verified = {
        (part.dataset, part.part): (part.form, part.images, part.classes) for part in packing.verify(packed)
    }

    assert verified == {("cifar10", "train"): ("packed", 20_000, 10), ("cifar10", "test"): ("packed", 10_000, 10)}


def test_packing_into_another_folder_is_refused(batches: Path, tmp_path: Path) -> None:
    """An existing folder is not overwritten, and is refused before the work."""
    (tmp_path / "cifar10").mkdir()

    with pytest.raises(UserError, match=r"cifar10: must not exist yet"):
        packing.pack(batches, tmp_path)


def test_packing_again_leaves_the_finished_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is recognised by its content; one that was changed is refused, and stays as it is."""
    images = small_cifar.write(tmp_path / "images", monkeypatch)
    first = packing.pack(images, tmp_path / "packed")
    before = {path.name: path.stat().st_mtime_ns for path in first.iterdir()}

    assert packing.pack(images, tmp_path / "packed") == first
    assert {path.name: path.stat().st_mtime_ns for path in first.iterdir()} == before
    (first / "test.webp").write_bytes(b"changed")
    with pytest.raises(
        UserError, match=r"cifar10: must not exist yet, or have the same content \(got another test"
    ):
        packing.pack(images, tmp_path / "packed")
    assert (first / "test.webp").read_bytes() == b"changed"


def test_an_unset_variable_is_a_missing_requirement(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without `EDGEAI_DATA` the requirement `data` is missing, and the remedy says what to set."""
    monkeypatch.delenv("EDGEAI_DATA", raising=False)

    with pytest.raises(MissingRequirement, match="set EDGEAI_DATA to a folder") as caught:
        cifar.data_folder()

    assert caught.value.requirement == "data"


def test_a_variable_that_names_no_folder_is_a_missing_requirement(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The remedy names the missing folder."""
    monkeypatch.setenv("EDGEAI_DATA", str(tmp_path / "nowhere"))

    with pytest.raises(MissingRequirement, match=r"must name a folder \(got .*nowhere"):
        cifar.data_folder()


def test_a_folder_without_data_is_a_missing_requirement(tmp_path: Path) -> None:
    """A folder without either form is not an error: claims on data aren't testable."""
    with pytest.raises(MissingRequirement, match="contains no cifar10"):
        cifar.load_split(tmp_path, "test")


def test_an_unknown_part_is_refused(packed: Path) -> None:
    """The pool has no test split."""
    with pytest.raises(UserError, match="'part' must be one of train in cifar100_pool"):
        cifar.load_split(packed, "test", cifar.CIFAR100_POOL)


def test_a_truncated_mosaic_is_named(copy: Path) -> None:
    """The line contains the file, the expected size and the actual one."""
    replace(copy / "test.webp", (copy / "test.webp").read_bytes()[:-1])

    with pytest.raises(UserError, match=r"test\.webp: must have \d+ bytes \(got \d+\); fetch it again") as caught:
        cifar.load_split(copy, "test")

    assert "\n" not in str(caught.value)


def test_a_changed_byte_is_refused(copy: Path) -> None:
    """A file of the right size with another content is refused."""
    content = bytearray((copy / "test.webp").read_bytes())
    content[-1] ^= 1
    replace(copy / "test.webp", bytes(content))

    with pytest.raises(UserError, match="must have the sha256"):
        cifar.load_split(copy, "test")


def test_a_missing_mosaic_is_named(copy: Path) -> None:
    """A missing file of one split is reported, and the other split still loads."""
    (copy / "train_1.webp").unlink()

    with pytest.raises(UserError, match=r"train_1\.webp: is missing; fetch it again"):
        cifar.load_split(copy, "train")
    assert len(cifar.load_split(copy, "test")) == 10_000


@pytest.mark.parametrize("content", [b"", b"[]", b'{"test.webp": 3}', b"\xff"])
def test_a_malformed_manifest_is_refused(copy: Path, content: bytes) -> None:
    """Broken JSON, another shape and text that isn't UTF-8 are refused."""
    replace(copy / "manifest.json", content)

    with pytest.raises(UserError, match=r"manifest\.json: "):
        cifar.load_split(copy, "test")


def test_unequal_classes_are_refused() -> None:
    """Every class is equally frequent; one changed label breaks that."""
    labels = (np.arange(10_000) % 10).astype(np.uint8)
    labels[0] = 9

    with pytest.raises(UserError, match=r"1000 labels of each of 10 classes \(got 999 to 1001"):
        cifar.check_labels(labels, 10_000, cifar.CIFAR10, Path("labels.npz"))


def test_a_file_that_is_not_a_mosaic_is_refused(copy: Path) -> None:
    """A file that isn't a WebP is refused, even if the manifest lists it."""
    manifest = json.loads((copy / "manifest.json").read_text())
    content = b"RIFF no picture"
    manifest["test.webp"] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    replace(copy / "manifest.json", json.dumps(manifest).encode())
    replace(copy / "test.webp", content)

    with pytest.raises(UserError, match="must be a WebP mosaic"):
        cifar.load_split(copy, "test")


def test_a_batch_file_with_another_md5_is_never_unpickled(tmp_path: Path) -> None:
    """torchvision's form is a pickle, so only the published files are unpickled."""
    (tmp_path / "test_batch").write_bytes(pickle.dumps({}))

    with pytest.raises(UserError, match="must have the published md5"):
        cifar.load_batches(tmp_path, "test")


def test_a_python_2_pickle_of_an_array_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The published files were pickled by Python 2, with the module names of its time."""
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR"
    dtype = b"cnumpy\ndtype\n(S'u1'\nI0\nI1\ntR(I3\nS'|'\nNNNI-1\nI-1\nI0\ntb"
    state = b"(I1\n(I1\nI3072\nt" + dtype + b"I00\nS'" + b"abc" * 1024 + b"'\ntb"
    content = b"(dS'data'\n" + array + state + b"sS'labels'\n(lI7\nas."
    (tmp_path / "test_batch").write_bytes(content)
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    monkeypatch.setattr(cifar, "BATCHES", {"test": {"test_batch": md5}})

    images, labels = cifar.load_batches(tmp_path, "test")

    assert images[0].tobytes() == b"abc" * 1024
    assert labels.tolist() == [7]
