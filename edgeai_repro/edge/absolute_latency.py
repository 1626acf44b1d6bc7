"""Why this machine does not judge a claim about a device or its milliseconds. No torch."""

from __future__ import annotations

import platform
from collections.abc import Sequence

from edgeai_repro.claims.schema import Claim
from edgeai_repro.devices.roofline import estimates
from edgeai_repro.devices.spec import Device
from edgeai_repro.edge.bundle import Bundle
from edgeai_repro.evidence import environment
from edgeai_repro.evidence.measurement import Measurement, Obstacle
from edgeai_repro.judge.formatting import format_interval, format_number
from edgeai_repro.networks.variants import CONVNEXT_VARIANTS

NOT_IN_BUNDLES = "executorch"  # a runtime that published claims are about
ROOFLINE_VARIANT = {"none": "fp32", "dynamic_quantization": "int8", "combined": "pruned + int8"}


def other_target(claim: Claim, named: Device | None) -> Obstacle | None:
    """Return the obstacle of a claim about another device, or about a runtime that no bundle has a file for.

    `named` is the device that EDGEAI_DEVICE names.
    """
    wanted = claim.values_of("device")
    if wanted and (named is None or named.key not in wanted):
        got = "is not set" if named is None else f"names {named.key}"
        return Obstacle("device", f"it is about {wanted[0]}, and EDGEAI_DEVICE {got}; judge it there")
    if NOT_IN_BUNDLES in claim.values_of("runtime"):
        return Obstacle("edge", "it is about ExecuTorch, and a bundle has files for ONNX Runtime only")
    return None


def not_an_edge_device(
    claim: Claim,
    rows: Sequence[Measurement],
    bundle: Bundle,
    target: float,
    named: Device | None,
    devices: Sequence[Device],
) -> Obstacle:
    """Return the obstacle of a claim on milliseconds on a machine that is no edge device.

    It reports the rows that were measured, and the roofline of the known edge devices. `named` is the device that
    EDGEAI_DEVICE names; `target` is the group sparsity of the model.
    """
    cpu = f"{environment.describe().cpu} ({platform.machine()})"
    measured = "; ".join(
        f"measured on {cpu} with {row.notes['threads']} threads: {format_interval(row.reported, 'ms')}"
        for row in rows
    )
    device = f"names {named.key}, which isn't one" if named else "isn't set"
    reasons = [
        f"absolute latency is judged on edge devices only, and EDGEAI_DEVICE {device}",
        measured,
        _roofline(claim, bundle, target, devices),
    ]
    return Obstacle("edge", "; ".join(filter(None, reasons)))


def _roofline(claim: Claim, bundle: Bundle, target: float, devices: Sequence[Device]) -> str:
    variant = ROOFLINE_VARIANT.get(claim.technique)
    edge_devices = [device for device in devices if device.kind == "edge"]
    if variant is None or not edge_devices or not bundle.manifest.is_convnext:
        return ""
    rows = estimates(
        edge_devices,
        CONVNEXT_VARIANTS[bundle.manifest.model],
        target=target,
        resolutions=(bundle.manifest.input.shape[3],),
    )
    bounds = [
        f"{row.device} at least {format_number(row.bound_ms, 'ms')}"
        + ("" if row.expected_ms is None else f", expected {format_number(row.expected_ms, 'ms')}")
        for row in rows
        if row.variant == variant
    ]
    return f"the roofline: {'; '.join(bounds)}"
