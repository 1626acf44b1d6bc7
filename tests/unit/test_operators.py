"""The rule of each operator gives the same products as torch's formulas or a closed form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from edgeai_repro.measure.counting.known import NO_PRODUCTS
from edgeai_repro.measure.counting.operators import RULES
from edgeai_repro.measure.counting.products import Call
from edgeai_repro.measure.counts import actual
from tests.support.unusual import Apply

META = torch.device("meta")


def of(*shape: int) -> Tensor:
    """Return a tensor without values."""
    return torch.empty(shape, device=META)


def function(call: Callable[..., Any]) -> Apply:
    """Return a network that calls a function of its inputs."""
    return Apply(lambda self, *inputs: call(*inputs))


NETWORKS: dict[str, tuple[nn.Module, tuple[Tensor, ...]]] = {
    "conv1d": (nn.Conv1d(4, 6, 3, 2, groups=2, device=META), (of(2, 4, 17),)),
    "conv2d": (nn.Conv2d(4, 6, (3, 1), dilation=2, padding=1, device=META), (of(2, 4, 9, 8),)),
    "depthwise conv2d": (nn.Conv2d(4, 8, 3, groups=4, device=META), (of(1, 4, 9, 9),)),
    "conv3d": (nn.Conv3d(4, 6, 3, device=META), (of(1, 4, 5, 6, 7),)),
    "transposed conv1d": (nn.ConvTranspose1d(4, 6, 3, 2, device=META), (of(1, 4, 9),)),
    "transposed conv2d": (nn.ConvTranspose2d(4, 6, 3, 2, groups=2, device=META), (of(1, 4, 5, 6),)),
    "transposed conv3d": (nn.ConvTranspose3d(4, 6, 2, device=META), (of(2, 4, 5, 6, 3),)),
    "linear": (nn.Linear(8, 3, device=META), (of(2, 5, 8),)),
    "addmm": (function(torch.addmm), (of(4), of(5, 8), of(8, 4))),
    "bmm": (function(torch.bmm), (of(3, 5, 8), of(3, 8, 4))),
    "baddbmm": (function(torch.baddbmm), (of(3, 5, 4), of(3, 5, 8), of(3, 8, 4))),
    "matmul of many dimensions": (function(torch.matmul), (of(2, 3, 5, 8), of(3, 8, 4))),
    "einsum": (function(lambda a, b: torch.einsum("bhid,bhjd->bhij", a, b)), (of(2, 3, 5, 8), of(2, 3, 7, 8))),
    "tensordot": (function(lambda a, b: torch.tensordot(a, b, dims=2)), (of(2, 5, 8), of(5, 8, 3))),
    "attention": (
        function(functional.scaled_dot_product_attention),
        (of(2, 3, 5, 8), of(2, 3, 7, 8), of(2, 3, 7, 4)),
    ),
    "attention in heads": (nn.MultiheadAttention(8, 2, device=META), (of(5, 2, 8), of(7, 2, 8), of(7, 2, 8))),
    "decoder layer": (nn.TransformerDecoderLayer(8, 2, 16, device=META), (of(5, 2, 8), of(7, 2, 8))),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_products_equal_half_of_torchs_operations(name: str) -> None:
    """FlopCounterMode counts two operations per product."""
    network, inputs = NETWORKS[name]
    with FlopCounterMode(display=False) as counter:
        network.eval()(*inputs)

    counts = actual(network, inputs=inputs)
    assert counts.macs == counter.get_total_flops() / 2 > 0
    assert counts.parameters == sum(parameter.numel() for parameter in network.parameters())
    assert counts.uncounted == ()


SINGLE = {
    "mv": (function(torch.mv), (of(5, 8), of(8)), 40),
    "addmv": (function(torch.addmv), (of(5), of(5, 8), of(8)), 40),
    "dot": (function(torch.dot), (of(8), of(8)), 8),
    "vdot": (function(torch.vdot), (of(8), of(8)), 8),
    "addbmm": (function(torch.addbmm), (of(5, 4), of(3, 5, 8), of(3, 8, 4)), 3 * 5 * 8 * 4),
    "conv_tbc": (
        function(torch.conv_tbc),
        (torch.ones(7, 2, 4), torch.ones(3, 4, 6), torch.ones(6)),
        5 * 2 * 3 * 24,
    ),
    "affine grid": (
        function(lambda t: functional.affine_grid(t, [2, 3, 4, 5], align_corners=False)),
        (torch.ones(2, 2, 3),),
        40 * 6,
    ),
    "int8 product": (function(torch._int_mm), tuple(torch.ones(8, 8, dtype=torch.int8) for _ in range(2)), 512),
    "product of two images": (function(lambda x: x * x), (of(3, 3),), 0),
}


@pytest.mark.parametrize("name", SINGLE)
def test_operators_without_a_formula_in_torch_have_a_closed_form(name: str) -> None:
    """All are products of activations."""
    network, inputs, macs = SINGLE[name]
    counts = actual(network, inputs=inputs)

    assert (counts.macs, counts.activation_macs, counts.uncounted) == (macs, macs, ())


FOREIGN = {  # operators of other devices, which do not run here
    "aten::cudnn_convolution": ({"self": of(2, 4, 9, 9), "weight": of(6, 4, 3, 3)}, of(2, 6, 7, 7), 2 * 49 * 216),
    "aten::cudnn_convolution_transpose": (
        {"self": of(2, 4, 5, 5), "weight": of(4, 6, 3, 3)},
        of(2, 6, 7, 7),
        2 * 25 * 216,
    ),
    "aten::_cudnn_rnn": (
        {"input": of(5, 2, 8), "weight": [of(16, 8), of(16, 4), of(16), of(16)]},
        None,
        5 * 2 * (16 * 8 + 16 * 4),
    ),
    "aten::_scaled_dot_product_cudnn_attention": (
        {"query": of(2, 4, 5, 8), "key": of(2, 2, 7, 8), "value": of(2, 2, 7, 6)},
        None,
        2 * 4 * 5 * 7 * (8 + 6),
    ),
    "aten::_flash_attention_forward": (
        {"query": of(2, 5, 4, 8), "key": of(2, 7, 4, 8), "value": of(2, 7, 4, 8), "cum_seq_q": None}
        | {"cum_seq_k": None, "max_q": 5, "max_k": 7},
        None,
        2 * 4 * 5 * 7 * 16,
    ),
    "aten::_weight_int4pack_mm": ({"self": of(5, 64), "mat2": of(8, 1, 32, 4)}, of(5, 32), 5 * 64 * 32),
    "onednn::qlinear_pointwise": ({"qx": of(2, 5, 8), "qw": of(8, 4)}, of(2, 5, 4), 2 * 5 * 32),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_operators_of_other_devices_have_a_closed_form(name: str) -> None:
    """Their rules need only the shapes of arguments and output."""
    arguments, output, macs = FOREIGN[name]

    assert sum(product.macs for product in RULES[name](Call(arguments, output))) == macs  # type: ignore[union-attr]


def test_each_operator_for_which_torch_has_a_formula_has_a_rule() -> None:
    """Those of training are left out."""
    names = {packet._qualified_op_name for packet in flop_registry if hasattr(packet, "_qualified_op_name")}

    assert {name for name in names if "backward" not in name} <= RULES.keys()


def test_no_operator_has_a_rule_and_no_products() -> None:
    """The two tables are disjoint."""
    assert not RULES.keys() & NO_PRODUCTS
