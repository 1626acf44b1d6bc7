"""Audits an ONNX file: counts its weights and the multiply-accumulates of its operators, and times it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgeai_repro.audit.answers import answer_all
from edgeai_repro.audit.latency import Call, time_models
from edgeai_repro.audit.levels import find_levels
from edgeai_repro.audit.schema import Audit, Operators, ReportedAndActual, Row, Weights
from edgeai_repro.audit.warnings import find_warnings
from edgeai_repro.claims.registry import UNCOMPRESSED
from edgeai_repro.edge.runtime import open_session
from edgeai_repro.errors import one_line
from edgeai_repro.evidence import environment
from edgeai_repro.measure.latency.threads import usable_cores
from edgeai_repro.measure.onnx_graph import FP32_BITS, Graph, bits_of
from edgeai_repro.measure.onnx_reader import fix_input_shapes, random_feed, read, refusing, takes_too_much, to_graph
from edgeai_repro.measure.onnx_work import Work, count_work, names


def audit_file(path: Path, *, latency: bool = True, threads: int | None = None) -> Audit:
    """Return the audit of an ONNX file: a single row, because no technique here compresses ONNX files.

    With `latency`, the file is timed in ONNX Runtime with `threads` (None: one per usable core). The reported
    parameters are all values of the initializers; the actual ones leave out shapes, scales and zero points. MACs
    are for one image. The row names the operators that are left out. Raises UserError if the file can't be read or
    is not an ONNX model, and if the package `onnx` isn't installed.
    """
    model = read(path)
    with refusing(path):
        resolution = fix_input_shapes(model.graph)
        graph = to_graph(model)
        weights, work = graph.weights(), count_work(graph)
        size = _total_bytes(path, model.graph)
    threads = threads or usable_cores()
    problems, measured = list(_left_out(work)), None
    if latency:
        try:
            if takes_too_much(graph.values):
                raise ValueError("its values take too much memory")
            measured, _ = time_models(_runner(path, model.graph, threads), {})
        except Exception as error:  # the user's model may raise anything
            problems.append(f"can't be timed: {one_line(error)}")
    row = Row(
        technique=UNCOMPRESSED,
        parameters=ReportedAndActual(
            reported=sum(graph.arrays[tensor.name].size for tensor in model.graph.initializer),
            actual=sum(array.size for array in weights.values()),
        ),
        nonzero_parameters=sum(graph.count_nonzero(name) for name in weights),
        macs=ReportedAndActual(reported=None, actual=work.macs),
        nonzero_macs=work.nonzero_macs,
        activation_macs=work.activation_macs,
        bit_operations=work.bit_operations,
        fp32_macs=work.fp32_macs,
        operators=Operators(count=work.operators),
        bytes=size,
        latency=measured,
        problem="; ".join(problems) or None,
    )
    storage, instructions = describe_weights(graph), environment.int8_instructions()
    return Audit(
        model=path.name,
        source="an ONNX file",
        resolution=resolution,
        shares={},
        rows=[row],
        warnings=find_warnings([row], {}, storage),
        answers=answer_all([row], storage, None, instructions, threads),
        weights=storage,
        int8_instructions=instructions,
        environment=environment.describe().model_copy(update={"threads": threads}),
    )


def describe_weights(graph: Graph) -> Weights:
    """Return how a graph stores its weights."""
    by_bits: Counter[int] = Counter()
    judged = on_few = bits = half = later = 0
    quantized_later = {node.input[0] for node in graph.nodes if node.op_type == "QuantizeLinear"}
    for name, array in graph.weights().items():
        if array.ndim < 2:
            continue
        by_bits[bits_of(array)] += array.size
        later += array.size if name in quantized_later else 0
        if array.dtype.kind == "f":
            levels = find_levels(array)
            judged += levels.judged
            on_few += levels.quantized
            bits = max(bits, levels.bits)
            half += array.size if levels.half and bits_of(array) == FP32_BITS else 0
    return Weights(
        by_bits=dict(sorted(by_bits.items())),
        judged=judged,
        on_few_levels=on_few,
        level_bits=bits,
        half_values=half,
        quantized_later=later,
    )


def _left_out(work: Work) -> Iterator[str]:
    """Yield what the count lacks, in words."""
    reasons = {"has no rule": work.uncounted, "has an unknown shape": work.shapeless}
    texts = [f"{', '.join(names(operators))} {reason}" for reason, operators in reasons.items() if operators]
    if texts:
        yield f"{'; '.join(texts)}; the MACs are a lower bound"


def _total_bytes(path: Path, graph: Any) -> int:
    """Return the size of the file and of the files next to it that hold its tensors."""
    external = {
        entry.value for tensor in graph.initializer for entry in tensor.external_data if entry.key == "location"
    }
    return sum(file.stat().st_size for file in [path, *(path.parent / name for name in sorted(external))])


def _runner(path: Path, graph: Any, threads: int) -> Call:
    """Return a callable that runs the file on a random image (other inputs are zeros); run it once first."""
    session, feed = open_session(path, threads), random_feed(graph)

    def run() -> object:
        return session.run(None, feed)

    run()
    return run
