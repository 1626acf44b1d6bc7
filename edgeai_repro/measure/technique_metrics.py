"""The metrics of single techniques: codes and their tables, zipped files, deployed networks. No torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import cast

from edgeai_repro.claims.coding_tables import CodingTable, Stage, read_table
from edgeai_repro.claims.registry import UNCOMPRESSED
from edgeai_repro.claims.schema import Claim
from edgeai_repro.evidence.measurement import Interval, Measurement, Settings
from edgeai_repro.measure.compressed_models import ClaimNetworks
from edgeai_repro.measure.network_profiles import Profile
from edgeai_repro.measure.quantities import metric, row

STAGES: tuple[Stage, ...] = ("quantized", "huffman")
NOTES = {"quantized": "code_bytes_before_Huffman", "huffman": "code_bytes"}  # of the technique `codebook`


@metric(
    "coded_size_ratio",
    unit="×",
    better="higher",
    counter="our codec",
    has_actual=True,
    conditions=("stage", "stored"),
    values={"stage": STAGES, "stored": ("file", "code")},
    techniques=["codebook"],
)
def coded_size_ratio(networks: ClaimNetworks, claim: Claim, model: str) -> Iterator[Measurement]:
    """How many times smaller a coded network is: reported by the code, actual by what is stored, file or code."""
    for settings, conditions in claim.variants_for(model):
        dense = networks.profile(model, conditions=conditions)
        coded = networks.profile(model, claim.technique, settings, conditions)
        by_code = dense.state_dict_bytes / int(coded.notes[NOTES[str(conditions["stage"])]])
        by_file = dense.state_dict_bytes / coded.state_dict_bytes
        actual = by_file if conditions["stored"] == "file" else by_code
        yield row(claim, networks, model, by_code, actual, settings, conditions, coded)


@metric(
    "printed_size_ratio",
    unit="×",
    better="higher",
    counter="the paper's Total row",
    has_actual=True,
    conditions=("stage",),
    values={"stage": STAGES},
    techniques=["codebook"],
)
def printed_size_ratio(networks: ClaimNetworks, claim: Claim, model: str) -> Iterator[Measurement]:
    """How many times smaller a network is: reported by the Total row of its table, actual by its file."""
    for settings, conditions in claim.variants_for(model):
        dense = networks.profile(model, conditions=conditions)
        coded = networks.profile(model, claim.technique, settings, conditions)
        printed = read_table(str(settings["table"])).total.size_ratio(cast(Stage, conditions["stage"]))
        by_file = dense.state_dict_bytes / coded.state_dict_bytes
        yield row(claim, networks, model, printed, by_file, settings, conditions, coded)


@metric(
    "table_size_ratio",
    unit="×",
    better="higher",
    conditions=("table", "stage"),
    values={"stage": STAGES},
    techniques=[UNCOMPRESSED],
)
def table_size_ratio(networks: ClaimNetworks, claim: Claim, model: str) -> Iterator[Measurement]:
    """How many times smaller than fp32 the rows of a paper's table add up to; nothing is built."""
    return _of_table(claim, model, lambda table, stage: table.size_ratio(stage))


@metric("table_weights_ratio", unit="×", better="higher", conditions=("table",), techniques=[UNCOMPRESSED])
def table_weights_ratio(networks: ClaimNetworks, claim: Claim, model: str) -> Iterator[Measurement]:
    """How many times fewer weights the rows of a paper's table keep; nothing is built."""
    return _of_table(claim, model, lambda table, _: table.weights / table.kept)


@metric("table_weight_bits", unit="bits", better="lower", conditions=("table",), techniques=[UNCOMPRESSED])
def table_weight_bits(networks: ClaimNetworks, claim: Claim, model: str) -> Iterator[Measurement]:
    """Mean bits of a kept weight by the rows of a paper's table, without its position's; nothing is built."""
    return _of_table(claim, model, lambda table, _: table.mean_bits)


@metric(
    "zipped_size_ratio",
    unit="×",
    better="higher",
    counter="zip",
    has_actual=True,
    conditions=("stored",),
    values={"stored": ("file", "zip")},
)
def zipped_size_ratio(networks: ClaimNetworks, claim: Claim, model: str) -> Iterator[Measurement]:
    """How many times smaller a network is than the uncompressed one: reported zipped, actual as it is stored.

    Both are bytes of the tensors, without the container of a framework; both networks are zipped, or neither.
    """
    from edgeai_repro.compress.techniques import apply
    from edgeai_repro.measure import size

    for settings, conditions in claim.variants_for(model):
        network = networks.with_values(model, conditions=conditions)
        dense, compressed = network.model, apply(network.model, claim.technique, settings, inputs=network.inputs)
        zipped = size.zipped_bytes(dense) / size.zipped_bytes(compressed)
        plain = size.tensor_bytes(dense) / size.tensor_bytes(compressed)
        yield _row(claim, model, settings, conditions, zipped, plain if conditions["stored"] == "file" else zipped)


@metric("deployed_params", unit="M", better="lower", counter="parameters() of the training graph", has_actual=True)
def deployed_params(networks: ClaimNetworks, claim: Claim, model: str) -> Iterator[Measurement]:
    """Millions of parameters: reported of the network as it is created, actual of the deployed one."""
    return _deployed(
        networks, claim, model, lambda network: network.reported.parameters, lambda n: n.actual.parameters, 1e6
    )


@metric("deployed_macs", unit="G", better="lower", counter="thop on the training graph", has_actual=True)
def deployed_macs(networks: ClaimNetworks, claim: Claim, model: str) -> Iterator[Measurement]:
    """Billions of multiply-accumulates: reported of the network as it is created, actual of the deployed one."""
    return _deployed(networks, claim, model, lambda network: network.reported.macs, lambda n: n.actual.macs, 1e9)


@metric("output_difference", unit="of the output", better="lower")
def output_difference(networks: ClaimNetworks, claim: Claim, model: str) -> Iterator[Measurement]:
    """Largest difference of the outputs that a technique makes, over the largest output; BatchNorm at random."""
    import torch

    from edgeai_repro.compress.techniques import apply
    from edgeai_repro.networks.convnext import random_images
    from edgeai_repro.networks.initial import draw_norms

    for settings, conditions in claim.variants_for(model):
        network = networks.with_values(model, conditions=conditions)
        draw_norms(network.model)
        inputs = network.inputs or (random_images(2, int(conditions["resolution"])),)
        compressed = apply(network.model, claim.technique, settings, inputs=inputs)
        with torch.inference_mode():
            expected, outputs = network.model(*inputs), compressed(*inputs)
        difference = float((outputs - expected).abs().max() / expected.abs().max())
        yield _row(claim, model, settings, conditions, difference)


def _of_table(claim: Claim, model: str, quantity: Callable[[CodingTable, Stage], float]) -> Iterator[Measurement]:
    for settings, conditions in claim.variants_for(model):
        table = read_table(str(conditions["table"]))
        stage = cast(Stage, conditions.get("stage", "quantized"))
        yield _row(claim, model, settings, conditions, quantity(table, stage))


def _deployed(
    networks: ClaimNetworks,
    claim: Claim,
    model: str,
    reported: Callable[[Profile], float],
    actual: Callable[[Profile], float],
    unit: float,
) -> Iterator[Measurement]:
    for settings, conditions in claim.variants_for(model):
        created = networks.profile(model, conditions=conditions)
        deployed = networks.profile(model, claim.technique, settings, conditions)
        before, after = reported(created) / unit, actual(deployed) / unit
        yield row(claim, networks, model, before, after, settings, conditions, deployed)


def _row(
    claim: Claim,
    model: str,
    settings: Settings,
    conditions: Settings,
    reported: float,
    actual: float | None = None,
) -> Measurement:
    """Return the row of what no profile holds."""
    return Measurement(
        model=model,
        technique=claim.technique,
        settings=dict(settings),
        conditions=dict(conditions),
        reported=Interval.exact(reported),
        actual=None if actual is None else Interval.exact(actual),
    )
