"""`make bench`: a training step of the CIFAR networks next to plain channels-last loops, in fp32 and in bf16."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from rich.console import Console
from rich.table import Table
from torch.nn import functional

from edgeai_repro.claims.recipe_files import read_recipe
from edgeai_repro.data.cifar import Split, data_folder, load_split
from edgeai_repro.data.transforms import augment, normalise
from edgeai_repro.networks import cifar
from edgeai_repro.networks.fast_cpu.small_maps import fast_small_maps
from edgeai_repro.training.recipe import Recipe
from edgeai_repro.training.trainer import Trainer

RECIPE = "li2017-train"


def main() -> None:
    """Print a table of seconds per epoch, from blocks that take turns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", nargs="+", default=["resnet56", "vgg16_cifar"])
    parser.add_argument("--steps", type=int, default=3, help="of each loop, after one to warm up")
    given = parser.parse_args()
    table = Table("network", "ours, s per epoch", "plain fp32", "ratio", "plain bf16", "ratio")
    for name in given.networks:
        with tempfile.TemporaryDirectory() as out:
            trainer = Trainer(Recipe(name, **read_recipe(RECIPE)), data_folder(), Path(out))
        split = load_split(data_folder(), "train")

        def ours(trainer: Trainer = trainer) -> None:
            with fast_small_maps(trainer.model):
                trainer.step()

        times = interleaved(
            {"ours": ours, "fp32": plain(name, split, bf16=False), "bf16": plain(name, split, bf16=True)},
            given.steps,
        )
        epoch = {loop: median(seconds) * trainer.epoch_steps for loop, seconds in times.items()}
        ratios = {loop: f"{epoch[loop] / epoch['ours']:.2f} ×" for loop in ("fp32", "bf16")}
        precision = f"{epoch['ours']:.0f} ({trainer.precision})"
        table.add_row(
            name, precision, f"{epoch['fp32']:.0f}", ratios["fp32"], f"{epoch['bf16']:.0f}", ratios["bf16"]
        )
    Console().print(table)


def plain(name: str, split: Split, *, bf16: bool) -> Callable[[], None]:
    """Return a step of the loop that one would write first: channels last, SGD, the same recipe."""
    recipe = read_recipe(RECIPE)
    model = cifar.build(name).train().to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(
        model.parameters(), lr=recipe["lr"], momentum=recipe["momentum"], weight_decay=recipe["weight_decay"]
    )
    generator = torch.Generator().manual_seed(0)

    def step() -> None:
        chosen = torch.randint(len(split), (recipe["batch_size"],), generator=generator)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            logits = model(normalise(augment(split.images[chosen], generator)))
        functional.cross_entropy(logits.float(), split.labels[chosen]).backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def interleaved(loops: dict[str, Callable[[], None]], steps: int) -> dict[str, list[float]]:
    """Return the seconds of each loop's steps, taken in turn after one step each to warm up."""
    seconds: dict[str, list[float]] = {loop: [] for loop in loops}
    for turn in range(steps + 1):
        for loop, step in loops.items():
            start = time.perf_counter()
            step()
            if turn:
                seconds[loop].append(time.perf_counter() - start)
    return seconds


if __name__ == "__main__":
    main()
