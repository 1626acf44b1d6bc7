"""From pixels to the input of a bundle's model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from edgeai_repro.data.transforms import MEAN, STD, normalise
from edgeai_repro.edge.images import prepare, read_image
from edgeai_repro.edge.manifest import InputSpec
from edgeai_repro.errors import UserError

IMAGES = np.random.default_rng(1).integers(0, 256, (3, 3, 32, 32), dtype=np.uint8)


@pytest.mark.parametrize("resolution", [32, 48, 224])
def test_images_are_prepared_as_in_torch(resolution: int) -> None:
    """Normalised and enlarged images differ by rounding only (1.5e-5 observed)."""
    spec = InputSpec(name="image", shape=(1, 3, resolution, resolution), mean=MEAN, std=STD)

    expected = normalise(torch.from_numpy(IMAGES), resolution).numpy()
    np.testing.assert_allclose(prepare(IMAGES, spec), expected, atol=1e-4)


def test_image_file_is_read_channels_first(tmp_path: Path) -> None:
    """A PNG of 32 × 32 keeps its pixels."""
    path = tmp_path / "image.png"
    Image.fromarray(IMAGES[0].transpose(1, 2, 0)).save(path)

    np.testing.assert_array_equal(read_image(path), IMAGES[:1])


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n truncated"])
def test_file_that_is_no_image_is_refused(tmp_path: Path, content: bytes) -> None:
    """The error is one line."""
    path = tmp_path / "image.png"
    path.write_bytes(content)

    with pytest.raises(UserError, match=r"image\.png: must be an image \(") as caught:
        read_image(path)
    assert "\n" not in str(caught.value)
