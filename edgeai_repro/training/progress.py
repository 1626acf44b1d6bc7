"""How far a training run is. No torch."""

from __future__ import annotations

from collections.abc import Callable

from edgeai_repro.evidence.measurement import Frozen


class Progress(Frozen):
    """The state of a run after `epoch` of its `epochs`.

    `top1` is the accuracy on the test images in percent, None if unknown; so is `seconds_left`.
    """

    epoch: int
    epochs: int
    top1: float | None
    seconds_left: float | None


Report = Callable[[Progress], None]
