"""A bundle of any network: its variants are checked against torch, and what can't be made is left out."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import timm
import torch

from edgeai_repro.edge import build, bundle, export, static_int8
from edgeai_repro.edge.any_network import Normalisation, onnx_source
from edgeai_repro.edge.bundle import Bundle
from edgeai_repro.edge.export_variants import Problem
from edgeai_repro.edge.images import prepare
from edgeai_repro.edge.manifest import TECHNIQUE_OF_VARIANT
from edgeai_repro.edge.runtime import Deployed
from edgeai_repro.edge.user_images import TestImages
from edgeai_repro.errors import UserError
from tests.support.bundles import change_manifest
from tests.support.helpers import two_layers
from tests.support.network_sources import SIDE, source

pytestmark = pytest.mark.usefixtures("one_thread")
DENSE = ("fp32", "int8", "static-int8")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The bundle of a network of two layers, with test images. Tests must not change it."""
    pixels = np.random.default_rng(3).integers(0, 256, (6, 3, SIDE, SIDE), dtype=np.uint8)
    images = TestImages(pixels, np.array([0, 1, 2, 0, 1, 2], np.uint16))
    folder = tmp_path_factory.mktemp("any") / "bundle"
    return build.build(source(), folder, target=0.5, images=images, labels=("cat", "dog", "eel"))


@pytest.fixture(scope="module")
def mobile(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The bundle of a small MobileNetV3 of timm. Tests must not change it."""
    torch.manual_seed(0)
    network = timm.create_model("mobilenetv3_small_050", num_classes=10)
    return build.build(source(network), tmp_path_factory.mktemp("mobile") / "bundle", target=0.5)


class TestVariants:
    """The files of a bundle."""

    def test_dense_variants_give_torchs_logits(self, built: Bundle) -> None:
        """fp32 gives them to rounding, int8 to a few levels; static int8 also cuts what calibration lacked."""
        expected = two_layers()(torch.from_numpy(prepare(built.probes(), built.manifest.input)))
        scale = expected.abs().max()
        for variant, share in (("fp32", 1e-5), ("int8", 0.02), ("static-int8", 0.1)):
            logits = Deployed(built, variant, threads=1).predict(built.probes())  # type: ignore[arg-type]
            assert np.abs(logits - expected.detach().numpy()).max() <= share * scale, variant
        assert not np.allclose(expected[0].detach(), expected[-1].detach(), atol=0.02), "images must differ"

    def test_static_int8_computes_convolutions_in_int8_and_dynamic_int8_does_not(self, mobile: Bundle) -> None:
        """A product of int8 is 64 bit operations, and one of fp32 is 1,024."""
        counts = {variant: mobile.manifest.models[variant].counts for variant in DENSE}  # type: ignore[index]

        assert counts["static-int8"].bit_operations == 64 * counts["fp32"].macs
        assert counts["int8"].bit_operations > 900 * counts["fp32"].macs
        assert mobile.size("static-int8") < 0.4 * mobile.size("fp32") < 0.45 * mobile.size("int8")

    def test_pruned_variants_are_smaller_in_each_form(self, mobile: Bundle) -> None:
        """All six variants are there, and pruning takes MACs from each."""
        models = mobile.manifest.models

        assert set(models) == set(TECHNIQUE_OF_VARIANT)
        assert models["pruned"].counts.macs < 0.6 * models["fp32"].counts.macs
        assert mobile.size("pruned-static-int8") < mobile.size("static-int8")
        assert models["pruned-static-int8"].settings == {"target": 0.5}

    def test_entry_says_what_static_int8_was_calibrated_on_and_what_stayed_in_fp32(self, mobile: Bundle) -> None:
        """Random images are said to be random."""
        notes = mobile.model("static-int8").static_int8

        assert notes is not None
        assert (notes.calibration, notes.fp32_share, notes.fp32_operators) == ("16 random images", 0, ())

    def test_variant_that_cannot_be_made_is_left_out_with_the_reason(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The others are written."""
        with caplog.at_level(logging.WARNING):
            written = build.build(source(), tmp_path / "b", target=0.5, calibration=Problem("no images"))

        assert "static-int8" not in written.manifest.models
        assert {"fp32", "int8"} <= written.manifest.models.keys()
        assert written.manifest.left_out["static-int8"] == "no images"
        assert "static-int8: left out: no images" in caplog.messages

    def test_manifest_has_labels_normalisation_and_the_users_images(self, built: Bundle) -> None:
        """They come back as they were given."""
        images, classes = built.test_split()

        assert built.manifest.labels == ("cat", "dog", "eel")
        assert built.manifest.input.mean == (0.485, 0.456, 0.406)
        assert (images.shape, classes.tolist()) == ((6, 3, SIDE, SIDE), [0, 1, 2, 0, 1, 2])

    def test_timms_normalisation_is_taken_unless_another_is_given(self) -> None:
        """It stands in the configuration of the network."""
        network = two_layers()
        network.default_cfg = {"mean": (0.5, 0.5, 0.5), "std": (0.1, 0.2, 0.3)}  # type: ignore[assignment]

        assert source(network).std == (0.1, 0.2, 0.3)
        assert source(network, normalisation=Normalisation()).mean == (0.485, 0.456, 0.406)

    def test_bundle_loads_and_gives_the_manifests_outputs(self, mobile: Bundle) -> None:
        """Also after it is read again."""
        loaded = bundle.load(mobile.folder)

        assert Deployed(loaded, "static-int8", threads=1).check_outputs() <= 1e-6
        assert loaded.preferred == "pruned-int8"


class TestOnnxFile:
    """An ONNX file as the source."""

    def test_file_with_a_free_batch_gives_its_own_logits(self, built: Bundle, tmp_path: Path) -> None:
        """The variants are named as those of a network; pruning is left out."""
        model = onnx.load(built.path("fp32"))
        model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "batch"
        model.graph.input[0].name = "pixels"
        model.graph.node[0].input[0] = "pixels"
        onnx.save(model, tmp_path / "mine.onnx")

        written = build.build(onnx_source(tmp_path / "mine.onnx"), tmp_path / "b", target=0.5)

        assert set(written.manifest.models) == set(DENSE)
        images = built.probes()
        expected = Deployed(built, "fp32", threads=1).predict(images)
        np.testing.assert_allclose(Deployed(written, "fp32", threads=1).predict(images), expected, atol=1e-6)

    def test_file_with_another_input_is_refused(self, tmp_path: Path) -> None:
        """The line says how many inputs there are."""
        x = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 4])
        y = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, 4])
        graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["x"], ["y"])], "g", [x], [y])
        onnx.save(onnx.helper.make_model(graph), tmp_path / "mine.onnx")

        with pytest.raises(UserError, match=r"mine\.onnx: must take one RGB image"):
            onnx_source(tmp_path / "mine.onnx")


class TestWrongFile:
    """A quantized file with a planted mistake is left out."""

    @pytest.mark.parametrize("factor", [0.8, 1.25])
    def test_static_file_with_a_wrong_scale_is_left_out(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, factor: float
    ) -> None:
        """The scale of the last product's weights is off by a quarter."""
        quantize = static_int8.quantize

        def wrong(source: Path, target: Path, images: Any) -> None:
            quantize(source, target, images)
            model = onnx.load(target)
            *_, scales = (one for one in model.graph.initializer if one.name.endswith("weight_scale"))
            values = onnx.numpy_helper.to_array(scales) * np.float32(factor)
            scales.CopyFrom(onnx.numpy_helper.from_array(values, scales.name))
            export.save(model, target)

        monkeypatch.setattr(static_int8, "quantize", wrong)
        written = build.build(source(), tmp_path / "b", target=0.5)

        assert "static-int8.onnx: must give torch's logits" in written.manifest.left_out["static-int8"]
        assert not list(written.folder.glob("static-int8*"))

    def test_class_that_does_not_exist_is_refused(self, built: Bundle) -> None:
        """A device must not compare with it."""
        manifest = built.manifest.model_copy(update={"num_classes": 2, "labels": None})

        with pytest.raises(UserError, match=r"test_classes\.npy: must hold a known class for each test image"):
            Bundle(built.folder, manifest).test_split()

    def test_labels_must_be_as_many_as_classes(self, built: Bundle, tmp_path: Path) -> None:
        """The manifest is refused when it is read."""
        folder = tmp_path / "copy"
        folder.mkdir()
        (folder / bundle.MANIFEST).write_text((built.folder / bundle.MANIFEST).read_text())
        change_manifest(folder, lambda manifest: manifest.update(labels=["cat"]))

        with pytest.raises(UserError, match=r"'labels' must be 3, one per class \(got 1\)"):
            bundle.load(folder)
