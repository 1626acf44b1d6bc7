"""Readers of bytes: arrays, images, weights, checkpoints, ONNX files, and Python files; and of odd paths."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import struct
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import onnx
import torch
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from safetensors.torch import save

from edgeai_repro.audit.onnx_file import audit_file
from edgeai_repro.claims.load import read_claims
from edgeai_repro.claims.user_code import register_conftests
from edgeai_repro.compress import saved_models
from edgeai_repro.data import cifar
from edgeai_repro.edge import bundle
from edgeai_repro.edge.runtime import Network, read_image
from edgeai_repro.errors import UserError
from edgeai_repro.evidence import store
from edgeai_repro.files import read_json, read_verified, read_yaml
from edgeai_repro.networks.references import reference, unknown
from edgeai_repro.networks.user_code import import_file
from edgeai_repro.training.checkpoint import load_checkpoint
from edgeai_repro.training.initial_weights import read_weights, start
from edgeai_repro.training.recipe import Recipe
from tests.fuzz.inputs import ODD_INTEGERS, as_json, damaged, edited
from tests.fuzz.reader import Reader

GRID = 2  # a mosaic of 2 × 2 images, so that an input takes a millisecond
SHA256 = hashlib.sha256


def _array_file(array: Any) -> bytes:
    stored = io.BytesIO()
    np.save(stored, array, allow_pickle=True)
    return stored.getvalue()


@st.composite
def array_files(draw: st.DrawFn) -> bytes:
    """Draw an .npy file whose header may promise another type or shape than follows."""
    if draw(st.booleans()):
        return draw(damaged([_array_file(probe) for probe in (np.zeros((1, 3, 32, 32), np.uint8), np.array([{}]))]))
    shape = draw(st.lists(st.sampled_from([*ODD_INTEGERS, 3, 32, "'a'", None, -1]), max_size=5))
    descr = draw(st.sampled_from(["|u1", "<f4", "|O", "<U9", "|V4", "x", "<m8", [("a", "|u1")], "|u1" * 50]))
    header = (
        f"{{'descr': {descr!r}, 'fortran_order': {draw(st.booleans())}, 'shape': ({', '.join(map(str, shape))},)}}"
    )
    header = draw(st.sampled_from([header, "(" * 100, "1" * 9000, "{}", "__import__('os')", "[" * 900 + "]" * 900]))
    data = header.encode("latin-1") + b"\n"
    version = draw(st.sampled_from([(1, 0), (2, 0), (3, 0), (9, 9)]))
    size = struct.pack("<H" if version == (1, 0) else "<I", draw(st.sampled_from([len(data), 2**16 - 1, 1])))
    return b"\x93NUMPY" + bytes(version) + size + data + draw(st.binary(max_size=64))


def _manifest(**files: bytes) -> dict[str, Any]:
    entries = {
        name: {"sha256": SHA256(content).hexdigest(), "bytes": len(content)} for name, content in files.items()
    }
    model = {
        **{"file": "net.onnx", "weights": "net.bin", "technique": "none", "settings": {}, "hidden_widths": [8]},
        "origin": {"sha256": None, "recipe": None},
        "counts": {"parameters": 1, "macs": 1, "bit_operations": 1},
        **{"error": 0.0, "expected": [[1.0, 2.0]]},
    }
    return {
        **{"schema_version": 3, "model": "convnext_atto", "num_classes": 10, "stem_stride": 4},
        "input": {"name": "image", "shape": [1, 3, 32, 32], "mean": [0.5, 0.5, 0.5], "std": [0.2, 0.2, 0.2]},
        **{"models": {"fp32": model}, "files": entries, "data_sha256": None, "versions": {}},
    }


BUNDLE = {"net.onnx": b"onnx", "net.bin": b"bin", "probes.npy": _array_file(np.zeros((1, 3, 32, 32), np.uint8))}


def read_manifest(content: bytes, folder: Path) -> None:
    """Load a bundle with this manifest, and its probes."""
    for name, other in BUNDLE.items():
        (folder / name).write_bytes(other)
    (folder / bundle.MANIFEST).write_bytes(content)
    loaded = bundle.load(folder)
    loaded.probes()
    loaded.model("fp32"), loaded.size("fp32"), loaded.check("fp32")


def read_probes(content: bytes, folder: Path) -> None:
    """Load a bundle whose manifest lists these probes."""
    listed = {**BUNDLE, "probes.npy": content}
    for name, other in listed.items():
        (folder / name).write_bytes(other)
    (folder / bundle.MANIFEST).write_bytes(as_json(_manifest(**listed)))
    bundle.load(folder).probes()


@contextmanager
def small_mosaics() -> Iterator[None]:
    """Let a mosaic have 2 × 2 images, and the test split one mosaic."""
    small = mock.patch.multiple(cifar, GRID=GRID, PER_MOSAIC=GRID * GRID)
    with small, mock.patch.dict(cifar.CIFAR10.sizes, {"test": GRID * GRID}):
        yield


def _image_file(form: str, side: int = GRID * 32, **options: Any) -> bytes:
    stored = io.BytesIO()
    Image.fromarray(np.arange(side * side * 3, dtype=np.uint8).reshape(side, side, 3)).save(stored, form, **options)
    return stored.getvalue()


MOSAIC = _image_file("WEBP", lossless=True)
LABELS = np.array([0, 1, 2, 3], np.uint8)


def _label_file(**members: bytes) -> bytes:
    stored = io.BytesIO()
    with zipfile.ZipFile(stored, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("_npy", ".npy"), content)
    return stored.getvalue()


def label_files() -> st.SearchStrategy[bytes]:
    """Return .npz files: damaged ones, ones whose arrays lie, and ones with 16 MB of zeros in few bytes."""
    valid = _label_file(test_npy=_array_file(LABELS), train_npy=_array_file(LABELS))
    lying = array_files().map(lambda array: _label_file(test_npy=array))
    bomb = _label_file(test_npy=_array_file(np.zeros(2**24, np.uint8)))
    return damaged([valid, valid, bomb]) | lying | array_files()


def read_labels(content: bytes, folder: Path) -> None:
    """Load the packed test split with these labels."""
    files = {"test.webp": MOSAIC, cifar.LABELS: content}
    packed = folder / "cifar10"
    packed.mkdir()
    for name, other in files.items():
        (packed / name).write_bytes(other)
    listed = {name: {"sha256": SHA256(other).hexdigest(), "bytes": len(other)} for name, other in files.items()}
    (packed / cifar.MANIFEST).write_bytes(as_json(listed))
    with small_mosaics():
        cifar.load_arrays(folder, "test")


def read_mosaic(content: bytes, folder: Path) -> None:
    """Unpack a mosaic of images."""
    with small_mosaics():
        cifar.unpack_mosaic(content, folder / "test.webp")


def read_photo(content: bytes, folder: Path) -> None:
    """Read an image to classify."""
    (folder / "a.png").write_bytes(content)
    read_image(folder / "a.png")


def images() -> st.SearchStrategy[bytes]:
    """Return images of many forms, damaged, and with sizes that are not theirs."""
    forms = ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "ICO", "PPM", "TGA", "SGI", "PCX", "DDS", "IM", "MSP"]
    seeds = [_image_file(form, 16) for form in forms if form != "MSP"]
    png = seeds[0]
    huge = st.builds(
        lambda w, h: png[:16] + struct.pack(">II", w & 0xFFFFFFFF, h & 0xFFFFFFFF) + png[24:],
        st.sampled_from(ODD_INTEGERS),
        st.sampled_from(ODD_INTEGERS),
    )
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99999 99999\n%%EndComments\n"
    return damaged([*seeds, eps]) | huge


def mosaics() -> st.SearchStrategy[bytes]:
    """Return WebP files, damaged, and with sizes that are not theirs."""
    lossy = _image_file("WEBP", quality=50)
    return damaged([MOSAIC, lossy, _image_file("PNG"), _image_file("WEBP", 16)])


def batch_files() -> st.SearchStrategy[bytes]:
    """Return pickles: damaged batches, batches with odd values, and pickles of other classes."""
    data = np.zeros((4, 3072), np.uint8)
    batch = {b"data": data, b"labels": [0, 1, 2, 3]}
    odd = [
        *(
            {**batch, b"labels": labels}
            for labels in ([300], ["a"], None, [[]], [1e9], [-1, 0, 1, 2], list(range(9)))
        ),
        *(
            {**batch, b"data": other}
            for other in (None, data[:, :7], data.astype("f8"), [[1]], np.zeros((0, 3072)), {})
        ),
        *({}, [], None, Path("a"), SHA256, {b"data": data}, print, OverflowError("a")),
    ]
    pickles = [
        pickle.dumps(entry, protocol) for entry in [batch, *odd] if entry is not SHA256 for protocol in (2, 4)
    ]
    hostile = [
        b"cos\nsystem\n(S'true'\ntR.",
        b"\x80\x04\x95" + b"\xff" * 8,
        b"(" * 5000 + b".",
        b"]" + b"]a" * 5000 + b".",
        b"r\xff\xff\xff\x7f.",
        b"\x80\x04\x8e" + b"\xff" * 7 + b"\x7f.",
        b"\x80\x63.",
        b"}(" + b"K\x01" * 3 + b"u.",
    ]
    return damaged([*pickles, *hostile]) | st.sampled_from([*pickles, *hostile])


def read_batch(content: bytes, folder: Path) -> None:
    """Read batches whose md5 is the published one, as far as this test goes."""
    (folder / "test_batch").write_bytes(content)
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    with mock.patch.dict(cifar.BATCHES, {"test": {"test_batch": md5}}):
        cifar.load_arrays(folder, "test")


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
    from edgeai_repro.networks import convnext

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
    digest = SHA256(weights).hexdigest().encode()
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


def _graph(nodes: list[Any], arrays: dict[str, Any], sides: list[Any] | None = None, **options: Any) -> bytes:
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, sides or ["n", 3, 8, 8])],
        [helper.make_tensor_value_info("answer", TensorProto.FLOAT, None)] if options.pop("outputs", True) else [],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    options = {
        "opset_imports": [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)],
        "ir_version": 9,
    } | options
    return helper.make_model(graph, **options).SerializeToString()


def onnx_models() -> list[bytes]:
    """Return small ONNX files: valid ones, and ones that lie in a way that bytes hardly come upon."""
    filters, dense = np.ones((4, 3, 3, 3), np.float32), np.ones((4, 4), np.float32)
    node = helper.make_node
    usual = [
        node("Conv", ["image", "filters"], ["maps"]),
        node("GlobalAveragePool", ["maps"], ["pooled"]),
        node("Reshape", ["pooled", "shape"], ["row"]),
        node("Gemm", ["row", "dense"], ["answer"], transB=1),
    ]
    arrays = {"filters": filters, "dense": dense, "shape": np.array([1, 4])}
    opset = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    calling = [
        helper.make_function("own", name, ["x"], ["y"], [node(other, ["x"], ["y"], domain="own")], opset)
        for name, other in (("A", "B"), ("B", "A"))
    ]
    quantized = [
        node("DequantizeLinear", ["q", "scale", "zero"], ["filters"], axis=0),
        node("Conv", ["image", "filters"], ["answer"]),
    ]
    q = {"q": np.ones((4, 3, 3, 3), np.int8), "scale": np.ones(4, np.float32), "zero": np.zeros(4, np.int8)}
    lying = onnx.ModelProto.FromString(_graph(usual, arrays))
    for index, dims in enumerate(([2**20, 2**20], [-1, 4], [2**62, 4])):
        lying.graph.initializer[index].dims[:] = dims
    external = onnx.ModelProto.FromString(_graph(usual, arrays))
    tensor = external.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", "../../../etc/passwd"), ("offset", "99999999"), ("length", "x")):
        tensor.external_data.add(key=key, value=value)
    models = [
        _graph(usual, arrays),
        _graph(quantized, q),
        _graph([node("Mystery", ["image"], ["answer"], domain="own")], {}),
        _graph([node("MatMul", ["image", "image"], ["answer"])], {}, ["n", 3, 2**31, 2**31]),
        _graph([node("Expand", ["image", "to"], ["answer"])], {"to": np.array([2**20, 3, 2**10, 2**10])}),
        _graph([node("ConstantOfShape", ["to"], ["answer"])], {"to": np.array([2**45])}),
        _graph(usual, arrays, outputs=False),
        _graph([node("A", ["image"], ["answer"], domain="own")], {}, functions=calling),
        _graph([], {}),
        _graph([node("Identity", ["b"], ["a"]), node("Identity", ["a"], ["b"])], {}),
        _graph([node("Einsum", ["image", "image"], ["answer"], equation="\xff->")], {}),
        _graph([node("Gemm", ["image"], ["answer"])], {}),
        _graph([node("LSTM", ["image", "dense", "dense"], ["answer"])], {"dense": dense}),
        lying.SerializeToString(),
        external.SerializeToString(),
        b"",
        b"\x08\x09",
    ]
    return models


def read_onnx(content: bytes, folder: Path) -> None:
    """Audit an ONNX file without timing it."""
    (folder / "net.onnx").write_bytes(content)
    audit_file(folder / "net.onnx", latency=False, threads=1)


def run_onnx(content: bytes, folder: Path) -> None:
    """Load an ONNX file as a model of a bundle, and run it."""
    (folder / "net.onnx").write_bytes(content)
    spec = bundle.InputSpec(name="image", shape=(1, 3, 8, 8), mean=(0.5,) * 3, std=(0.2,) * 3)
    Network(folder / "net.onnx", spec, threads=1)


PYTHON = [
    "raise ValueError('a\\nb\\x1b[31m' * 99)",
    "class E(Exception):\n    def __str__(self): raise RuntimeError\nraise E",
    "class E(Exception):\n    def __str__(self): return 1\nraise E",
    "class E(Exception):\n    __str__ = None\nraise E",
    "import sys\nsys.exit(3)",
    "raise SystemExit",
    "raise KeyError(b'\\xff' * 400)",
    "def f(): f()\nf()",
    "raise BaseExceptionGroup('g', [ValueError('a')])",
    "raise ExceptionGroup('g', [ValueError('a')])",
    "raise 'text'",
    "import nowhere_at_all",
    "\0",
    "(" * 300,
    "# coding: nonsense\n",
    "x = 1\n",
    "raise type('E\\n', (Exception,), {})('a')",
    "raise GeneratorExit",
]


def read_python(content: bytes, folder: Path) -> None:
    """Import a conftest.py next to claims, and a file of networks."""
    (folder / "conftest.py").write_bytes(content)
    with mock.patch.dict(sys.modules):
        register_conftests(folder / "a.yaml", {"own_metric"})
        import_file(folder / "conftest.py")


def python_files() -> st.SearchStrategy[bytes]:
    """Return Python files that raise what can't be shown, exit, or are no Python; none runs anything else."""
    return st.sampled_from([text.encode() for text in PYTHON])


def names() -> st.SearchStrategy[bytes]:
    """Return names of files and folders: with NUL, of 300 characters, of folders and pipes, with line breaks."""
    odd = [
        "a\0b",
        "x" * 300,
        "x/" * 3000,
        "",
        ".",
        "..",
        "a\nb",
        "\x1b[31m",
        "folder",
        "pipe",
        "file/below",
        "é" * 200,
    ]
    odd += [
        "a:b.py:f",
        "x" * 300 + ".py:f",
        "a\0.py:f",
        "none.py:f",
        "timm:" + "x" * 999,
        "folder.py:f",
        "/dev/null",
    ]
    return st.sampled_from([name.encode() for name in odd]) | st.text(max_size=20).map(
        lambda s: s.encode("utf-8", "surrogatepass")
    )


def read_name(content: bytes, folder: Path) -> None:
    """Show a name to every reader that takes one, next to a file, a folder in place of one, and a pipe."""
    name = content.decode("utf-8", "surrogatepass")
    (folder / "file").write_bytes(b"")
    for place in ("folder", "folder.py", bundle.MANIFEST, saved_models.DESCRIPTION, "test_batch", "devices.yaml"):
        (folder / place).mkdir()
    (folder / "evidence" / store.SUMS).mkdir(parents=True)
    attempts = [
        lambda: read_json(folder / name),
        lambda: read_yaml(folder / name),
        lambda: read_verified(folder / name, None, "fetch it again"),
        lambda: read_claims(folder / name),
        lambda: bundle.load(folder / name),
        lambda: saved_models.load(folder / name),
        lambda: read_image(folder / name),
        lambda: unknown(reference(name, folder)),
        lambda: import_file(folder / name),
        lambda: read_weights(folder / name),
        lambda: load_checkpoint(folder / name, {}),
        lambda: cifar.load_arrays(folder / name, "test"),
        lambda: audit_file(folder / name, latency=False, threads=1),
        lambda: store.verified_files(folder / "evidence"),
        lambda: store.read_folder(folder / name),
    ]
    refused: list[UserError] = []
    for attempt in attempts:
        try:
            attempt()
        except UserError as error:
            refused.append(error)
    for error in refused:
        raise error


BINARY_READERS = [
    Reader("bundle manifests", read_manifest, lambda: manifests()),
    Reader("npy", read_probes, array_files),
    Reader("npz", read_labels, label_files),
    Reader("mosaics", read_mosaic, mosaics),
    Reader("images", read_photo, images),
    Reader("CIFAR batches", read_batch, batch_files),
    Reader("safetensors", read_tensors, lambda: tensor_files(TENSORS)),
    Reader("initial weights", read_initial_weights, lambda: tensor_files(_resnet20()), slow=True),
    Reader("saved models", read_saved_model, saved_model_files, slow=True),
    Reader("checkpoints", read_checkpoint, checkpoints),
    Reader("ONNX", read_onnx, lambda: damaged(onnx_models())),
    Reader("ONNX in a runtime", run_onnx, lambda: damaged(onnx_models())),
    Reader("Python files", read_python, python_files),
    Reader("names", read_name, names),
]


def manifests() -> st.SearchStrategy[bytes]:
    """Return manifests of a bundle with odd values."""
    from tests.fuzz.inputs import json_files

    return json_files(_manifest(**BUNDLE))
