"""Deployed models for a run without --bundle: a bundle with random weights, which take the same time as any."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from importlib.util import find_spec

from edgeai_repro.claims.entries import Source
from edgeai_repro.claims.schema import ClaimCase
from edgeai_repro.edge.bundle import Bundle
from edgeai_repro.edge.deployed_models import NO_BUNDLE, require_real_processor
from edgeai_repro.errors import MissingRequirement
from edgeai_repro.evidence.measurement import Measured, Obstacle
from edgeai_repro.measure.compressed_models import models_left_out
from edgeai_repro.temporary import kept_until_exit

NEEDED = ("onnx", "onnxruntime", "torch")


class TemporaryDeployedModels:
    """The source of deployed models for a run without --bundle.

    It writes a bundle when the first claim needs one, and removes it at exit. `deploy` makes the source that
    measures a bundle; `models` restricts the run. Claims about trained weights need a bundle from the user.
    """

    def __init__(self, deploy: Callable[[Bundle], Source], *, models: Sequence[str] | None = None) -> None:
        self._deploy = deploy
        self._models = models
        self._deployed: Source | None = None

    def measure(self, case: ClaimCase) -> Measured:
        """Return the rows of a claim, or the obstacle if no bundle can be made here."""
        if "weights" in case.claim.needs:
            return Measured(obstacle=Obstacle("edge", NO_BUNDLE))
        if devices := case.claim.values_of("device"):
            remedy = f"it is about {devices[0]}; write a bundle of {case.claim.models[0]}, and judge it there"
            return Measured(obstacle=Obstacle("device", remedy))
        if self._deployed is None:
            model = case.claim.models[0]
            if self._models is not None and model not in self._models:
                return Measured(obstacle=models_left_out(case.claim))
            try:
                require_real_processor()
                self._deployed = self._deploy(make_bundle(model))
            except MissingRequirement as missing:
                return Measured(obstacle=Obstacle(missing.requirement, missing.remedy))
        return self._deployed.measure(case)


@cache
def make_bundle(model: str) -> Bundle:
    """Write the bundle of a model into a folder that this process removes at exit.

    Raises MissingRequirement if the packages that it takes are not installed, as on an edge device.
    """
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise MissingRequirement(
            "edge",
            f"no bundle is given, and none can be made without {', '.join(missing)}; run `edgeai-repro bundle "
            f"{model} -o DIR` on a machine that has them, then add --bundle=DIR here",
        )
    from edgeai_repro.edge import build

    folder = kept_until_exit()
    return build.build(build.read_source(model), folder / "bundle", target=build.TARGET, test_split=False)
