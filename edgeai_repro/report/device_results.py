"""Results from edge devices: the JSON of a run on a device is checked and kept with the other evidence. No torch.

A result is kept unchanged under `evidence/devices/`. What reports show of it is read from there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from edgeai_repro.checksums import sha256
from edgeai_repro.devices.fingerprint import ALIASES
from edgeai_repro.devices.roofline import estimate
from edgeai_repro.devices.spec import Device
from edgeai_repro.errors import UserError, did_you_mean
from edgeai_repro.evidence.measurement import Measurement
from edgeai_repro.evidence.store import update_checksum, verified_files
from edgeai_repro.files import write_text
from edgeai_repro.judge.rows import DECIDED
from edgeai_repro.networks.variants import CONVNEXT_VARIANTS
from edgeai_repro.report import document
from edgeai_repro.report.document import ClaimEntry, DeviceResult, Document, PaperEntry, Roofline

FOLDER = "devices"
LATENCY, ACCURACY = "latency", "accuracy"
LARGEST_SIDE = 2**13  # of an image, in pixels
SHA256 = re.compile("[0-9a-f]{64}")


def add_result(path: Path, evidence: Path, devices: Mapping[str, Device]) -> Path:
    """Check the JSON of a run on an edge device and copy it to the evidence folder; return the copy's path.

    Raises UserError if the device is unknown, emulated or not an edge device, if the times are too noisy or shorter
    than the device can reach, or if the evaluated file isn't the timed one.
    """
    run = document.read(path)
    list(_checked_results(run, path, devices))
    copy = evidence / FOLDER / f"{run.environment.device}-{sha256(path)[:8]}.json"
    write_text(copy, path.read_text(encoding="utf-8"))
    update_checksum(copy)
    return copy


def load_results(evidence: Path, devices: Mapping[str, Device]) -> list[DeviceResult]:
    """Return all results of devices. Raises UserError if a file was altered or doesn't pass the checks."""
    contents = verified_files(evidence / FOLDER)
    return [
        result
        for path, content in contents.items()
        for result in _checked_results(document.read(path, content), path, devices)
    ]


def with_device_results(run: Document, results: Sequence[DeviceResult]) -> Document:
    """Return a run's document with the results of devices added to its rooflines, each result once."""

    def extended(paper: PaperEntry, roofline: Roofline) -> Roofline:
        added = document.of_claim(results, paper.id, roofline.claim)
        kept = [result for result in roofline.measured if result not in added]
        unknown = {result.device for result in added} - roofline.devices.keys()
        names = {device: device for device in sorted(unknown)}  # the run knew only their keys
        return roofline.model_copy(update={"measured": [*kept, *added], "devices": {**roofline.devices, **names}})

    papers = [
        paper.model_copy(update={"rooflines": [extended(paper, roofline) for roofline in paper.rooflines]})
        for paper in run.papers
    ]
    return run.model_copy(update={"papers": papers})


def _checked_results(run: Document, path: Path, devices: Mapping[str, Device]) -> Iterator[DeviceResult]:
    """Yield the latencies of a run, at least one, each checked."""
    device = _edge_device(run, path, devices)
    latencies = [
        (paper.id, claim, claim.rows[claim.row])
        for paper in run.papers
        for claim in paper.claims
        if claim.metric == LATENCY and claim.verdict in DECIDED and claim.row is not None
    ]
    if not latencies:
        raise UserError(f"{path}: a latency with a verdict is missing; run again while the device is quiet")
    for paper, claim, row in latencies:
        _check_timing(row, path, device)
        yield DeviceResult(
            paper=paper,
            claim=claim.id,
            device=device.key,
            technique=claim.technique,
            row=row.model_copy(update={"source": "recorded"}),
            accuracy=_accuracy_of_same_file(run, claim, row, path),
        )


def _edge_device(run: Document, path: Path, devices: Mapping[str, Device]) -> Device:
    """Return the device of a run. Raises UserError unless it is a known edge device and a real processor."""
    key = run.environment.device
    if run.other_environments:
        machines = len(run.environments)
        raise UserError(f"{path}: must come from one machine (got {machines}, merged); give the device's own file")
    if key is None:
        raise UserError(f"{path}: the device is missing; set EDGEAI_DEVICE on the device and run again")
    if key not in devices:
        raise UserError(f"{path}: the device must be in devices.yaml (got {key!r}); {did_you_mean(key, devices)}")
    device, machine = devices[key], run.environment.machine.lower()
    if device.kind != "edge" or device.architecture != ALIASES.get(machine, machine):
        raise UserError(
            f"{path}: must come from an edge device with its own architecture (got {key!r}, {device.kind}, "
            f"{device.architecture}, run on {run.environment.machine}); run it on the device"
        )
    if run.environment.emulated:
        raise UserError(f"{path}: must come from a real processor (got an emulated one); run it on the device")
    return device


def _check_timing(row: Measurement, path: Path, device: Device) -> None:
    """Refuse a latency without its file's sha256 or its A/A control, and one that beats the device's bound."""
    if row.evidence is None or not SHA256.fullmatch(row.evidence) or row.control is None:
        raise UserError(f"{path}: the sha256 of the timed file or the A/A control is missing; run it again")
    if row.model not in CONVNEXT_VARIANTS or row.technique != "combined":
        return  # no bound is known
    target, resolution = _number(row, "target", 0.0, path), int(_number(row, "resolution", 32, path))
    if not (0 <= target < 1 and 1 <= resolution <= LARGEST_SIDE):
        raise UserError(
            f"{path}: 'target' must be a share and 'resolution' a side in pixels (got {target} and {resolution}); "
            "run it again"
        )
    bound = estimate(device, CONVNEXT_VARIANTS[row.model], resolution, "pruned + int8", target=target).bound_ms
    if row.reported.value < bound:
        raise UserError(
            f"{path}: must not be faster than {device.key} can be, {bound:.2f} ms "
            f"(got {row.reported.value:.2f} ms); check the device's key"
        )


def _number(row: Measurement, name: str, default: float, path: Path) -> float:
    """Return a number among the details of a row. Raises UserError for a word."""
    value = row.details.get(name, default)
    if isinstance(value, str):
        raise UserError(f"{path}: {name!r} of a row must be a number (got {value!r}); run it again")
    return value


def _accuracy_of_same_file(run: Document, timed: ClaimEntry, row: Measurement, path: Path) -> Measurement | None:
    """Return the accuracy measured with the timed file, or None if it wasn't measured."""
    accuracies = (
        accuracy
        for paper in run.papers
        for claim in paper.claims
        if claim.metric == ACCURACY and "edge" in claim.needs and claim.technique == timed.technique
        for accuracy in claim.rows
        if accuracy.model == row.model
    )
    accuracy = next(accuracies, None)
    if accuracy is not None and accuracy.evidence != row.evidence:
        raise UserError(
            f"{path}: must evaluate the file that it times, {row.evidence!s:.12}… "
            f"(got {accuracy.evidence!s:.12}…); run both on one bundle"
        )
    return accuracy
