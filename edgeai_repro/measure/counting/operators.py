"""The rules: which products each operator computes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch

from edgeai_repro.measure.counting import fused
from edgeai_repro.measure.counting.products import (
    Call,
    PackedProduct,
    Product,
    Rule,
    positions,
    rows,
    stored_size,
)

INT4, INT8 = 4, 8


def _matrices(first: str, second: str) -> Rule:
    """Return the rule of a product of matrices, batches of them or vectors, given the names of the arguments."""

    def rule(call: Call) -> Iterator[Product]:
        one, other = call.arguments[first], call.arguments[second]
        if other.layout != torch.strided and one.layout == torch.strided:
            macs = stored_size(other) * (one.shape[-2] if one.ndim > 1 else 1)
        else:
            macs = stored_size(one) * (other.shape[-1] if other.ndim > 1 else 1)
        yield Product("matrix", macs, one, other)

    return rule


def _linear(call: Call) -> Iterator[Product]:
    features, weight = (
        call.first_of("input", "self", "X", "x", "qx"),
        call.first_of("weight", "ORI_W", "W", "w", "qw"),
    )
    yield Product("matrix", stored_size(weight) * rows(features), features, weight)


def _kernel_layout(second: str, bits: int | None) -> Rule:
    """Return the rule of a linear layer whose weight has a kernel's layout; `bits` are those of the features."""

    def rule(call: Call) -> Iterator[Product]:
        features, weight = call.first_of("self", "inp"), call.arguments[second]
        macs = features.numel() * call.output.shape[-1]
        pair = (bits or features.dtype.itemsize * 8, INT4)
        yield Product("matrix", macs, features, weight, bits=pair, opaque=True)

    return rule


def _int8_weight(call: Call) -> Iterator[Product]:
    features, weight = call.arguments["self"], call.arguments["mat2"]
    yield Product("matrix", weight.numel() * rows(features), features, weight)


def _convolution(*, transposed: bool | None = None) -> Rule:
    """Return the rule of a convolution; if `transposed` is None, the argument of that name tells it."""

    def rule(call: Call) -> Iterator[Product]:
        features, weight = call.first_of("input", "self", "X", "qx"), call.first_of("weight", "W", "qw")
        backwards = call.arguments.get("transposed", False) if transposed is None else transposed
        times = positions(features if backwards else call.output)
        yield Product("conv", stored_size(weight) * times, features, weight)

    return rule


def _time_first_convolution(call: Call) -> Iterator[Product]:
    features, weight = call.arguments["self"], call.arguments["weight"]
    yield Product("conv", weight.numel() * rows(call.output), features, weight)


def _packed_convolution(*, transposed: bool = False) -> Rule:
    def rule(call: Call) -> Iterator[PackedProduct]:
        features = call.arguments["qx"]
        for weights in call.packed():
            yield PackedProduct("conv", positions(features if transposed else call.output), features, weights)

    return rule


def _packed_linear(call: Call) -> Iterator[PackedProduct]:
    features = call.first_of("X", "input")
    for weights in call.packed():
        yield PackedProduct("matrix", rows(features), features, weights)


def _affine_grid(call: Call) -> Iterator[Product]:
    """Yield the product of the positions of a grid with the matrices `theta`, (N, 2, 3) or (N, 3, 4)."""
    theta = call.arguments["theta"]
    yield Product("matrix", call.output.numel() * theta.shape[-1], call.output, theta)


def _table(rules: Mapping[Rule, str]) -> dict[str, Rule]:
    return {name: rule for rule, names in rules.items() for name in names.split()}


RULES: dict[str, Rule] = _table(
    {
        _convolution(): "aten::convolution aten::_convolution aten::convolution_overrideable",
        _convolution(transposed=False): """
            aten::mkldnn_convolution aten::cudnn_convolution aten::cudnn_convolution_relu
            aten::cudnn_convolution_add_relu aten::miopen_convolution aten::miopen_convolution_relu
            aten::miopen_convolution_add_relu aten::miopen_depthwise_convolution aten::_slow_conv2d_forward
            aten::slow_conv3d_forward aten::slow_conv_dilated2d aten::slow_conv_dilated3d aten::conv_depthwise3d
            aten::_conv_depthwise2d aten::_nnpack_spatial_convolution aten::_mps_convolution
            mkldnn::_convolution_pointwise mkldnn::_convolution_pointwise_ torchvision::deform_conv2d
            onednn::qconv_pointwise onednn::qconv1d_pointwise onednn::qconv2d_pointwise
            onednn::qconv3d_pointwise""",
        _convolution(transposed=True): """
            aten::cudnn_convolution_transpose aten::miopen_convolution_transpose aten::slow_conv_transpose2d
            aten::slow_conv_transpose3d mkldnn::_convolution_transpose_pointwise""",
        _time_first_convolution: "aten::conv_tbc",
        _packed_convolution(): " ".join(
            f"{space}::conv{ending}"
            for space in ("quantized", "_quantized")
            for ending in (
                f"{n}d{extra}" for n in (1, 2, 3) for extra in ("", "_relu", "_dynamic", "_add", "_add_relu")
            )
        ),
        _packed_convolution(transposed=True): " ".join(
            f"{space}::conv_transpose{n}d{extra}"
            for space in ("quantized", "_quantized")
            for n in (1, 2, 3)
            for extra in ("", "_dynamic")
        ),
        _matrices("self", "mat2"): """
            aten::mm aten::bmm aten::_int_mm aten::_scaled_mm aten::_scaled_mm_v2""",
        _matrices("self", "other"): "aten::vdot aten::_sparse_mm_reduce_impl",
        _matrices("self", "vec"): "aten::mv",
        _matrices("self", "tensor"): "aten::dot",
        _matrices("mat", "vec"): "aten::addmv aten::addmv_",
        _matrices("mat1", "mat2"): """
            aten::addmm aten::addmm_ aten::_addmm_activation aten::_sparse_addmm aten::hspmm aten::sspaddmm""",
        _matrices("batch1", "batch2"): "aten::baddbmm aten::baddbmm_ aten::addbmm aten::addbmm_",
        _matrices("qa", "qb"): "quantized::matmul",
        _linear: """
            aten::linear aten::mkldnn_linear mkldnn::_linear_pointwise mkl::_mkl_linear onednn::qlinear_pointwise
            onednn::linear_dynamic_fp16 onednn::linear_relu_dynamic_fp16
            quantized::linear_dynamic_fp16_unpacked_weight""",
        _packed_linear: """
            quantized::linear quantized::linear_relu quantized::linear_leaky_relu quantized::linear_tanh
            quantized::linear_dynamic quantized::linear_relu_dynamic quantized::linear_dynamic_fp16
            quantized::linear_relu_dynamic_fp16 quantized::linear_with_input_q_dq_qweight_dq_output_fp32
            quantized::linear_with_input_q_dq_qweight_dq_relu_output_fp32
            quantized::quantized_lstm_cell_dynamic quantized::quantized_gru_cell_dynamic
            quantized::quantized_rnn_relu_cell_dynamic quantized::quantized_rnn_tanh_cell_dynamic
            _quantized::linear _quantized::linear_dynamic""",
        _int8_weight: "aten::_weight_int8pack_mm",
        _kernel_layout("mat2", None): """
            aten::_weight_int4pack_mm aten::_weight_int4pack_mm_for_cpu quantized::int4mm_packed_weight_cpu
            aten::_weight_int4pack_mm_with_scales_and_zeros""",
        _kernel_layout("packed_weights", INT8): "aten::_dyn_quant_matmul_4bit",
        fused.recurrent_layer: "aten::mkldnn_rnn_layer",
        fused.recurrent_network: """
            aten::_cudnn_rnn aten::miopen_rnn aten::_lstm_mps aten::quantized_lstm aten::quantized_gru""",
        fused.scaled_dot_product: """
            aten::_scaled_dot_product_flash_attention aten::_scaled_dot_product_flash_attention_for_cpu
            aten::_scaled_dot_product_efficient_attention aten::_scaled_dot_product_cudnn_attention
            aten::_scaled_dot_product_fused_attention_overrideable
            aten::_scaled_dot_product_attention_math_for_mps aten::_triton_scaled_dot_attention
            flex_attention""",
        fused.attention_by_torch: "aten::_flash_attention_forward aten::_efficient_attention_forward",
        fused.self_attention: "aten::_native_multi_head_attention aten::_triton_multi_head_attention",
        fused.encoder_layer: "aten::_transformer_encoder_layer_fwd",
        fused.trilinear: "aten::_trilinear",
        _affine_grid: "aten::affine_grid_generator",
    }
)
