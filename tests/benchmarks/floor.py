"""The floor: each step of a claims run, done once, without claims, pytest or verdicts.

`python -m tests.benchmarks.floor MODEL …` prints the seconds of each step as JSON. A claims run can't avoid these
steps; all other time is overhead.
"""

from __future__ import annotations

import json
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

SWEPT = ("convnext_tiny", "convnext_small")  # these are pruned at all targets, the others only at the recipe's
TARGETS = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9)
SPARSITIES = tuple(tenths / 10 for tenths in range(1, 10))
seconds: defaultdict[str, float] = defaultdict(float)


@contextmanager
def timed(step: str) -> Iterator[None]:
    """Add the seconds that the block takes to a step."""
    start = time.perf_counter()
    yield
    seconds[step] += time.perf_counter() - start


with timed("import"):
    import thop  # noqa: F401
    import torch  # noqa: F401
    from scipy import stats  # noqa: F401

    from edgeai_repro.compress import quantization, structured, unstructured
    from edgeai_repro.measure import counts, size
    from edgeai_repro.networks import resolve
    from edgeai_repro.networks.references import reference


def main(names: list[str]) -> None:
    """Do each step once for the named models."""
    for name in names:
        with timed("build"):
            model = resolve.build(reference(name), classes=10).model
        if name == "alexnet":
            with timed("count"):
                counts.by_kind(model, 224)
            continue
        measure(model)
        with timed("dynamic_quantization"):
            quantized_model = quantization.quantize(model)
        measure(quantized_model)
        sweep(model, deflate=name == "convnext_tiny")
        pruned = structured.prune(model, TARGETS if name in SWEPT else (0.8,))
        while True:
            with timed("structured_pruning"):
                _, small = next(pruned, (None, None))
            if small is None:
                break
            measure(small)
            with timed("combined"):
                quantized_model = quantization.quantize(small)
            measure(quantized_model)
    print(json.dumps(seconds))


def sweep(model: nn.Module, *, deflate: bool) -> None:
    """Set weights to zero: at all sparsities if bytes are deflated, else at the two that claims count."""
    sparsities = SPARSITIES if deflate else (0.5, 0.9)
    pruned = unstructured.sweep(model, sparsities)
    for _ in sparsities:
        with timed("unstructured_pruning"):
            _, sparse = next(pruned)
        measure(sparse)
        if deflate:
            with timed("deflate"):
                size.deflated_bytes(sparse)


def measure(model: nn.Module) -> None:
    """Count a model and measure its saved size."""
    with timed("count"):
        counts.reported(model)
        counts.actual(model)
    with timed("save"):
        size.state_dict_bytes(model)


if __name__ == "__main__":
    main(sys.argv[1:])
