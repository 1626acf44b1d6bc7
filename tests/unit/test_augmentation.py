"""CIFAR-10's images are normalised as by torchvision, and augmented at random."""

from __future__ import annotations

import torch

from edgeai_repro.data.transforms import MEAN, STD, augment, normalise


def test_normalise_is_torchvisions_arithmetic() -> None:
    """(x / 255 - mean) / std in each channel, channels last in memory."""
    images = torch.randint(256, (4, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))

    got = normalise(images)

    torch.testing.assert_close(got, (images / 255 - mean) / std, rtol=1e-5, atol=1e-5)
    assert got.is_contiguous(memory_format=torch.channels_last)


def test_normalise_reaches_another_resolution() -> None:
    """The images are scaled, and their mean level is unchanged."""
    got = normalise(torch.full((2, 3, 32, 32), 128, dtype=torch.uint8), 64)

    assert got.shape == (2, 3, 64, 64)
    torch.testing.assert_close(got[..., ::2, ::2], normalise(torch.full((2, 3, 32, 32), 128, dtype=torch.uint8)))


def test_each_augmented_image_is_a_window_of_its_own_original() -> None:
    """Each image is one of the 162 windows of its padded original: 81 places, flipped or not."""
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(256, (50, 3, 32, 32), dtype=torch.uint8, generator=generator)
    padded = torch.nn.functional.pad(images, (4, 4, 4, 4))

    got = augment(images, generator)

    seen = set()
    for index in range(len(images)):
        windows = {
            (down, right, flip): window.flip(-1) if flip else window
            for down in range(9)
            for right in range(9)
            for flip in (False, True)
            for window in [padded[index, :, down : down + 32, right : right + 32]]
        }
        matches = [key for key, window in windows.items() if torch.equal(window, got[index])]
        assert len(matches) == 1, f"image {index} is not one window of its original"
        seen.add(matches[0])
    assert len({flip for *_, flip in seen}) == 2, "some are flipped and some are not"
    assert len(seen) > 30, "the windows differ from image to image"


def test_augmentation_repeats_under_its_seed() -> None:
    """The same generator state gives the same crops."""
    images = torch.randint(256, (16, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    first, second = (augment(images, torch.Generator().manual_seed(7)) for _ in range(2))

    assert torch.equal(first, second)
    assert not torch.equal(first, augment(images, torch.Generator().manual_seed(8)))
