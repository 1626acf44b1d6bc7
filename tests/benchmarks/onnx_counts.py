"""Counts of twenty exported networks, by our rules, by onnx-tool and by torch, and `docs/onnx-counts.md`.

Run it with `python -m tests.benchmarks.onnx_counts`, with the extra `bench`.
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

from tqdm import tqdm

from edgeai_repro.files import write_text
from tests.support.onnx_counts import NETWORKS, Counted, counted

PAGE = Path(__file__).parents[2] / "docs" / "onnx-counts.md"
INTRODUCTION = """\
# Counts of ONNX files

Written by `python -m tests.benchmarks.onnx_counts`, with {versions}.

Twenty networks are exported and counted: the network by torch's `FlopCounterMode`, halved; its file by the rules of
the audit, `measure/onnx_rules.py`, and by onnx-tool. onnx-tool counts every operator: an addition is one MAC, a
division four, an exponential 32, and biases count. The column "of products" has only its convolutions and matrix
products. Two networks are counted again after ONNX Runtime has converted them: to int8, and to its own operators.
"""
CONCLUSION = """\
## Could onnx-tool replace our rules?

{answer} It knows neither the bits of operands nor which of them is a weight, which the audit needs. Its sum over
all operators is {least:.2f} to {most:.2f} times the products.
"""


def main() -> int:
    """Count all networks and write the page; return 1 if a count of ours is not torch's."""
    rows: list[tuple[str, Counted]] = []
    for name, kind, convert in tqdm(list(_files())):
        with tempfile.TemporaryDirectory() as folder:
            rows.append((kind, counted(name, Path(folder), convert)))
    write_text(PAGE, page(rows))
    return int(any(one.ours != one.torch for _, one in rows))


def page(rows: Sequence[tuple[str, Counted]]) -> str:
    """Return the page."""
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "onnx", "onnxruntime", "onnx-tool"))
    judged = [one for _, one in rows if one.tool is not None and one.torch]
    ratios = [one.tool / one.torch for one in judged if one.tool]
    lines = [
        INTRODUCTION.format(versions=versions),
        "| network | file | torch | audit | onnx-tool, all | of products |",
        "|:--|:--|--:|--:|--:|--:|",
        *(
            f"| {one.name} | {kind} | {one.torch:,} | {_compared(one.ours, one.torch)}{_noted(one.missing)} "
            f"| {_compared(one.tool, one.torch)} | {_compared(one.products, one.torch)}{_noted(one.problem)} |"
            for kind, one in rows
        ),
        "",
        CONCLUSION.format(answer=_answer(rows), least=min(ratios), most=max(ratios)),
    ]
    return "\n".join(lines)


def _answer(rows: Sequence[tuple[str, Counted]]) -> str:
    equal = sum(one.products == one.torch for _, one in rows)
    failed = sum(one.tool is None for _, one in rows)
    ours = sum(one.ours == one.torch for _, one in rows)
    return (
        f"No. Of {len(rows)} files, our rules count the products of {ours} as torch does, onnx-tool those of "
        f"{equal}; of {len(rows) - equal - failed} it counts others, and it fails on {failed}."
    )


def _compared(macs: int | None, right: int) -> str:
    if macs is None:
        return "–"
    return "equal" if macs == right else f"{macs:,} ({macs / right:.3f} ×)"


def _noted(text: str) -> str:
    return f"; {text}".replace("|", "\\|") if text else ""


def _files() -> Iterator[tuple[str, str, Callable[[Path], Path]]]:
    yield from ((name, "exported", lambda path: path) for name in NETWORKS)
    for name in ("resnet18", "timm:vit_tiny_patch16_224"):
        yield name, "dynamic int8", to_int8
        yield name, "optimized by ONNX Runtime", optimized


def to_int8(path: Path) -> Path:
    """Quantize a file dynamically by ONNX Runtime."""
    from onnxruntime.quantization import quantize_dynamic

    converted = path.with_name("int8.onnx")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quantize_dynamic(path, converted)
    return converted


def optimized(path: Path) -> Path:
    """Write the graph that ONNX Runtime's extended optimizations make of a file, with operators of its own."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(path.with_name("optimized.onnx"))
    options.log_severity_level = 3
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return path.with_name("optimized.onnx")


if __name__ == "__main__":
    sys.exit(main())
