"""A contender: one model of the bundle in one runtime. Torch is imported only to run eager mode."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from typing import Literal

from edgeai_repro.claims.registry import METRICS
from edgeai_repro.claims.schema import Claim
from edgeai_repro.edge.bundle import Bundle
from edgeai_repro.edge.images import prepare
from edgeai_repro.edge.manifest import TECHNIQUE_OF_VARIANT, BundledModel
from edgeai_repro.evidence import environment
from edgeai_repro.extras import how_to_install
from edgeai_repro.measure.latency.threads import why_eager_is_not_timed

Runtime = Literal["onnxruntime", "eager"]


@dataclass(frozen=True)
class Contender:
    """One model of the bundle in one runtime, to be timed against others."""

    runtime: Runtime
    variant: BundledModel

    @property
    def technique(self) -> str:
        """The technique of the model, as claims name it."""
        return TECHNIQUE_OF_VARIANT[self.variant]

    @property
    def engine(self) -> str:
        """The runtime and its version."""
        if self.runtime == "onnxruntime":
            return f"onnxruntime {version('onnxruntime')}"
        return f"torch {version('torch')}, {environment.describe().engine}"

    def __str__(self) -> str:
        """Return its name in tables and test ids."""
        return f"{self.variant}-{self.runtime}"


def needs_timing_of(claim: Claim, contender: Contender) -> bool:
    """Return whether the verdict on a claim uses the times of a contender."""
    if METRICS[claim.metric].source != "deployed":
        return False
    pairs = {
        (claim.technique, str(_first(claim, "runtime", "onnxruntime"))),
        (str(_first(claim, "baseline")), str(_first(claim, "baseline_runtime"))),
    }
    return (contender.technique, contender.runtime) in pairs


def why_not_eager(bundle: Bundle, threads: int) -> str | None:
    """Return why torch's eager mode isn't timed here, None if it is."""
    if not bundle.manifest.is_convnext:
        return "eager mode is timed for ConvNeXts only, because a bundle holds no Python code of other networks"
    if find_spec("torch") is None:
        return f"eager mode can't be timed because torch isn't installed; {how_to_install('torch')}"
    return why_eager_is_not_timed(threads)


def eager_runner(bundle: Bundle, variant: BundledModel) -> Callable[[], object]:
    """Return a callable that runs a model of the bundle on one image in torch's eager mode.

    The model has the architecture of the bundle's and random weights, which take the same time.
    """
    import torch

    from edgeai_repro.compress.quantization import quantize
    from edgeai_repro.networks import convnext

    manifest, entry = bundle.manifest, bundle.model(variant)
    if manifest.stem_stride is None:
        raise ValueError(f"a bundle holds no code of {manifest.model}, so torch can't run it")
    model: torch.nn.Module = convnext.build(
        manifest.model,
        num_classes=manifest.num_classes,
        stem_stride=manifest.stem_stride,
        hidden_widths=entry.hidden_widths,
    )
    if variant in ("int8", "pruned-int8"):
        model = quantize(model)
    image = torch.from_numpy(prepare(bundle.probes()[:1], manifest.input))

    @torch.inference_mode()
    def run() -> object:
        return model(image)

    return run


def _first(claim: Claim, condition: str, default: str = "") -> object:
    return claim.conditions.get(condition, [default])[0]
