"""Exports networks to ONNX and counts the files, by our rules and by onnx-tool, and the networks by torch."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from edgeai_repro.errors import one_line
from edgeai_repro.measure.onnx_reader import fix_input_shapes, read, to_graph
from edgeai_repro.measure.onnx_rules import rule_of
from edgeai_repro.measure.onnx_work import count_work, names
from edgeai_repro.networks.references import reference
from edgeai_repro.networks.resolve import build

CLASSES, SIDE = 1000, 64
# Twenty networks of as many families, and the side of the image if a network takes no other than its own.
NETWORKS = {
    "squeezenet1_1": SIDE,
    "resnet18": SIDE,
    "mobilenet_v2": SIDE,
    "mobilenet_v3_small": SIDE,
    "mnasnet0_5": SIDE,
    "shufflenet_v2_x0_5": SIDE,
    "efficientnet_b0": SIDE,
    "densenet121": SIDE,
    "googlenet": SIDE,
    "regnet_y_400mf": SIDE,
    "convnext_atto": SIDE,
    "swin_t": SIDE,
    "timm:vit_tiny_patch16_224": 224,
    "timm:mixer_s32_224": 224,
    "timm:levit_128s": 224,
    "timm:pvt_v2_b0": SIDE,
    "timm:ghostnet_050": SIDE,
    "timm:repvgg_a0": SIDE,
    "timm:edgenext_xx_small": SIDE,
    "timm:poolformer_s12": SIDE,
}


@dataclass(frozen=True)
class Counted:
    """MACs of one network: torch's count of it, and of its file our count and onnx-tool's.

    `missing` are the operators that our count leaves out. `tool` is onnx-tool's sum over all operators, `products`
    its sum over those that multiply and accumulate; `problem` is why it gives none.
    """

    name: str
    torch: int
    ours: int
    missing: str
    tool: int | None
    products: int | None
    problem: str = ""


def counted(name: str, folder: Path, convert: Callable[[Path], Path] = lambda path: path) -> Counted:
    """Return the counts of a network of `NETWORKS`; its file is written to a folder, and perhaps converted."""
    side = NETWORKS[name]
    with torch.device("cpu"):
        model = build(reference(name), classes=CLASSES, resolution=side).model
    image = torch.zeros(1, 3, side, side)
    with FlopCounterMode(display=False) as mode:
        model(image)
    path = convert(exported(model, image, folder / "network.onnx"))
    proto = read(path)
    fix_input_shapes(proto.graph)
    work = count_work(to_graph(proto))
    tool = by_onnx_tool(path)
    return Counted(
        name,
        mode.get_total_flops() // 2,
        work.macs,
        ", ".join(names(work.uncounted + work.shapeless)),
        *(tool if isinstance(tool, tuple) else (None, None, tool)),
    )


def exported(model: nn.Module, image: torch.Tensor, path: Path) -> Path:
    """Write a network to an ONNX file by torch's tracing exporter, which takes a fifth of the other one's time."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(model.requires_grad_(False), (image,), path, dynamo=False, opset_version=17)
    return path


def by_onnx_tool(path: Path) -> tuple[int, int] | str:
    """Return onnx-tool's MACs of all operators and of those that multiply and accumulate, or why it fails."""
    import onnx_tool

    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            graph = onnx_tool.Model(str(path)).graph
            graph.graph_reorder_nodes()
            graph.shape_infer()
            graph.profile()
    except Exception as error:  # NotImplementedError for an operator that it does not know, and others
        return one_line(error)
    empty = rule_of("", "Relu")
    products = [
        node for node in graph.nodemap.values() if rule_of(node.proto.domain, node.op_type) not in (None, empty)
    ]
    return round(graph.macs[0]), round(sum(node.macs[0] for node in products))
