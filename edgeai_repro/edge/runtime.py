"""Runs a model of a bundle in ONNX Runtime: one image in, logits out. Torch isn't needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeai_repro.edge.bundle import REBUILD_HINT, WEIGHTS_SHA256, Bundle
from edgeai_repro.edge.images import Floats, prepare
from edgeai_repro.edge.manifest import BundledModel, InputSpec
from edgeai_repro.errors import UserError, brief
from edgeai_repro.evidence.environment import int8_instructions
from edgeai_repro.extras import how_to_install
from edgeai_repro.measure.latency.threads import usable_cores
from edgeai_repro.temporary import temporary_folder

# Largest difference of a logit, relative to the largest logit, that rounding in another processor's kernels
# explains.
TOLERANCE = 1e-3
# This option makes int8 products exact on x86 without VNNI. There ONNX Runtime's default kernels add pairs of
# products in 16 bits, and sums that don't fit saturate: the error of ConvNeXt-Atto's logits was 2 to 6 times that
# of exact int8 (ONNX Runtime 1.31, Zen 3). Exact products take up to 5 % longer (ConvNeXt-Small, 1 and 2 threads).
# They need 17 MB more while ConvNeXt-Small, pruned and int8, is loaded.
EXACT_INT8 = "session.x64quantprecision"


class Network:
    """A loaded ONNX file. Called with one image, float32 (1, 3, H, W), it returns logits (1, classes).

    `spec` is the input that the file must have; `threads` defaults to one per usable core. Raises UserError if ONNX
    Runtime isn't installed or can't load the file, or if the file has another input. With `copy`, this copy of the
    file is loaded; messages name `path`.
    """

    def __init__(
        self, path: Path, spec: InputSpec, *, threads: int | None = None, copy: Path | None = None
    ) -> None:
        self.path = path
        self.threads = threads or usable_cores()
        self._input = spec
        self._session = open_session(path, self.threads, copy=copy)
        _check_input(path, self._session, spec)

    def __call__(self, image: Floats) -> Floats:
        """Return the logits of one prepared image. Raises UserError if the file can't run, or gives no logits."""
        try:
            (logits,) = self._session.run(None, {self._input.name: image})
        except Exception as error:  # the only base class that onnxruntime's errors share
            raise UserError(f"{self.path}: must run on an image (got {brief(error)}); {REBUILD_HINT}") from None
        if not (
            isinstance(logits, np.ndarray) and logits.ndim == 2 and len(logits) == 1 and logits.dtype.kind == "f"
        ):
            got = f"{logits.dtype} {logits.shape}" if isinstance(logits, np.ndarray) else type(logits).__name__
            raise UserError(f"{self.path}: must return logits (1, classes) (got {got}); {REBUILD_HINT}")
        return np.asarray(logits, np.float32)

    def prepared(self, images: NDArray[np.uint8]) -> Floats:
        """Return uint8 images (n, 3, 32, 32) as the model's input, float32 (n, 3, H, W)."""
        return prepare(images, self._input)

    def predict(self, images: NDArray[np.uint8]) -> Floats:
        """Return the logits of uint8 images (n, 3, 32, 32), float32 (n, classes).

        Images are run one at a time, as on the device. Dynamic quantization scales activations by all values of a
        run, so a batch would give other logits.
        """
        return np.concatenate([self(self.prepared(images[index : index + 1])) for index in range(len(images))])


class Deployed(Network):
    """A model of a bundle. Raises UserError also if its files are no longer those of the manifest.

    ONNX Runtime loads a copy that only this user can change. The copy was compared with the manifest, and is
    removed at once. ONNX Runtime maps a file, which takes half the memory of bytes that were read.
    """

    def __init__(self, bundle: Bundle, variant: BundledModel, *, threads: int | None = None) -> None:
        self.bundle = bundle
        self.variant: BundledModel = variant
        self.sha256 = bundle.sha256(variant)
        path, weights = bundle.path(variant), bundle.model(variant).weights
        try:
            with temporary_folder() as folder:
                copy = bundle.copy(variant, folder)
                super().__init__(path, bundle.manifest.input, threads=threads, copy=copy)
        except OSError as error:
            raise UserError(
                f"{path}: must be copied to a temporary folder (got {brief(error)}); set TMPDIR to one with space"
            ) from None
        digest = self._session.get_modelmeta().custom_metadata_map.get(WEIGHTS_SHA256)
        if digest != bundle.manifest.files[weights].sha256:
            raise UserError(f"{self.path}: must contain the sha256 of {weights} (got {digest}); {REBUILD_HINT}")

    def check_unchanged(self) -> None:
        """Raise UserError unless the model's files on disk are still those of the manifest, which were loaded."""
        self.bundle.check(self.variant)

    def correct(self, images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Return for each image, uint8 (n, 3, 32, 32), whether the model predicts its label, bool (n,)."""
        return np.asarray(self.predict(images).argmax(1) == labels)

    def check_outputs(self) -> float:
        """Return the largest difference from the manifest's logits on the probes, relative to the largest logit.

        Raises UserError if the difference is above both TOLERANCE and the error of int8: then this machine computes
        another function. Up to int8's error is allowed because fp32 kernels differ in the last bit. An activation
        between two steps of int8 may then be rounded the other way, which moves a logit by a part of that error
        (trained ConvNeXt-Atto: by 9e-3 of 2.6e-2 between ONNX Runtime 1.24 and 1.31 on one x86 machine, and by 7e-3
        on an emulated Cortex-A76).
        """
        entry = self.bundle.model(self.variant)
        actual = self.predict(self.bundle.probes())
        if {len(logits) for logits in entry.expected} != {actual.shape[1]} or len(entry.expected) != len(actual):
            raise UserError(f"{self.path}: must give as many outputs as the manifest lists; {REBUILD_HINT}")
        expected = np.array(entry.expected, np.float32)
        scale = float(np.abs(expected).max()) or 1.0
        difference = float(np.abs(actual - expected).max()) / scale
        allowed = max(TOLERANCE, entry.error / scale)
        if not difference <= allowed:
            raise UserError(
                f"{self.path}: must give the manifest's outputs to within {allowed:.0e} (got {difference:.1e}); "
                "try another version of onnxruntime"
            )
        return difference


def open_session(
    path: Path,
    threads: int,
    *,
    optimized_to: Path | None = None,
    content: bytes | None = None,
    copy: Path | None = None,
) -> Any:
    """Return an ONNX Runtime session for a file, on the CPU with this number of threads.

    With `optimized_to`, the session has no optimizations for this processor, and its graph is written there. With
    `content`, this model is loaded instead of the file, and runs without any optimizations. With `copy`, this copy
    of the file is loaded. Raises UserError if ONNX Runtime isn't installed or can't load the model.
    """
    try:
        import onnxruntime
    except ModuleNotFoundError:
        raise UserError(f"'onnxruntime' is missing, which runs ONNX files; {how_to_install('edge')}") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what ends the process only: all else would go to the terminal past Python
    # Threads that spin after a run would take the cores from the next contender that is timed.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    if optimized_to is not None:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        options.optimized_model_filepath = str(optimized_to)
    if content is not None:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    if not has_vnni():
        options.add_session_config_entry(EXACT_INT8, "1")
    try:
        return onnxruntime.InferenceSession(
            content or str(copy or path),
            options,
            providers=["CPUExecutionProvider"],
            enable_fallback=0,  # which would print to the terminal
        )
    except Exception as error:  # the only base class that onnxruntime's errors share
        raise UserError(
            f"{path}: must be an ONNX model that can be run (got {brief(error)}); write it again"
        ) from None


def optimized(path: Path, target: Path) -> Path:
    """Write the graph that ONNX Runtime runs for a file to `target`, and return `target`.

    Only optimizations that hold on every processor are applied. Raises UserError as `open_session` does.
    """
    open_session(path, 1, optimized_to=target)
    return target


def has_vnni() -> bool:
    """Return whether this x86 processor has VNNI: it adds int8 products in 32 bits. False if unknown."""
    return "VNNI" in (int8_instructions() or [])


def _check_input(path: Path, session: Any, spec: InputSpec) -> None:
    if len(session.get_outputs()) != 1:
        raise UserError(f"{path}: must have one output (got {len(session.get_outputs())}); {REBUILD_HINT}")
    actual = [(node.name, node.type, list(node.shape)) for node in session.get_inputs()]
    expected = [(spec.name, "tensor(float)", list(spec.shape))]
    if actual != expected:
        raise UserError(f"{path}: must take {expected} (got {actual}); {REBUILD_HINT}")
