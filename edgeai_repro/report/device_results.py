"""What devices contribute: a run's JSON from an edge device, checked, and kept beside the other evidence. No torch.

A result is kept as the run wrote it, whole, under `evidence/devices/`; what is shown of it is read from there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from edgeai_repro.devices.fingerprint import ALIASES
from edgeai_repro.devices.roofline import estimate
from edgeai_repro.devices.spec import Device
from edgeai_repro.errors import UserError, did_you_mean
from edgeai_repro.evidence.measurement import Measurement
from edgeai_repro.evidence.store import update_checksum, verified_files
from edgeai_repro.files import sha256, write_text
from edgeai_repro.judge.rows import DECIDED
from edgeai_repro.networks.variants import CONVNEXT_VARIANTS
from edgeai_repro.report import document
from edgeai_repro.report.document import ClaimEntry, DeviceResult, Document

FOLDER = "devices"
LATENCY, ACCURACY = "latency", "accuracy"
SHA256 = re.compile("[0-9a-f]{64}")


def add_result(path: Path, evidence: Path, devices: Mapping[str, Device]) -> Path:
    """Check the JSON of a run on an edge device, and keep it under the evidence folder; return the file.

    Raises UserError, in one line, where it isn't of a known edge device or of an emulated one, its times were too
    noisy or beyond what the device can do, or the file that was evaluated isn't the one that was timed.
    """
    found = document.read(path)
    list(_measured(found, path, devices))
    kept = evidence / FOLDER / f"{found.environment.device}-{sha256(path)[:8]}.json"
    write_text(kept, path.read_text(encoding="utf-8"))
    update_checksum(kept)
    return kept


def load_results(evidence: Path, devices: Mapping[str, Device]) -> list[DeviceResult]:
    """Return all that devices contributed. Raises UserError where a file was altered or doesn't pass the checks."""
    folder = evidence / FOLDER
    return [row for path in verified_files(folder) for row in _measured(document.read(path), path, devices)]


def _measured(found: Document, path: Path, devices: Mapping[str, Device]) -> Iterator[DeviceResult]:
    """Yield the latencies of a document, at least one, each checked."""
    device = _device(found, path, devices)
    rows = [
        (paper.id, entry, entry.rows[entry.row])
        for paper in found.papers
        for entry in paper.claims
        if entry.metric == LATENCY and entry.verdict in DECIDED and entry.row is not None
    ]
    if not rows:
        raise UserError(f"{path}: must hold a latency that was judged (got none); run it when the device is quiet")
    for paper, entry, row in rows:
        _check_timed(row, path, device)
        yield DeviceResult(
            paper=paper,
            claim=entry.id,
            device=device.key,
            technique=entry.technique,
            row=row.model_copy(update={"source": "recorded"}),
            accuracy=_accuracy(found, entry, row, path),
        )


def _device(found: Document, path: Path, devices: Mapping[str, Device]) -> Device:
    key = found.environment.device
    if key is None or key not in devices:
        hint = did_you_mean(key, devices) if key else "set EDGEAI_DEVICE on it and run again"
        raise UserError(f"{path}: must be of a device in devices.yaml (got {key!r}); {hint}")
    device, machine = devices[key], found.environment.machine.lower()
    if device.kind != "edge" or device.architecture != ALIASES.get(machine, machine):
        raise UserError(
            f"{path}: must be of an edge device on its own architecture (got {key!r}, {device.kind}, "
            f"{device.architecture}, run on {found.environment.machine}); run it on the device"
        )
    if found.environment.emulated:
        raise UserError(f"{path}: must be of a real processor (got an emulated one); run it on the device")
    return device


def _check_timed(row: Measurement, path: Path, device: Device) -> None:
    """Refuse times of no known file, and times that beat what the device can do at best."""
    if row.evidence is None or not SHA256.fullmatch(row.evidence) or row.control is None:
        raise UserError(f"{path}: must tell the file that was timed and the A/A control (got none); run it again")
    if row.model not in CONVNEXT_VARIANTS or row.technique != "combined":
        return  # for these there is no bound
    target, resolution = float(row.details.get("target", 0.0)), int(row.details.get("resolution", 32))
    bound = estimate(device, CONVNEXT_VARIANTS[row.model], resolution, "pruned + int8", target=target).bound_ms
    if row.reported.value < bound:
        raise UserError(
            f"{path}: must not be faster than {device.key} can be, {bound:.2f} ms "
            f"(got {row.reported.value:.2f} ms); check the device's key"
        )


def _accuracy(found: Document, timed: ClaimEntry, row: Measurement, path: Path) -> Measurement | None:
    """Return the accuracy that was measured of the same file; None where none was."""
    for paper in found.papers:
        for entry in paper.claims:
            if entry.metric == ACCURACY and "edge" in entry.needs and entry.technique == timed.technique:
                for other in entry.rows:
                    if other.model == row.model and other.evidence != row.evidence:
                        raise UserError(
                            f"{path}: must evaluate the file that it times, {row.evidence!s:.12}… "
                            f"(got {other.evidence!s:.12}…); run both on one bundle"
                        )
                    return other
    return None
