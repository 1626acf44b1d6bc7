"""Deep Compression's code can be decoded to the bit, and its bytes follow from closed forms."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from edgeai_repro.claims.coding_tables import CodingTable, LayerRow, Total, read_table
from edgeai_repro.compress.codebook import coded_size, compress, from_table, uniform
from edgeai_repro.compress.coded_layer import Floats, LayerCoding, decode, decoded, encode, shared_values
from edgeai_repro.compress.techniques import apply, notes_on
from edgeai_repro.compress.unstructured import prune
from edgeai_repro.errors import UserError

HEADER = 18  # bytes: two counts of 8, two numbers of bits of 1


def _weights(density: float, size: int = 100_000, seed: int = 0) -> Floats:
    """Return normal weights of which only the largest are not 0, as magnitude pruning leaves them."""
    weights = np.random.default_rng(seed).standard_normal(size).astype(np.float32)
    kept = round(size * density)
    weights[np.argsort(-abs(weights), kind="stable")[kept:]] = 0.0
    return weights


def _network() -> nn.Sequential:
    """Return a convolution, a BatchNorm and a Linear layer with normal weights."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8 * 36, 10))
    for parameter in model.parameters():
        parameter.detach().normal_()
    return model.eval()


@pytest.mark.parametrize(("density", "bits", "index_bits"), [(0.09, 5, 4), (0.5, 8, 1), (1.0, 2, 3), (0.001, 1, 8)])
def test_code_is_decoded_to_the_bit(density: float, bits: int, index_bits: int) -> None:
    """The decoder gets the shared values at the kept positions; the bytes are as many as counted."""
    weights = _weights(density, 5_000)
    layer = encode(weights, LayerCoding(density, bits, index_bits))
    stream = layer.to_bytes()

    assert len(stream) == layer.huffman_bytes
    assert decode(stream).tobytes() == decoded(layer).tobytes()
    assert ((decoded(layer) != 0) == (weights != 0)).all()


def test_a_changed_byte_changes_the_decoded_weights() -> None:
    """This is the control: the decoder reads the stream, not the layer."""
    layer = encode(_weights(0.1, 5_000), LayerCoding(0.1, 5, 4))
    stream = bytearray(layer.to_bytes())
    stream[HEADER] ^= 0xFF  # in the first shared value

    assert decode(bytes(stream)).tobytes() != decoded(layer).tobytes()


def test_weights_become_the_nearest_shared_value() -> None:
    """Compared with the distances to all of them."""
    weights = _weights(0.3, 3_000)
    layer = encode(weights, LayerCoding(0.3, 4, 4))
    kept = weights[weights != 0]

    nearest = layer.values[np.abs(kept[:, None] - layer.values).argmin(1)]
    np.testing.assert_allclose(decoded(layer)[weights != 0], nearest, rtol=1e-6)


def test_shared_values_are_those_of_scipys_k_means() -> None:
    """scipy starts from the same equally spaced values and takes as many steps."""
    from scipy.cluster.vq import kmeans2

    kept = np.random.default_rng(0).standard_normal(4_000).astype(np.float32)
    start = np.linspace(kept.min(), kept.max(), 15)[:, None]
    expected, _ = kmeans2(kept[:, None].astype(np.float64), start, iter=20, minit="matrix", missing="raise")

    np.testing.assert_allclose(shared_values(kept, 15), expected[:, 0], rtol=1e-5)


@pytest.mark.parametrize(("density", "index_bits"), [(0.09, 4), (0.04, 5), (0.25, 4)])
def test_fillers_are_as_many_as_random_positions_need(density: float, index_bits: int) -> None:
    """q / (1 - q) for each kept weight, where q = (1 - density)^(2^bits) is the chance that a gap is longer."""
    layer = encode(_weights(density, 200_000), LayerCoding(density, 5, index_bits))
    kept = np.count_nonzero(layer.codes)

    q = (1 - density) ** 2**index_bits
    assert (len(layer.codes) - kept) / kept == pytest.approx(q / (1 - q), rel=0.03, abs=1e-3)
    assert layer.quantized_bytes == HEADER + 31 * 4 + -(-len(layer.codes) * (5 + index_bits) // 8)


def test_network_is_decoded_and_its_other_values_are_kept() -> None:
    """Each layer has its density and at most 2^bits - 1 values; biases and BatchNorm are untouched and fp32."""
    network = _network()
    before = copy.deepcopy(network.state_dict())
    result = compress(network, uniform(0.25, conv_bits=3, linear_bits=2, index_bits=4))
    conv, linear = result[0].weight.detach(), result[3].weight.detach()

    assert [int((weight != 0).sum()) for weight in (conv, linear)] == [54, 720]
    # One of the convolution's 7 values has no weight next to it.
    assert [len(weight.unique()) - 1 for weight in (conv, linear)] == [6, 3]
    others = [name for name in before if name not in ("0.weight", "3.weight")]
    assert all(torch.equal(result.state_dict()[name], before[name]) for name in others)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert coded_size(result).dense == sum(4 * tensor.numel() for tensor in before.values())
    assert (coded_size(result).weights, coded_size(result).kept) == (216 + 2880, 54 + 720)


def test_size_is_that_of_the_layers_and_of_the_other_values() -> None:
    """Each layer is encoded by itself here."""
    network = _network()
    result = compress(network, uniform(0.25, 3, 2, 4))
    layers = [
        encode(
            prune(network[index], 0.75).get_parameter("weight").detach().flatten().numpy(),
            LayerCoding(0.25, bits, 4),
        )
        for index, bits in ((0, 3), (3, 2))
    ]
    others = 4 * (8 + 8 * 4 + 1 + 10)  # two biases, four vectors of BatchNorm and its count of batches

    assert coded_size(result).huffman == others + sum(len(layer.to_bytes()) for layer in layers)
    assert coded_size(result).quantized == others + sum(layer.quantized_bytes for layer in layers)


def test_layers_that_share_a_weight_are_coded_once() -> None:
    """They go on sharing it."""
    network = nn.Sequential(nn.Linear(20, 20), nn.Linear(20, 20))
    network[1].weight = network[0].weight
    result = compress(network, uniform(0.5, 4, 4, 4))

    assert result[0].weight is result[1].weight
    assert coded_size(result).weights == 400


def test_technique_notes_the_bytes_of_the_code() -> None:
    """Before and after Huffman coding."""
    result = apply(_network(), "codebook", {"density": 0.2, "linear_bits": 4})
    size = coded_size(result)

    assert notes_on(result, "codebook") == {"code_bytes": size.huffman, "code_bytes_before_Huffman": size.quantized}


TOTAL = Total(quantized=3.7, huffman=2.88)


def _row(name: str, weights: int, kept: float, bits: int) -> LayerRow:
    sizes = {"huffman_bits": 3.0, "index_bits": 4, "huffman_index_bits": 3.0, "quantized": 10.0, "huffman": 5.0}
    return LayerRow.model_validate({"name": name, "weights": weights, "kept": kept, "bits": bits, **sizes})


def test_table_gives_each_layer_its_density_and_bits() -> None:
    """The rows are in the order of the layers."""
    table = CodingTable(layers=[_row("conv", 216, 50, 4), _row("fc", 2880, 10, 2)], total=TOTAL)
    network = _network()
    result = compress(network, from_table(network, table))

    assert [int((result[index].weight != 0).sum()) for index in (0, 3)] == [108, 288]
    assert len(result[3].weight.unique()) - 1 == 3


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        ([("conv", 216)], r"must have a row for each layer of the network, 2 \(got 1\)"),
        ([("conv", 216), ("fc", 2881)], r"must fit the network: fc must have 2880 weights \(got 2881\)"),
    ],
)
def test_table_of_another_network_is_refused(rows: list[tuple[str, int]], complaint: str) -> None:
    """The error names the row."""
    table = CodingTable(layers=[_row(name, weights, 10, 4) for name, weights in rows], total=TOTAL)

    with pytest.raises(UserError, match=complaint):
        from_table(_network(), table)


def test_rows_of_the_paper_add_up_as_in_the_fact_sheet() -> None:
    """Ratios of both tables, before and after Huffman coding, and the mean bits of a weight; computed elsewhere."""
    alexnet, vgg = read_table("han2016-alexnet"), read_table("han2016-vgg16")

    sums = [
        (table.weights, table.weights / table.kept, table.size_ratio("quantized"), table.size_ratio("huffman"))
        for table in (alexnet, vgg)
    ]
    assert sums[0] == pytest.approx((60_954_656, 8.97, 26.95, 34.49), abs=0.005)
    assert sums[1] == pytest.approx((138_344_128, 13.14, 33.34, 52.69), abs=0.005)
    assert (alexnet.mean_bits, vgg.mean_bits) == pytest.approx((5.38, 6.37), abs=0.005)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({}, r"'codebook' must be given one of table, density \(got none\)"),
        ({"table": "han2016-alexnet", "density": 0.1}, r"one of table, density \(got table, density\)"),
        ({"density": 0.0}, r"'density' must be a share in \(0, 1\] \(got 0.0\)"),
        ({"density": 0.1, "index_bits": 9}, r"'index_bits' must be from 1 to 8 \(got 9\)"),
        ({"table": "han2016-alexnt"}, r"must be known \(got 'han2016-alexnt'\); did you mean 'han2016-alexnet'\?"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, float], complaint: str) -> None:
    """One line says what is expected."""
    with pytest.raises(UserError, match=complaint):
        apply(_network(), "codebook", settings)


def test_network_without_weights_to_code_is_refused() -> None:
    """There is nothing to compress."""
    with pytest.raises(UserError, match=r"must be given a network with convolutions or Linear layers \(got none\)"):
        apply(nn.Sequential(nn.ReLU()), "codebook", {"density": 0.1})
