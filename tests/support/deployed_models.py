"""Claims about deployed models, bundles with trained weights and test images, and what is measured with them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeai_repro.claims.schema import Claim
from edgeai_repro.devices.spec import load_devices
from edgeai_repro.edge.bundle import Bundle
from edgeai_repro.edge.deployed_models import DeployedModels
from edgeai_repro.edge.manifest import Origin
from edgeai_repro.evidence.measurement import Measured, Measurement, Obstacle
from tests.support.factories import claim
from tests.support.records import FULL_SCALE, trained_case

DEVICES = load_devices(Path(__file__).parents[2] / "claims")
PI5 = DEVICES["raspberry-pi-5"]
CLOUD = next(device for device in DEVICES.values() if device.kind == "cloud")
RECIPE: dict[str, Any] = {
    **FULL_SCALE.model_dump(exclude_defaults=True),
    "seed": 7,
    "structured": 0.8,
    "unstructured": None,
}
OVER_FP32 = {"runtime": ["onnxruntime"], "baseline": ["none"], "baseline_runtime": ["onnxruntime"]}
OVER_EAGER = {**OVER_FP32, "baseline": ["combined"], "baseline_runtime": ["eager"]}


def deployed_claim(metric: str = "latency", **fields: Any) -> Claim:
    """Return a claim about the pruned int8 model: at most 20 of the metric's unit."""
    return claim(
        **{
            "metric": metric,
            "technique": "combined",
            "models": ["convnext_atto"],
            "needs": ["edge"],
            "value": 20.0,
            "band": {"rounding": 0.0, "side": "at_most", "derivation": "for the test"},
            "settings": {"target": [0.8]} if metric != "speedup" else {},
            **fields,
        }
    )


SPEEDUP = deployed_claim("speedup", conditions=OVER_FP32)
SPEEDUP_OVER_EAGER = deployed_claim("speedup", conditions=OVER_EAGER)
ACCURACY = deployed_claim("accuracy", conditions={"runtime": "onnxruntime"}, needs=["data", "weights", "edge"])


@dataclass(frozen=True)
class BundleWithImages(Bundle):
    """A bundle whose test images are its probes, with these labels."""

    labels: NDArray[np.uint8]

    def test_split(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Return the probes and the labels."""
        return self.probes(), self.labels


def with_origin(loaded: Bundle, origin: Origin) -> Bundle:
    """Return the bundle with another origin of its weights."""
    models = {name: model.model_copy(update={"origin": origin}) for name, model in loaded.manifest.models.items()}
    return Bundle(loaded.folder, loaded.manifest.model_copy(update={"models": models}))


def with_images(loaded: Bundle, recipe: dict[str, Any] | None, right: int = 6) -> BundleWithImages:
    """Return the bundle with trained weights and test images, `right` of which pruned-int8 gets right."""
    predictions = np.array(loaded.model("pruned-int8").expected).argmax(1)
    wrong = np.arange(len(predictions)) >= right
    labels = ((predictions + wrong) % 10).astype(np.uint8)
    trained = with_origin(loaded, Origin(sha256="f" * 64, recipe=recipe))
    return BundleWithImages(trained.folder, trained.manifest, labels)


def measure(models: DeployedModels, claim: Claim) -> Measured:
    """Return what the models of a bundle measure for a claim."""
    return models.measure(trained_case(claim))


def only_row(models: DeployedModels, claim: Claim) -> Measurement:
    """Return the only row of a claim that nothing keeps from being judged."""
    measured = measure(models, claim)
    assert measured.obstacle is None, measured.obstacle
    (row,) = measured.rows
    return row


def only_obstacle(models: DeployedModels, claim: Claim) -> Obstacle:
    """Return the obstacle of a claim that has no rows."""
    measured = measure(models, claim)
    assert measured.rows == ()
    assert measured.obstacle is not None
    return measured.obstacle
