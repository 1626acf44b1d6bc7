"""Evaluation gives the same predictions as a plain loop over the images."""

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
    """70 images of noise; 70 is no multiple of any batch size used here."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (70, 3, 32, 32), dtype=torch.uint8, generator=generator)
    return Split(images, torch.randint(10, (70,), generator=generator), 10, "")


@pytest.fixture(scope="module")
def model() -> torch.nn.Module:
    """A small ConvNeXt whose predictions differ from image to image."""
    built = convnext.build("convnext_atto", stem_stride=2, seed=3)
    for name, parameter in built.named_parameters():
        if name.endswith("layer_scale"):
            torch.nn.init.constant_(parameter, 0.5)
        elif name.endswith("weight") and parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.1, generator=torch.Generator().manual_seed(len(name)))
    return built


def predict_one_by_one(model: torch.nn.Module, split: Split) -> list[int]:
    """Return the predictions, computed for one image at a time."""
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
    with torch.no_grad():
        return [int(model((image[None] / 255 - mean) / std).argmax()) for image in split.images]


@pytest.mark.parametrize("int8", [False, True], ids=["fp32", "int8"])
def test_predictions_equal_those_of_a_plain_loop(model: torch.nn.Module, split: Split, int8: bool) -> None:
    """In fp32 all are equal. Dynamic int8 scales each batch by its own range, so a few may differ."""
    network = quantize(model) if int8 else model
    expected = np.array(predict_one_by_one(network, split))

    actual = evaluate(network, split, batch_size=32)

    assert len(set(expected.tolist())) > 3, "a model that predicts one class only would prove nothing"
    assert int((actual.classes != expected).sum()) <= (7 if int8 else 0)
    assert np.array_equal(actual.correct, actual.classes == split.labels.numpy())


def test_predictions_are_in_the_order_of_the_images(model: torch.nn.Module, split: Split) -> None:
    """Reversed images give reversed predictions."""
    backwards = Split(split.images.flip(0), split.labels.flip(0), 10, "")

    assert np.array_equal(evaluate(model, split).correct, evaluate(model, backwards).correct[::-1])


def test_a_wrong_label_is_counted_at_its_place(model: torch.nn.Module, split: Split) -> None:
    """With the predictions as labels all are correct; one changed label makes one wrong."""
    labels = torch.from_numpy(evaluate(model, split).classes).clone()
    assert evaluate(model, Split(split.images, labels, 10, "")).top1 == 100

    labels[41] = (labels[41] + 1) % 10
    actual = evaluate(model, Split(split.images, labels, 10, ""))

    assert np.flatnonzero(~actual.correct).tolist() == [41]
    assert actual.successes == 69


def test_images_are_resized_to_the_resolution(model: torch.nn.Module, split: Split) -> None:
    """At 64 pixels there is still one prediction per image."""
    assert evaluate(model, split, resolution=64).classes.shape == (70,)


@pytest.mark.parametrize("training", [False, True])
def test_the_mode_is_restored(model: torch.nn.Module, split: Split, training: bool) -> None:
    """Both train mode and eval mode."""
    model.train(training)

    evaluate(model, split)

    assert model.training is training
    model.eval()


def test_packed_layers_compute_the_same_as_torch(model: torch.nn.Module) -> None:
    """Up to rounding; the model is restored after the block."""
    images = convnext.random_images(3)
    names = {name: set(vars(module)) for name, module in model.named_modules()}

    with torch.inference_mode():
        expected = model(images)
        with packed_linear(model, 3):
            assert {name: set(vars(module)) for name, module in model.named_modules()} != names
            actual = model(images)

    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)
    assert {name: set(vars(module)) for name, module in model.named_modules()} == names


def test_top1_is_in_percent() -> None:
    """Three correct of four."""
    assert Predictions(np.zeros(4, np.int64), np.array([True, True, False, True])).top1 == 75.0


def test_an_empty_split_is_refused(model: torch.nn.Module, split: Split) -> None:
    """Raises ValueError."""
    with pytest.raises(ValueError, match="'split' must have at least one image"):
        evaluate(model, Split(split.images[:0], split.labels[:0], 10, ""))
