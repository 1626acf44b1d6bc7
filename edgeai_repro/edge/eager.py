"""The models of a bundle in torch's eager mode, to be timed beside the deployed ones."""

from __future__ import annotations

from collections.abc import Callable

import torch

from edgeai_repro.compress.quantization import quantize
from edgeai_repro.edge.bundle import Bundle, Variant
from edgeai_repro.edge.runtime import prepare
from edgeai_repro.networks import convnext


def call(bundle: Bundle, variant: Variant) -> Callable[[], object]:
    """Return what answers one image by a model of the same layers and widths, int8 by torch's own quantization.

    Its weights are random: time doesn't depend on them, and a bundle holds none that torch could read.
    """
    manifest, described = bundle.manifest, bundle.model(variant)
    model: torch.nn.Module = convnext.build(
        manifest.model,
        num_classes=manifest.num_classes,
        stem_stride=manifest.stem_stride,
        hidden_widths=described.hidden_widths,
    )
    if variant in ("int8", "pruned-int8"):
        model = quantize(model)
    image = torch.from_numpy(prepare(bundle.probes()[:1], manifest.input))

    @torch.inference_mode()
    def answer() -> object:
        return model(image)

    return answer
