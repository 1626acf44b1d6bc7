"""Audits an ONNX file: counts its weights and the multiply-accumulates of its operators, and times it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgeai_repro.audit.latency import Call, time_models
from edgeai_repro.audit.onnx_reader import fix_input_shapes, random_feed, read, to_graph
from edgeai_repro.audit.onnx_work import Work, count_work, names
from edgeai_repro.audit.schema import Audit, ReportedAndActual, Row
from edgeai_repro.claims.registry import UNCOMPRESSED
from edgeai_repro.edge.runtime import open_session
from edgeai_repro.errors import one_line
from edgeai_repro.evidence import environment
from edgeai_repro.measure.latency.threads import usable_cores


def audit_file(path: Path, *, latency: bool = True, threads: int | None = None) -> Audit:
    """Return the audit of an ONNX file: a single row, because no technique here compresses ONNX files.

    With `latency`, the file is timed in ONNX Runtime with `threads` (None: one per usable core). The reported
    parameters are all values of the initializers; the actual ones leave out shapes, scales and zero points. MACs
    are for one image. The row names the operators that are left out. Raises UserError if the file can't be read or
    is not an ONNX model, and if the package `onnx` isn't installed.
    """
    model = read(path)
    resolution = fix_input_shapes(model.graph)
    graph = to_graph(model)
    weights, work = graph.weights(), count_work(graph)
    threads = threads or usable_cores()
    problems, measured = list(_left_out(work)), None
    if latency:
        try:
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
        bit_operations=work.bit_operations,
        bytes=_total_bytes(path, model.graph),
        latency=measured,
        problem="; ".join(problems) or None,
    )
    return Audit(
        model=path.name,
        source="an ONNX file",
        resolution=resolution,
        shares={},
        rows=[row],
        warnings=[],
        environment=environment.describe().model_copy(update={"threads": threads}),
    )


def _left_out(work: Work) -> list[str]:
    """Return what the count lacks, in words."""
    reasons = {"have no rule": work.uncounted, "have an unknown shape": work.shapeless}
    return [
        f"{', '.join(names(operators))} {reason}; the MACs are a lower bound"
        for reason, operators in reasons.items()
        if operators
    ]


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
