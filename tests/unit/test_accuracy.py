"""Evaluation answers image by image, the same as a plain loop does."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edgeai_repro.compress.quantization import quantize
from edgeai_repro.data.cifar import Split
from edgeai_repro.data.transforms import MEAN, STD
from edgeai_repro.measure.accuracy import Predictions, evaluate
from edgeai_repro.networks import convnext
from edgeai_repro.networks.fast_cpu.packed_linear import packed_linear


@pytest.fixture(scope="module")
def split() -> Split:
    """70 images of noise; 70 is no multiple of the batch sizes in use."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (70, 3, 32, 32), dtype=torch.uint8, generator=generator)
    return Split(images, torch.randint(10, (70,), generator=generator), 10, "")


@pytest.fixture(scope="module")
def model() -> torch.nn.Module:
    """A small ConvNeXt whose answers differ from image to image."""
    built = convnext.build("convnext_atto", stem_stride=2, seed=3)
    for name, parameter in built.named_parameters():
        if name.endswith("layer_scale"):
            torch.nn.init.constant_(parameter, 0.5)
        elif name.endswith("weight") and parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.1, generator=torch.Generator().manual_seed(len(name)))
    return built


def plain(model: torch.nn.Module, split: Split) -> list[int]:
    """One image after the other, in the order of the memory that torchvision's transforms leave."""
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
    with torch.no_grad():
        return [int(model((image[None] / 255 - mean) / std).argmax()) for image in split.images]


@pytest.mark.parametrize("int8", [False, True], ids=["fp32", "int8"])
def test_the_answers_are_a_plain_loops(model: torch.nn.Module, split: Split, int8: bool) -> None:
    """In fp32 every answer is the same; dynamic int8 scales each batch by its own range, so few may differ."""
    subject = quantize(model) if int8 else model
    expected = np.array(plain(subject, split))

    got = evaluate(subject, split, batch_size=32)

    assert len(set(expected.tolist())) > 3, "a model that answers one class compares nothing"
    assert int((got.classes != expected).sum()) <= (7 if int8 else 0)
    assert np.array_equal(got.correct, got.classes == split.labels.numpy())


def test_each_image_keeps_its_place(model: torch.nn.Module, split: Split) -> None:
    """Reversed images give reversed answers."""
    backwards = Split(split.images.flip(0), split.labels.flip(0), 10, "")

    assert np.array_equal(evaluate(model, split).correct, evaluate(model, backwards).correct[::-1])


def test_a_planted_wrong_label_is_counted(model: torch.nn.Module, split: Split) -> None:
    """With the answers as labels all are right; with one label changed one is wrong, and it is known which."""
    labels = torch.from_numpy(evaluate(model, split).classes).clone()
    assert evaluate(model, Split(split.images, labels, 10, "")).top1 == 100

    labels[41] = (labels[41] + 1) % 10
    got = evaluate(model, Split(split.images, labels, 10, ""))

    assert np.flatnonzero(~got.correct).tolist() == [41]
    assert got.successes == 69


def test_another_resolution_is_another_input(model: torch.nn.Module, split: Split) -> None:
    """At 64 pixels the model sees upsampled images, and answers for each."""
    assert evaluate(model, split, resolution=64).classes.shape == (70,)


@pytest.mark.parametrize("training", [False, True])
def test_the_mode_is_left_as_it_was(model: torch.nn.Module, split: Split, training: bool) -> None:
    """Evaluation happens in eval mode, and leaves the model in its own."""
    model.train(training)

    evaluate(model, split)

    assert model.training is training
    model.eval()


def test_packed_layers_are_torchs(model: torch.nn.Module) -> None:
    """oneDNN's layout changes sums by rounding alone; what leaves the block is the model as it was."""
    images = convnext.random_images(3)
    before = [type(module) for module in model.modules()]
    names = {name: set(vars(module)) for name, module in model.named_modules()}

    with torch.inference_mode():
        expected = model(images)
        with packed_linear(model, 3):
            assert [type(module) for module in model.modules()] != before
            got = model(images)

    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)
    assert [type(module) for module in model.modules()] == before
    assert {name: set(vars(module)) for name, module in model.named_modules()} == names


def test_top1_is_in_percent() -> None:
    """Three of four are 75 %."""
    assert Predictions(np.zeros(4, np.int64), np.array([True, True, False, True])).top1 == 75.0


def test_an_empty_split_is_refused(model: torch.nn.Module, split: Split) -> None:
    """There is no accuracy on no images."""
    with pytest.raises(ValueError, match="'split' must hold at least one image"):
        evaluate(model, Split(split.images[:0], split.labels[:0], 10, ""))
