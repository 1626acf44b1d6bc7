"""Readers of weights: safetensors files, saved models, checkpoints, and ONNX files."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st
from safetensors.torch import save

from edgeai_repro.audit.onnx_file import audit_file
from edgeai_repro.compress import saved_models
from edgeai_repro.edge.manifest import InputSpec
from edgeai_repro.edge.runtime import Network
from edgeai_repro.networks import convnext
from edgeai_repro.training.checkpoint import load_checkpoint
from edgeai_repro.training.initial_weights import read_weights, start
from edgeai_repro.training.recipe import Recipe
from tests.fuzz.inputs import ODD_INTEGERS, as_json, damaged, edited
from tests.fuzz.onnx_models import onnx_models
from tests.fuzz.reader import Reader

RECIPE = Recipe("resnet20", epochs=1, stem_stride=2)
TENSORS = {"a": torch.zeros(2, 3), "b": torch.zeros(4, dtype=torch.int8)}


@st.composite
def tensor_files(draw: st.DrawFn, tensors: dict[str, torch.Tensor]) -> bytes:
    """Draw a safetensors file whose header may lie."""
    valid = save(tensors)
    size = struct.unpack("<Q", valid[:8])[0]
    match draw(st.integers(0, 2)):
        case 0:
            return draw(damaged([valid]))
        case 1:
            header = as_json(draw(edited([json.loads(valid[8 : 8 + size])])))
            return struct.pack("<Q", len(header)) + header + valid[8 + size :]
    header_of = json.loads(valid[8 : 8 + size])
    name = draw(st.sampled_from([one for one in header_of if one != "__metadata__"]))
    changes: dict[str, Any] = {
        "dtype": draw(
            st.sampled_from(["F64", "F16", "BF16", "I64", "BOOL", "F8_E4M3", "F4", "C64", "U16", "X", "F32"])
        ),
        "shape": draw(st.lists(st.sampled_from([0, 1, 2, 3, 6, 2**31, 2**40, 2**62, 2**63 - 1]), max_size=4)),
    }
    changed = draw(st.sampled_from(["dtype", "shape"]))
    header_of[name] = {**header_of[name], changed: changes[changed]}
    header = as_json(header_of)
    size = draw(st.sampled_from([len(header)] * 3 + ODD_INTEGERS)) & (2**64 - 1)
    return struct.pack("<Q", size) + header + valid[8 + size :]


def read_tensors(content: bytes, folder: Path) -> None:
    """Read weights without a record."""
    (folder / "weights.safetensors").write_bytes(content)
    read_weights(folder / "weights.safetensors")


def _resnet20() -> dict[str, torch.Tensor]:
    return {name: tensor.contiguous() for name, tensor in start(RECIPE, 10).model.state_dict().items()}


def read_initial_weights(content: bytes, folder: Path) -> None:
    """Start a training run with these weights."""
    (folder / "weights.safetensors").write_bytes(content)
    start(Recipe("resnet20", epochs=1, stem_stride=2, init=str(folder / "weights.safetensors")), 10)


DESCRIPTION = {
    **{
        "schema_version": 2,
        "model": "convnext_atto",
        "technique": "structured_pruning",
        "settings": {"target": 0.5},
    },
    **{"resolution": 32, "num_classes": 10, "stem_stride": 4, "hidden_widths": [8] * 12, "engine": None},
    **{"weights_sha256": "", "versions": {}},
}


def saved_model_files() -> st.SearchStrategy[bytes]:
    """Return a description and weights of a saved model, one after the other: either may be odd."""
    network = convnext.build("convnext_atto", hidden_widths=[8] * 12, seed=None)
    state = {name: parameter.detach() for name, parameter in network.named_parameters()}
    int8 = {
        **{name: tensor for name, tensor in state.items() if name != "classifier.2.weight"},
        "classifier.2.weight": state["classifier.2.weight"].to(torch.int8),
        "classifier.2.scale": torch.ones(10),
        "classifier.2.zero_point": torch.zeros(10, dtype=torch.int64),
    }
    small = {name: tensor for name, tensor in int8.items() if "features" not in name}
    descriptions = edited([DESCRIPTION]) | st.just(DESCRIPTION)
    weights = tensor_files(state) | tensor_files(int8) | tensor_files(small) | st.just(save(state))
    return st.builds(lambda document, tensors: as_json(document) + b"\n" + tensors, descriptions, weights)


def read_saved_model(content: bytes, folder: Path) -> None:
    """Load a saved model; its description names the sha256 of its weights."""
    description, _, weights = content.partition(b"\n")
    digest = hashlib.sha256(weights).hexdigest().encode()
    description = description.replace(b'"weights_sha256": ""', b'"weights_sha256": "' + digest + b'"')
    (folder / saved_models.DESCRIPTION).write_bytes(description)
    (folder / saved_models.WEIGHTS).write_bytes(weights)
    saved_models.load(folder)


def checkpoints() -> st.SearchStrategy[bytes]:
    """Return checkpoints: damaged, with other types, and pickles of other classes."""
    model = {"a": torch.zeros(2)}
    whole = {"identity": {"a": 1}, "model": model, "optimizer": {}, "done": 1, "curve": [], "seconds": 1.0}
    whole |= {"loss": 0.0, "correct": 0}
    odd = [
        whole,
        {},
        [],
        1,
        None,
        {"identity": None},
        {"identity": {"a": 1}},
        {**whole, "done": "x"},
        torch.zeros(3),
    ]
    odd += [{**whole, key: value} for key in whole for value in (None, "x" * 400, [], {"a": "red \x1b[31m"})]
    stored = []
    for entry in odd:
        buffer = io.BytesIO()
        torch.save(entry, buffer)
        stored.append(buffer.getvalue())
    return (
        st.sampled_from(stored)
        | damaged(stored[:4])
        | damaged([pickle.dumps(Path("a")), b"PK\x03\x04", b"PK\x05\x06" + b"\0" * 18])
    )


def read_checkpoint(content: bytes, folder: Path) -> None:
    """Load the checkpoint of a run."""
    (folder / "checkpoint.pt").write_bytes(content)
    load_checkpoint(folder / "checkpoint.pt", {"a": 1})


def read_onnx(content: bytes, folder: Path) -> None:
    """Audit an ONNX file without timing it."""
    (folder / "net.onnx").write_bytes(content)
    audit_file(folder / "net.onnx", latency=False, threads=1)


def run_onnx(content: bytes, folder: Path) -> None:
    """Load an ONNX file as a model of a bundle, and run it."""
    (folder / "net.onnx").write_bytes(content)
    spec = InputSpec(name="image", shape=(1, 3, 8, 8), mean=(0.5,) * 3, std=(0.2,) * 3)
    network = Network(folder / "net.onnx", spec, threads=1)
    network(network.prepared(np.zeros((1, 3, 8, 8), np.uint8)))


WEIGHT_READERS = [
    Reader("safetensors", read_tensors, lambda: tensor_files(TENSORS)),
    Reader("initial weights", read_initial_weights, lambda: tensor_files(_resnet20()), slow=True),
    Reader("saved models", read_saved_model, saved_model_files, slow=True),
    Reader("checkpoints", read_checkpoint, checkpoints),
    Reader("ONNX", read_onnx, lambda: damaged(onnx_models())),
    Reader("ONNX in a runtime", run_onnx, lambda: damaged(onnx_models())),
]
