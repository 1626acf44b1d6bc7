"""Models of a bundle in ONNX Runtime: exact on every processor, and only run if their files are unchanged."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx.reference import ReferenceEvaluator

from edgeai_repro.data.transforms import normalise
from edgeai_repro.devices.fingerprint import architecture
from edgeai_repro.edge import bundle, runtime
from edgeai_repro.edge.bundle import Bundle
from edgeai_repro.edge.manifest import BundledModel
from edgeai_repro.edge.model_source import read_source
from edgeai_repro.edge.runtime import TOLERANCE, Deployed, Network
from edgeai_repro.errors import UserError
from edgeai_repro.evidence import environment
from tests.support.bundles import CONVNEXT, change_manifest, flip_a_bit, replace_file

SATURATES = architecture() == "x86_64" and not runtime.has_vnni()
DEPTH = 64  # products per sum
IMAGES = np.random.default_rng(1).integers(0, 256, (3, 3, 32, 32), dtype=np.uint8)


@pytest.fixture
def largest_product(tmp_path: Path) -> Path:
    """An ONNX file that multiplies uint8 (1, DEPTH) by int8 weights, all 127."""
    weights = onnx.numpy_helper.from_array(np.full((DEPTH, 16), 127, np.int8), "b")
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("MatMulInteger", ["a", "b"], ["y"])],
        "product",
        [onnx.helper.make_tensor_value_info("a", onnx.TensorProto.UINT8, [1, DEPTH])],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.INT32, [1, 16])],
        [weights],
    )
    path = tmp_path / "product.onnx"
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=8), path)
    return path


class TestInt8:
    """Int8 products are exact: no sum saturates."""

    def test_largest_products_add_up_exactly(self, largest_product: Path) -> None:
        """255 × 127 is nearly the largest number of 15 bits, so two of them need more than 16 bits with a sign."""
        session = runtime.open_session(largest_product, threads=1)
        (sums,) = session.run(None, {"a": np.full((1, DEPTH), 255, np.uint8)})

        np.testing.assert_array_equal(sums, np.full((1, 16), DEPTH * 255 * 127))

    @pytest.mark.parametrize("variant", ["int8", "pruned-int8"])
    def test_logits_are_those_of_the_reference_implementation(self, loaded: Bundle, variant: BundledModel) -> None:
        """ONNX's own implementation in numpy gives the same logits on most images.

        On the others one activation is rounded to the next step of int8, which moves a logit by a part of int8's
        error (by 1.5e-3 of 9.7e-3 at most with ONNX Runtime 1.31). Saturating sums move it by more than that error.
        """
        deployed = Deployed(loaded, variant, threads=1)
        images = deployed.prepared(loaded.probes())
        reference = ReferenceEvaluator(str(loaded.path(variant)))
        expected = np.concatenate([np.asarray(*reference.run(None, {"image": image[None]})) for image in images])

        differences = np.abs(deployed.predict(loaded.probes()) - expected).max(1)

        assert np.median(differences) < 1e-5
        assert differences.max() < loaded.model(variant).error / 2

    @pytest.mark.skipif(not SATURATES, reason="only kernels for x86 without VNNI saturate")
    @pytest.mark.parametrize("variant", ["int8", "pruned-int8"])
    def test_saturating_kernels_are_refused(
        self, loaded: Bundle, monkeypatch: pytest.MonkeyPatch, variant: BundledModel
    ) -> None:
        """Outputs of kernels that saturate are not the manifest's."""
        monkeypatch.setattr(runtime, "has_vnni", lambda: True)

        with pytest.raises(UserError, match="must give the manifest's outputs"):
            Deployed(loaded, variant, threads=1).check_outputs()

    @pytest.mark.parametrize(
        ("cpuinfo", "expected"),
        [
            ("flags\t\t: fpu avx2 avx512_vnni avx512f\n", True),
            ("flags\t\t: fpu avx2 avx_vnni\n", True),
            ("flags\t\t: fpu avx2 fma\n", False),
            ("model name\t: a processor with avx_vnni\nflags\t\t: fpu avx2\n", False),
            ("CPU implementer\t: 0x41\n", False),
            (None, False),
        ],
    )
    def test_vnni_is_read_from_the_flags(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cpuinfo: str | None, expected: bool
    ) -> None:
        """Either form of VNNI counts; without /proc/cpuinfo the answer is no, which only costs time."""
        path = tmp_path / "cpuinfo"
        if cpuinfo is not None:
            path.write_text(cpuinfo, encoding="utf-8")
        monkeypatch.setattr(environment, "CPUINFO", path)

        assert runtime.has_vnni() is expected


class TestOutputs:
    """The logits of a model, compared with torch's and the manifest's."""

    def test_fp32_file_gives_torchs_logits_on_other_images(self, loaded: Bundle) -> None:
        """The images aren't the probes that the bundle was checked on."""
        network = read_source("convnext_atto").network
        with torch.inference_mode():
            expected = network(normalise(torch.from_numpy(IMAGES))).numpy()

        np.testing.assert_allclose(Deployed(loaded, "fp32", threads=1).predict(IMAGES), expected, atol=1e-5)

    @pytest.mark.parametrize("variant", CONVNEXT)
    def test_each_model_gives_the_manifests_outputs(self, loaded: Bundle, variant: BundledModel) -> None:
        """On the machine that wrote the bundle they are equal to rounding."""
        assert Deployed(loaded, variant, threads=1).check_outputs() <= 1e-6

    def test_logits_of_an_image_do_not_depend_on_other_images(self, loaded: Bundle) -> None:
        """Images are run one at a time."""
        network = Deployed(loaded, "pruned-int8", threads=1)

        np.testing.assert_array_equal(network.predict(IMAGES)[1:], network.predict(IMAGES[1:]))

    @pytest.mark.parametrize(("share", "refused"), [(0.9, False), (1.1, True)])
    def test_int8_outputs_may_differ_by_the_error_of_int8(self, copied: Path, share: float, refused: bool) -> None:
        """On another processor an activation may be rounded the other way, but the error stays below int8's."""
        entry = bundle.load(copied).model("int8")
        first, *others = entry.expected
        expected = [[first[0] + share * entry.error, *first[1:]], *others]
        change_manifest(copied, lambda manifest: manifest["models"]["int8"].update(expected=expected))
        deployed = Deployed(bundle.load(copied), "int8", threads=1)

        if refused:
            with pytest.raises(UserError, match="must give the manifest's outputs to within"):
                deployed.check_outputs()
        else:
            assert deployed.check_outputs() > TOLERANCE

    def test_outputs_of_another_model_are_refused(self, copied: Path) -> None:
        """The pruned model computes another function than the dense one."""
        change_manifest(copied, lambda m: m["models"]["int8"].update(expected=m["models"]["pruned"]["expected"]))

        with pytest.raises(
            UserError, match=r"int8\.onnx: must give the manifest's outputs to within \de-0\d \(got"
        ):
            Deployed(bundle.load(copied), "int8", threads=1).check_outputs()


class TestFiles:
    """Files that don't fit the manifest or each other aren't run."""

    def test_weights_of_another_graph_are_refused(self, copied: Path) -> None:
        """A graph contains the sha256 of its weights, so a manifest that lists other weights doesn't help."""
        replace_file(copied, "int8.weights", flip_a_bit(copied / "int8.weights"))

        with pytest.raises(UserError, match=r"int8\.onnx: must contain the sha256 of int8\.weights \(got "):
            Deployed(bundle.load(copied), "int8", threads=1)

    def test_file_that_is_no_model_is_refused(self, copied: Path) -> None:
        """The manifest lists it."""
        replace_file(copied, "int8.onnx", b"no model")

        with pytest.raises(UserError, match=r"int8\.onnx: must be an ONNX model"):
            Deployed(bundle.load(copied), "int8", threads=1)

    def test_model_with_another_input_is_refused(self, loaded: Bundle) -> None:
        """The message has both shapes."""
        spec = loaded.manifest.input.model_copy(update={"shape": (1, 3, 64, 64)})

        with pytest.raises(UserError, match=r"must take .*64, 64.* \(got .*32, 32"):
            Network(loaded.path("int8"), spec, threads=1)

    def test_file_exchanged_after_loading_is_noticed(self, copied: Path) -> None:
        """Neither a loaded model nor a new one accepts the other file."""
        checked = bundle.load(copied)
        deployed = Deployed(checked, "int8", threads=1)
        shutil.copy(copied / "fp32.onnx", copied / "int8.onnx")

        with pytest.raises(UserError, match="truncated or altered"):
            deployed.check_unchanged()
        with pytest.raises(UserError, match="truncated or altered"):
            Deployed(checked, "int8", threads=1)


class TestFromElsewhere:
    """A bundle of a stranger: what is loaded is what was checked, and lies in its folder."""

    @pytest.mark.parametrize("name", ["int8.onnx", "int8.weights", "probes.npy"])
    def test_link_is_no_file_of_a_bundle(self, copied: Path, tmp_path: Path, name: str) -> None:
        """A file outside is not read through a link, though its content is the listed one."""
        (copied / name).rename(tmp_path / name)
        (copied / name).symlink_to(tmp_path / name)

        with pytest.raises(UserError, match=rf"{name}: must be readable \(got a link\); the bundle is truncated"):
            bundle.load(copied, ["int8"])

    @pytest.mark.parametrize("location", ["../outside.weights", "{folder}/outside.weights", "outside.weights"])
    def test_weights_elsewhere_are_not_opened(
        self, copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, location: str
    ) -> None:
        """A graph that names another file for its weights is refused, also if that file is there."""
        shutil.copy(copied / "int8.weights", tmp_path / "outside.weights")
        monkeypatch.chdir(tmp_path)
        model = onnx.load(copied / "int8.onnx", load_external_data=False)
        for tensor in model.graph.initializer:
            for entry in tensor.external_data:
                if entry.key == "location":
                    entry.value = location.format(folder=tmp_path)
        replace_file(copied, "int8.onnx", model.SerializeToString())

        with pytest.raises(UserError, match=r"int8\.onnx: must be an ONNX model that can be run"):
            Deployed(bundle.load(copied, ["int8"]), "int8")

    def test_file_that_changes_after_its_check_is_not_loaded(
        self, copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The bytes that were compared are those that run. They lie in a temporary folder, of which none stays."""
        expected = Deployed(bundle.load(copied, ["int8"]), "int8").predict(IMAGES)
        (temporary := tmp_path / "temporary").mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(temporary))
        copy = Bundle.copy

        def change(self: Bundle, variant: BundledModel, folder: Path) -> Path:
            path = copy(self, variant, folder)
            for name in self.model(variant).files:
                (self.folder / name).write_bytes(b"changed")
            assert path.is_relative_to(temporary)
            return path

        monkeypatch.setattr(Bundle, "copy", change)
        deployed = Deployed(bundle.load(copied, ["int8"]), "int8")

        assert np.array_equal(deployed.predict(IMAGES), expected)
        assert not list(temporary.iterdir())

    def test_full_or_unwritable_temporary_folder_is_named(
        self, loaded: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The line says which setting helps."""
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))

        with pytest.raises(UserError, match=r"int8\.onnx: must be copied to a temporary folder \(got .*set TMPDIR"):
            Deployed(loaded, "int8", threads=1)
