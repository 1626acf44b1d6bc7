"""Bytes of the saved file, and bytes after deflate."""

from __future__ import annotations

import io
import zlib
from pathlib import Path

import pytest
import torch
from torch import nn

from edgeai_repro.compress.quantization import quantize
from edgeai_repro.compress.unstructured import prune, sweep
from edgeai_repro.measure.size import deflated_bytes, state_dict_bytes, stored_tensors
from edgeai_repro.networks.convnext import build
from tests.support.helpers import small_convnext

MODELS = {
    "fp32": small_convnext,
    "int8": lambda: quantize(small_convnext()),
    "pruned": lambda: prune(build_atto(), 0.5),
}


def build_atto() -> nn.Module:
    """Return a model whose weights fill several chunks."""
    return build("convnext_atto")


@pytest.mark.parametrize("kind", MODELS)
def test_state_dict_bytes_equal_the_size_of_the_saved_file(kind: str, tmp_path: Path) -> None:
    """The count equals the size of a file and of a buffer that torch.save writes."""
    model = MODELS[kind]()
    path, buffer = tmp_path / "archive.pt", io.BytesIO()
    torch.save(model.state_dict(), path)
    torch.save(model.state_dict(), buffer)

    assert path.stat().st_size == len(buffer.getvalue()) == state_dict_bytes(model)


def test_another_file_name_changes_few_bytes(tmp_path: Path) -> None:
    """The archive repeats the name of the file for each tensor."""
    model = small_convnext()
    torch.save(model.state_dict(), tmp_path / "x.pt")

    difference = state_dict_bytes(model) - (tmp_path / "x.pt").stat().st_size
    assert 0 < difference <= 200 * (len(model.state_dict()) + 6)


def test_checksums_of_torch_are_restored() -> None:
    """Files that are saved later have checksums."""
    assert torch.serialization.get_crc32_options()

    state_dict_bytes(small_convnext())

    assert torch.serialization.get_crc32_options()


def test_stored_tensors_are_those_of_the_state_dict() -> None:
    """A quantized layer has its int8 weight and its bias."""
    model = small_convnext()
    stored = sum(tensor.numel() for tensor in stored_tensors(model))
    packed = [tensor for tensor in stored_tensors(quantize(model)) if tensor.is_quantized]

    assert stored == sum(tensor.numel() for tensor in model.state_dict().values())
    assert len(packed) == sum(isinstance(module, nn.Linear) for module in model.modules())


@pytest.mark.parametrize("quantized", [False, True])
def test_deflated_streams_can_be_inflated(quantized: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The counted bytes are complete deflate streams of all stored bytes."""
    streams: list[bytes] = []
    compressobj = zlib.compressobj

    class Recorder:
        """A compressor of zlib that records its output."""

        def __init__(self, *args: int, **kwargs: int) -> None:
            self.stream, self.output = compressobj(*args, **kwargs), b""

        def compress(self, data: memoryview) -> bytes:
            """Compress and record."""
            self.output = self.stream.compress(data)
            return self.output

        def flush(self) -> bytes:
            """Flush and record the whole stream."""
            rest = self.stream.flush()
            streams.append(self.output + rest)
            return rest

    monkeypatch.setattr(zlib, "compressobj", Recorder)
    model = quantize(build_atto()) if quantized else build_atto()
    counted = deflated_bytes(model)

    tensors = list(stored_tensors(model))
    expected = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    assert counted == sum(map(len, streams))
    assert expected == sum(len(zlib.decompress(stream, wbits=-15)) for stream in streams)


def test_deflated_bytes_are_near_the_best_level() -> None:
    """At each sparsity, at most those of level 1, and within 4 % of those of level 9."""
    torch.manual_seed(0)
    layer = nn.Linear(250, 250, bias=False)
    layer.weight.detach().normal_(0, 0.02)
    for _, model in sweep(layer, [0.0, 0.3, 0.6, 0.9]):
        data = model.weight.detach().numpy().tobytes()
        fast, best = (len(zlib.compress(data, level, wbits=-15)) for level in (1, 9))
        assert deflated_bytes(model) <= fast
        assert deflated_bytes(model) <= 1.04 * best


def test_only_deflated_bytes_fall_with_sparsity() -> None:
    """The bytes of the file stay the same."""
    models = [model for _, model in sweep(build_atto(), [0.0, 0.3, 0.6, 0.9])]
    deflated = [deflated_bytes(model) for model in models]

    assert len({state_dict_bytes(model) for model in models}) == 1
    assert deflated == sorted(deflated, reverse=True)
    assert deflated[-1] < 0.2 * deflated[0]


def test_deflated_bytes_do_not_depend_on_threads() -> None:
    """One thread and the default number of threads."""
    model, threads = build_atto(), torch.get_num_threads()
    expected = deflated_bytes(model)
    torch.set_num_threads(1)
    try:
        assert expected == deflated_bytes(model)
    finally:
        torch.set_num_threads(threads)
