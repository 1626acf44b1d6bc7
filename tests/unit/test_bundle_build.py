"""Building a bundle: the models to export, and that wrong exports are refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import save_file

from edgeai_repro.checksums import sha256
from edgeai_repro.compress import saved_models
from edgeai_repro.compress.quantization import quantize
from edgeai_repro.data.transforms import normalise
from edgeai_repro.edge import build, bundle, export
from edgeai_repro.edge.model_source import read_source
from edgeai_repro.edge.runtime import Deployed
from edgeai_repro.errors import MissingRequirement, UserError
from edgeai_repro.evidence.training_record import RESULT, WEIGHTS
from edgeai_repro.networks import convnext
from tests.support.helpers import awaken
from tests.support.records import record

IMAGES = np.random.default_rng(1).integers(0, 256, (3, 3, 32, 32), dtype=np.uint8)
NARROW = [16] * 12


def build_atto(folder: Path) -> bundle.Bundle:
    """Build the bundle of convnext_atto with random weights."""
    return build.build(read_source("convnext_atto"), folder, target=0.8, test_split=False)


@pytest.fixture
def training_run(tmp_path: Path) -> Callable[..., str]:
    """Return a function that writes a model as the folder of a training run, and returns the folder."""

    def write(name: str, model: Any, **recipe: Any) -> str:
        folder = tmp_path / name
        folder.mkdir()
        save_file(model.state_dict(), folder / WEIGHTS)
        result = record(**recipe).model_copy(
            update={"weights_sha256": sha256(folder / WEIGHTS), "hidden_widths": convnext.hidden_widths(model)}
        )
        (folder / RESULT).write_text(result.model_dump_json(), encoding="utf-8")
        return str(folder)

    return write


class TestWrongExport:
    """A file whose outputs differ from torch's is refused, and no bundle is left."""

    def test_wrong_fp32_file_is_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A weight that is off by 0.1 % shows in the logits."""
        exported = export.export

        def wrong(model: Any, path: Path, **options: Any) -> None:
            other = convnext.clone_sharing_tensors(model)
            weight = other.classifier[2].weight
            other.classifier[2].weight = torch.nn.Parameter(weight * (1 + 1e-3))
            exported(other, path, **options)

        monkeypatch.setattr(export, "export", wrong)
        with pytest.raises(UserError, match=r"^fp32\.onnx: must give torch's logits"):
            build_atto(tmp_path / "b")

        assert list(tmp_path.iterdir()) == []

    def test_other_network_as_int8_file_is_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Its classifier has other weights."""
        other = convnext.clone_sharing_tensors(read_source("convnext_atto").network)

        def wrong(_: Path, target: Path) -> None:
            other.classifier[2] = torch.nn.Linear(320, 10)
            export.export(other, target)

        monkeypatch.setattr(export, "quantize", wrong)
        with pytest.raises(UserError, match=r"^int8\.onnx: must give torch's logits"):
            build_atto(tmp_path / "b")

    @pytest.mark.parametrize("factor", [0.95, 1.05])
    def test_int8_file_with_a_wrong_scale_is_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, factor: float
    ) -> None:
        """A scale of the last int8 product that is off by 5 % shows in the logits, on every processor."""
        quantized = export.quantize

        def wrong(source: Path, target: Path) -> None:
            quantized(source, target)
            model = onnx.load(target)
            *_, scales = (tensor for tensor in model.graph.initializer if tensor.name.endswith("_scale"))
            values = onnx.numpy_helper.to_array(scales) * np.float32(factor)
            scales.CopyFrom(onnx.numpy_helper.from_array(values, scales.name))
            export.save(model, target)

        monkeypatch.setattr(export, "quantize", wrong)
        with pytest.raises(UserError, match=r"^int8\.onnx: must give torch's logits"):
            build_atto(tmp_path / "b")


class TestSources:
    """The model of a bundle: a saved model, a training run, or a name."""

    def test_pruned_saved_model_keeps_widths_and_settings(self, tmp_path: Path) -> None:
        """The dense model that it lacks gets random weights, and is marked as such."""
        widths = [20 * (index + 1) for index in range(12)]
        pruned = convnext.build("convnext_atto", hidden_widths=widths, seed=3)
        folder = saved_models.save(pruned, "convnext_atto", "structured_pruning", {"target": 0.7}, root=tmp_path)

        built = build.build(read_source(str(folder)), tmp_path / "b", target=0.8, test_split=False)

        models = built.manifest.models
        assert models["pruned-int8"].hidden_widths == tuple(widths)
        assert models["pruned-int8"].settings == {"target": 0.7}
        assert models["pruned"].origin.sha256 == saved_models.read(folder).weights_sha256
        assert models["fp32"].origin.sha256 is None

    def test_training_runs_give_weights_widths_stem_and_recipe(
        self, tmp_path: Path, training_run: Callable[..., str]
    ) -> None:
        """The dense run gives fp32 and int8, the pruned run the other two variants."""
        narrow = awaken(convnext.build("convnext_atto", hidden_widths=NARROW, stem_stride=2, seed=3))
        dense = awaken(convnext.build("convnext_atto", stem_stride=2, seed=4))
        source = read_source(training_run("narrow", narrow, structured=0.8))
        dense_source = read_source(training_run("dense", dense))

        built = build.build(source, tmp_path / "b", dense=dense_source, target=0.5, test_split=False)

        pruned = built.model("pruned-int8")
        assert (built.manifest.stem_stride, pruned.settings) == (2, {"target": 0.8})
        assert pruned.hidden_widths == tuple(NARROW)
        assert pruned.origin == source.origin
        assert (source.origin.recipe or {})["structured"] == 0.8
        assert built.model("int8").origin == dense_source.origin
        with torch.inference_mode():
            expected = narrow(normalise(torch.from_numpy(IMAGES))).numpy()
        np.testing.assert_allclose(Deployed(built, "pruned", threads=1).predict(IMAGES), expected, atol=1e-4)

    def test_run_with_zeroed_weights_is_refused(self, training_run: Callable[..., str]) -> None:
        """Exported as ONNX, its weights would take as much space and time as a dense model's."""
        folder = training_run("zeroed", convnext.build("convnext_atto", stem_stride=2), unstructured=0.5)

        with pytest.raises(UserError, match=r"must be dense or structurally pruned \(got zeroed weights\)"):
            read_source(folder)

    def test_quantized_saved_model_is_refused(self, tmp_path: Path) -> None:
        """A bundle quantizes fp32 weights itself."""
        model = quantize(convnext.build("convnext_atto"))
        folder = saved_models.save(model, "convnext_atto", "dynamic_quantization", root=tmp_path)

        with pytest.raises(UserError, match=r"must hold fp32 weights, dense or structurally pruned \(got dynamic"):
            read_source(str(folder))

    def test_unknown_source_is_refused_with_the_closest_name(self) -> None:
        """It is neither a folder nor a model."""
        with pytest.raises(UserError, match=r"^'source' must be .* \(got 'convnext_smal'\); .*'convnext_small'"):
            read_source("convnext_smal")


class TestDense:
    """The dense model of a pruned source."""

    def test_dense_model_with_another_stem_is_refused(
        self, training_run: Callable[..., str], tmp_path: Path
    ) -> None:
        """Both strides are named."""
        narrow = convnext.build("convnext_atto", hidden_widths=NARROW, stem_stride=2)
        source = read_source(training_run("narrow", narrow, structured=0.8))

        with pytest.raises(UserError, match=r"'--dense' must be an unpruned .* stride 2 \(got .* stride 4"):
            build.build(source, tmp_path / "b", dense=read_source("convnext_atto"), target=0.5, test_split=False)

    def test_pruned_model_as_dense_model_is_refused(self, training_run: Callable[..., str], tmp_path: Path) -> None:
        """Its technique is named."""
        narrow = convnext.build("convnext_atto", hidden_widths=NARROW, stem_stride=2)
        source = read_source(training_run("narrow", narrow, structured=0.8))

        with pytest.raises(UserError, match=r"'--dense' must be an unpruned convnext_atto .* \(got structured"):
            build.build(source, tmp_path / "b", dense=source, target=0.5, test_split=False)

    def test_dense_model_for_a_dense_source_is_refused(self, tmp_path: Path) -> None:
        """A dense source is its own dense model."""
        source = read_source("convnext_atto")

        with pytest.raises(UserError, match=r"^'--dense' must go with a pruned model"):
            build.build(source, tmp_path / "b", dense=source, target=0.8, test_split=False)


def test_missing_data_name_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test split can't be written without data."""
    monkeypatch.delenv("EDGEAI_DATA", raising=False)

    with pytest.raises(MissingRequirement, match="EDGEAI_DATA"):
        build.build(read_source("convnext_atto"), tmp_path / "b", target=0.8, test_split=True)
