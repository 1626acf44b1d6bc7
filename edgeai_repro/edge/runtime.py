"""A model of a bundle in ONNX Runtime: one image in, logits out. No torch.

One object is timed and evaluated, and it knows the sha256 of the file that it was made from.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeai_repro.edge.bundle import REBUILD_HINT, WEIGHTS_SHA256, Bundle, InputSpec, Variant
from edgeai_repro.errors import UserError
from edgeai_repro.evidence.environment import CPUINFO
from edgeai_repro.measure.latency.threads import usable_cores

Floats = NDArray[np.float32]
SIDE = 32  # of the images that come in: CIFAR-10's
# Of a logit, relative to the largest: another CPU's kernels round otherwise.
TOLERANCE = 1e-3
# This option makes int8 products exact on x86 without VNNI. There ONNX Runtime's default kernels add pairs of
# products in 16 bits, and sums that don't fit saturate: the error of ConvNeXt-Atto's logits was 2 to 6 times that
# of exact int8 (ONNX Runtime 1.31, Zen 3). Exact products take up to 5 % longer (ConvNeXt-Small, 1 and 2 threads).
EXACT_INT8 = "session.x64quantprecision"


class Network:
    """An ONNX file, loaded and ready; called with one image, float32 (1, 3, H, W), it returns (1, classes).

    `wanted` is the input that it must have; `threads` work on one image (None: one a usable core). Raises UserError
    where ONNX Runtime isn't installed or can't load the file, and where its input is another.
    """

    def __init__(self, path: Path, wanted: InputSpec, *, threads: int | None = None) -> None:
        self.path = path
        self.threads = threads or usable_cores()
        self._input = wanted
        self._session = open_session(path, self.threads)
        _check_input(path, self._session, wanted)

    def __call__(self, image: Floats) -> Floats:
        """Return the logits of one prepared image."""
        (logits,) = self._session.run(None, {self._input.name: image})
        return np.asarray(logits, np.float32)

    def prepared(self, images: NDArray[np.uint8]) -> Floats:
        """Return uint8 images (n, 3, 32, 32) as the model takes them, float32 (n, 3, H, W)."""
        return prepare(images, self._input)

    def predict(self, images: NDArray[np.uint8]) -> Floats:
        """Return the logits of uint8 images (n, 3, 32, 32), float32 (n, classes), one image at a time.

        One at a time, as on the device: dynamic quantization scales each activation by what a run is given, so a
        batch would give other logits.
        """
        return np.concatenate([self(self.prepared(images[k : k + 1])) for k in range(len(images))])


class Deployed(Network):
    """A model of a bundle. Raises UserError also where its files are no longer the manifest's."""

    def __init__(self, bundle: Bundle, variant: Variant, *, threads: int | None = None) -> None:
        self.bundle = bundle
        self.variant: Variant = variant
        self.sha256 = bundle.sha256(variant)
        self.check_unchanged()
        super().__init__(bundle.path(variant), bundle.manifest.input, threads=threads)
        weights = bundle.model(variant).weights
        named = self._session.get_modelmeta().custom_metadata_map.get(WEIGHTS_SHA256)
        if named != bundle.manifest.files[weights].sha256:
            raise UserError(f"{self.path}: must name the sha256 of {weights} (got {named}); {REBUILD_HINT}")

    def check_unchanged(self) -> None:
        """Raise UserError unless the files on disk are those that the manifest lists, and so those loaded."""
        self.bundle.check(self.variant)

    def correct(self, images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Return which images, uint8 (n, 3, 32, 32), are given their label, bool (n,)."""
        return np.asarray(self.predict(images).argmax(1) == labels)

    def check_outputs(self) -> float:
        """Return the largest difference from the manifest's logits on the probes, relative to the largest logit.

        Raises UserError where it is over TOLERANCE, and over the error that int8 makes: this machine computes
        something else. An activation that lies between two steps of int8 goes the other way where fp32 differs in
        its last bit, and moves a logit by a part of that error (ConvNeXt-Atto, trained: by 9e-3 of 2.6e-2 between
        ONNX Runtime 1.24 and 1.31 on one x86 machine, by 7e-3 on an emulated Cortex-A76).
        """
        described = self.bundle.model(self.variant)
        expected = np.array(described.expected, np.float32)
        found = self.predict(self.bundle.probes())
        scale = float(np.abs(expected).max())
        difference, allowed = float(np.abs(found - expected).max()) / scale, max(TOLERANCE, described.error / scale)
        if not difference <= allowed:
            raise UserError(
                f"{self.path}: must give the manifest's outputs to {allowed:.0e} (got {difference:.1e} off); "
                "try another version of onnxruntime"
            )
        return difference


def prepare(images: NDArray[np.uint8], wanted: InputSpec) -> Floats:
    """Return uint8 images (n, 3, h, w) as float32 (n, 3, H, W), normalised; enlarged bilinearly, as by torch."""
    mean, std = (np.array(values, np.float32).reshape(1, 3, 1, 1) * 255 for values in (wanted.mean, wanted.std))
    scaled = (images.astype(np.float32) - mean) / std
    if scaled.shape[2:] != wanted.shape[2:]:
        (height, width), (tall, wide) = scaled.shape[2:], wanted.shape[2:]
        scaled = _enlarging(height, tall) @ scaled @ _enlarging(width, wide).T
    return np.ascontiguousarray(scaled, np.float32)


def read_image(path: Path) -> NDArray[np.uint8]:
    """Return an image file as uint8 (1, 3, 32, 32), shrunk to it. Raises UserError where it is no image."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError(f"{path}: must be an image ({' '.join(str(error).split())}); name a PNG or JPEG") from None
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)[None])


def _enlarging(given: int, asked: int) -> Floats:
    """Return the matrix (asked, given) of bilinear interpolation between pixel centres."""
    if asked < given:
        raise UserError(f"'resolution' must be {given} or more (got {asked}); export the model at the images' size")
    place = ((np.arange(asked) + 0.5) * given / asked - 0.5).clip(0, given - 1)
    return np.asarray(np.maximum(0, 1 - np.abs(place[:, None] - np.arange(given))), np.float32)


def open_session(path: Path, threads: int) -> Any:
    """Return ONNX Runtime's session of a file, on the CPU, with that many threads.

    Raises UserError where ONNX Runtime isn't installed or can't load the file.
    """
    try:
        import onnxruntime
    except ModuleNotFoundError:
        raise UserError(
            "'onnxruntime' must be installed to run an ONNX file (got none); pip install 'edgeai-repro[edge]'"
        ) from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # its warnings go to the terminal past Python
    # Threads that spin on after a run would take the cores from whatever is timed next.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    if not has_vnni():
        options.add_session_config_entry(EXACT_INT8, "1")
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own classes share no base but Exception
        brief = " ".join(str(error).split())[:120]
        raise UserError(f"{path}: must be an ONNX model that can be run (got {brief}); write it again") from None


def has_vnni() -> bool:
    """Return whether this x86 processor has VNNI: it adds int8 products in 32 bits. False if unknown."""
    try:
        text = CPUINFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return re.search(r"^flags\s*:.*\b(avx512_vnni|avx_vnni)\b", text, re.MULTILINE) is not None


def _check_input(path: Path, session: Any, wanted: InputSpec) -> None:
    found = [(node.name, node.type, list(node.shape)) for node in session.get_inputs()]
    expected = [(wanted.name, "tensor(float)", list(wanted.shape))]
    if found != expected:
        raise UserError(f"{path}: must take {expected} (got {found}); {REBUILD_HINT}")
