"""Checks that a user's function made a network with as many classes as the claim says."""

from __future__ import annotations

from contextlib import suppress

from torch import Tensor

from edgeai_repro.errors import UserError
from edgeai_repro.measure.counting.run import example_inputs, ready_to_run
from edgeai_repro.networks.resolve import Network, describe
from edgeai_repro.networks.specs import Function


def check_classes(spec: Function, network: Network, classes: int, resolution: int) -> None:
    """Raise UserError if a network returns logits, (N, K), of another number of classes.

    Any other output, such as a map or a list of boxes, says nothing of classes. A network that does not run is left
    to the counter, which says why.
    """
    outputs: object = None
    with suppress(Exception), ready_to_run(network.model):
        outputs = network.model(*(network.inputs or example_inputs(network.model, resolution)))
    if isinstance(outputs, Tensor) and outputs.ndim == 2 and outputs.shape[1] != classes:
        raise UserError(
            f"{describe(spec)} must return a network of {classes} classes (got {outputs.shape[1]} outputs); give "
            "the function an argument 'classes', or the network its own 'classes' under 'networks'"
        )
