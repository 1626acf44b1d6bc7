"""A model of a bundle in ONNX Runtime computes what its file defines, on every processor."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

from edgeai_repro.devices.fingerprint import architecture
from edgeai_repro.edge import bundle, runtime
from edgeai_repro.edge.bundle import Bundle, Variant
from edgeai_repro.edge.runtime import Deployed
from edgeai_repro.errors import UserError

SATURATES = architecture() == "x86_64" and not runtime.has_vnni()
DEPTH = 64  # products per sum


@pytest.fixture
def loaded(atto_bundle: Path) -> Bundle:
    """The bundle, checked."""
    return bundle.load(atto_bundle)


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
    def test_logits_are_those_of_the_reference_implementation(self, loaded: Bundle, variant: Variant) -> None:
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
        self, loaded: Bundle, monkeypatch: pytest.MonkeyPatch, variant: Variant
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
        monkeypatch.setattr(runtime, "CPUINFO", path)

        assert runtime.has_vnni() is expected
