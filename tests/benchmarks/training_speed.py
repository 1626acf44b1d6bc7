"""`make bench`: compares a training step and an evaluation with plain loops, on the data in EDGEAI_DATA."""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import torch
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from edgeai_repro.data.cifar import Split, data_folder, load_split
from edgeai_repro.data.transforms import MEAN, STD, augment, normalise
from edgeai_repro.errors import MissingRequirement
from edgeai_repro.measure.accuracy import evaluate
from edgeai_repro.networks import convnext
from edgeai_repro.networks.fast_cpu.depthwise import fast_depthwise
from edgeai_repro.training.recipe import Recipe
from edgeai_repro.training.trainer import Trainer

BATCH = 128
TO_TENSOR = [transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
CROP = [transforms.RandomCrop(32, padding=4), transforms.RandomHorizontalFlip()]


class Plain(Dataset[tuple[Tensor, int]]):
    """A split that is read with torchvision: one PIL image after the other, through its transforms."""

    def __init__(self, split: Split, augmented: bool) -> None:
        self.arrays, self.labels = split.images.permute(0, 2, 3, 1).numpy(), split.labels.tolist()
        self.transform = transforms.Compose([*(CROP if augmented else []), *TO_TENSOR])

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """Return an image, float32 (3, 32, 32), and its label."""
        return self.transform(Image.fromarray(self.arrays[index])), self.labels[index]


def main() -> None:
    """Print one table of training and evaluation."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="convnext_tiny", help="the model to train")
    parser.add_argument("--evaluated", default="convnext_small", help="the model to evaluate")
    parser.add_argument("--steps", type=int, default=5, help="steps per block; there are six blocks")
    parser.add_argument("--images", type=int, default=10_000, help="number of images to evaluate")
    options = parser.parse_args()
    try:
        folder = data_folder()
    except MissingRequirement as missing:
        sys.exit(missing.remedy)
    table = Table("", "plain", "ours", "ratio", "remark", title="training and evaluation")
    training(table, folder, options.model, options.steps)
    evaluation(table, folder, options.evaluated, options.images)
    Console(width=None if sys.stdout.isatty() else 110).print(table)


def training(table: Table, folder: Path, name: str, steps: int) -> None:
    """Time steps of the plain loop and of ours, dense and pruned, in blocks in the order A B C C B A."""
    with tempfile.TemporaryDirectory() as out:
        ours = Trainer(Recipe(name, epochs=10), folder, Path(out))
        pruned = Trainer(Recipe(name, epochs=10, structured=0.8), folder, Path(out))
    plain = plain_steps(name, ours.train_split)
    optimizer = Timed(pruned.optimizer.step)
    pruned.optimizer.step = optimizer  # type: ignore[method-assign]
    times: dict[str, list[float]] = {"plain": [], "ours": [], "pruned": []}
    with fast_depthwise(ours.model), fast_depthwise(pruned.model):
        steppers = {"plain": lambda: next(plain), "ours": ours.step, "pruned": pruned.step}
        for block in ("plain", "ours", "pruned", "pruned", "ours", "plain"):
            steppers[block]()
            times[block] += [seconds(steppers[block]) for _ in range(steps)]
    plain_step, our_step, pruned_step = (median(times[block]) for block in ("plain", "ours", "pruned"))
    row(table, f"step of {name}, batch {BATCH}", plain_step, our_step, "ms", ours.precision)
    row(
        table,
        "the same while OTOv3 prunes",
        plain_step,
        pruned_step,
        "ms",
        f"HESSO {median(optimizer.seconds):.3f} s",
    )
    chosen = torch.arange(BATCH)
    generator = torch.Generator().manual_seed(0)
    split = ours.train_split
    crop = median(seconds(lambda: normalise(augment(split.images[chosen], generator))) for _ in range(20))
    table.add_row("augmentation", "", f"{crop * 1e3:.2f} ms", f"{100 * crop / our_step:.2f} %", "of a step")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    table.add_row("peak memory", "", f"{peak:.1f} GB", "", "three models, 50,000 images, and torch")


def plain_steps(name: str, split: Split) -> Iterator[None]:
    """Yield after each step of a simple training loop: fp32, NCHW, AdamW, a DataLoader over PIL images."""
    model = convnext.build(name).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for images, labels in DataLoader(Plain(split, augmented=True), BATCH, shuffle=True):
        loss = nn.functional.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield


def evaluation(table: Table, folder: Path, name: str, count: int) -> None:
    """Time the evaluation of `count` test images, and count the predictions that differ."""
    whole = load_split(folder, "test")
    split = Split(whole.images[:count], whole.labels[:count], whole.classes, "")
    model = spread(convnext.build(name))
    ours = convnext.build(name, seed=None)
    ours.load_state_dict(model.state_dict())
    ours.to(memory_format=torch.channels_last)
    predictions: list[Tensor] = []

    def plain() -> None:
        with torch.no_grad():
            loader = DataLoader(Plain(split, augmented=False), BATCH)
            predictions[:] = [torch.cat([model(images).argmax(1) for images, _ in loader])]

    evaluate(ours, Split(split.images[:BATCH], split.labels[:BATCH], 10, ""))
    plain_seconds = seconds(plain)
    start = time.perf_counter()
    predicted = evaluate(ours, split)
    our_seconds = time.perf_counter() - start
    differing = int((predictions[0].numpy() != predicted.classes).sum())
    classes = len(predictions[0].unique())
    row(
        table,
        f"{count:,} images, {name}",
        plain_seconds,
        our_seconds,
        "s",
        f"{differing} predictions differ, {classes} classes predicted",
    )


def spread(model: nn.Module) -> nn.Module:
    """Return `model` with layer scales so large that every block counts and predictions depend on the image."""
    for parameter_name, parameter in model.named_parameters():
        if parameter_name.endswith("layer_scale"):
            nn.init.constant_(parameter, 0.5)
    return model


class Timed:
    """A function that keeps the seconds of each of its calls."""

    def __init__(self, function: Callable[[], object]) -> None:
        self.function, self.seconds = function, list[float]()

    def __call__(self) -> object:
        """Call the function and return its result."""
        start = time.perf_counter()
        result = self.function()
        self.seconds.append(time.perf_counter() - start)
        return result


def seconds(function: Callable[[], object]) -> float:
    """Return the seconds of one call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def row(table: Table, name: str, plain: float, ours: float, unit: str, remark: str) -> None:
    """Add a row in milliseconds or seconds to the table."""
    factor = 1e3 if unit == "ms" else 1
    table.add_row(
        name, f"{plain * factor:.1f} {unit}", f"{ours * factor:.1f} {unit}", f"{plain / ours:.2f} ×", remark
    )


if __name__ == "__main__":
    main()
