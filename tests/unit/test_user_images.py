"""Images of the user: class folders, calibration folders, and files that are no images."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgeai_repro.edge.user_images import labels_of, read_calibration, read_labels, read_test_images
from edgeai_repro.errors import UserError


def write_image(path: Path, value: int, mode: str = "RGB") -> None:
    """Write an image of one colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, (9, 7), (value,) * 3 if mode == "RGB" else value).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Images of two classes: two of `b`, one of `a`."""
    write_image(tmp_path / "images" / "b" / "1.png", 10)
    write_image(tmp_path / "images" / "b" / "2.JPG", 20)
    write_image(tmp_path / "images" / "a" / "1.png", 30)
    return tmp_path / "images"


def test_class_folders_are_classes_in_alphabetical_order(folder: Path) -> None:
    """Images are resized to the side of the network."""
    labels = labels_of(folder, 2)
    tested = read_test_images(folder, 4, 2, labels)

    assert labels == ("a", "b")
    assert tested.images.shape == (3, 3, 4, 4)
    assert tested.images[:, 0, 0, 0].tolist() == [30, 10, 20]
    assert tested.classes.tolist() == [0, 1, 1]


def test_class_folders_may_be_named_by_numbers(tmp_path: Path) -> None:
    """A part of the classes is enough."""
    write_image(tmp_path / "7" / "1.png", 1)

    assert labels_of(tmp_path, 10) is None
    assert read_test_images(tmp_path, 4, 10, None).classes.tolist() == [7]


@pytest.mark.parametrize(
    ("labels", "hint"), [(None, "give --labels"), (("cat", "aa"), "did you mean 'aa'")], ids=["none", "others"]
)
def test_folder_that_is_no_class_is_refused(folder: Path, labels: tuple[str, ...] | None, hint: str) -> None:
    """The hint depends on whether there are labels."""
    with pytest.raises(UserError, match=rf"a: must be named by a label, .*from 0 to 4 \(got 'a'\); .*{hint}"):
        read_test_images(folder, 4, 5, labels)


def test_corrupt_image_is_left_out_with_one_line(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The other images are read."""
    (folder / "b" / "0.png").write_bytes(b"no image")

    with caplog.at_level(logging.WARNING):
        calibration = read_calibration(folder, 4)

    assert len(calibration.images) == 3
    assert calibration.words == "3 images"
    (line,) = caplog.messages
    assert "0.png: must be an image" in line
    assert line.endswith("the image is left out")


def test_gray_images_become_rgb(tmp_path: Path) -> None:
    """Each channel has the gray value."""
    write_image(tmp_path / "1.png", 9, mode="L")

    np.testing.assert_array_equal(read_calibration(tmp_path, 4).images, np.full((1, 3, 4, 4), 9))


@pytest.mark.parametrize("name", ["empty", "missing"])
def test_folder_without_images_is_refused(tmp_path: Path, name: str) -> None:
    """A missing folder and an empty one have different lines."""
    (tmp_path / "empty").mkdir()

    with pytest.raises(UserError, match=rf"{name}: must .*\(got (none|No such file)"):
        read_calibration(tmp_path / name, 4)
    with pytest.raises(UserError, match=rf"{name}: must "):
        read_test_images(tmp_path / name, 4, 2, None)


def test_labels_are_read_without_empty_lines(tmp_path: Path) -> None:
    """One line is one label, and none occurs twice."""
    path = tmp_path / "labels.txt"
    path.write_text("tabby cat\n\ndog\n", encoding="utf-8")
    assert read_labels(path) == ("tabby cat", "dog")

    path.write_text("dog\ndog\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"labels\.txt: must have one label per line, each once"):
        read_labels(path)
