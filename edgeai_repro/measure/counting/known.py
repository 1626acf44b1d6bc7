"""Operators that are known not to multiply and accumulate, by convention: their work is no MAC.

Elementwise operators have no sum of products; torch tags most of them `pointwise`. Norms, pooling, resampling,
lookups and softmax are left out by every paper that counts MACs. Everything else that has no rule is unknown.
"""

from __future__ import annotations

import torch

_NAMES = {
    "aten": """
        abs_ celu copysign_ elu eq_ floor_divide floor_divide_ gcd_ ge_ gelu gelu_ gt_ hardshrink hardsigmoid
        hardswish hardswish_ hardtanh heaviside_ lcm_ le_ leaky_relu lt_ mish mish_ ne_ relu softplus softshrink
        xlogy_

        _ctc_loss binary_cross_entropy binary_cross_entropy_with_logits huber_loss mse_loss multi_margin_loss
        multilabel_margin_loss_forward nll_loss2d_forward nll_loss_forward smooth_l1_loss soft_margin_loss

        __ilshift__ __irshift__ __lshift__ __rshift__ _add_relu _add_relu_ _conj_physical _log_softmax
        _masked_scale _masked_softmax _prelu_kernel _safe_softmax _softmax _sparse_log_softmax
        _sparse_softmax _thnn_fused_gru_cell _thnn_fused_lstm_cell _transform_bias_rescale_qkv
        _weight_norm_interface addr addr_ glu linalg_cross log_softmax softmax log_sigmoid_forward
        rrelu_with_noise rrelu_with_noise_ complex polar rsub threshold_

        _batch_norm_no_update _batch_norm_with_update _native_batch_norm_legit
        _native_batch_norm_legit_no_training _native_batch_norm_legit_functional batch_norm_elemt
        batch_norm_stats cudnn_batch_norm miopen_batch_norm native_batch_norm native_group_norm
        native_layer_norm native_norm norm linalg_vector_norm linalg__powsum renorm renorm_ _fused_rms_norm
        quantized_batch_norm

        _adaptive_avg_pool2d _adaptive_avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d
        adaptive_avg_pool3d adaptive_max_pool2d adaptive_max_pool3d avg_pool1d avg_pool2d avg_pool3d
        fractional_max_pool2d fractional_max_pool3d max_pool2d_with_indices max_pool3d_with_indices
        max_unpool2d max_unpool3d mkldnn_adaptive_avg_pool2d mkldnn_max_pool2d mkldnn_max_pool3d
        quantized_max_pool1d quantized_max_pool2d quantized_max_pool3d

        _upsample_bicubic2d_aa _upsample_bilinear2d_aa _upsample_lanczos2d_aa _upsample_nearest_exact1d
        _upsample_nearest_exact2d _upsample_nearest_exact3d _grid_sampler_2d_cpu_fallback cudnn_grid_sampler
        grid_sampler_2d grid_sampler_3d upsample_bicubic2d upsample_bilinear2d upsample_linear1d
        upsample_nearest1d upsample_nearest2d upsample_nearest3d upsample_trilinear3d

        _embedding_bag _embedding_bag_forward_only embedding embedding_renorm_ _index_put_impl_
        _unsafe_index _unsafe_index_put _unsafe_masked_index _unsafe_masked_index_put_accumulate bincount
        bucketize count_nonzero gather histc index index_add index_add_ index_copy index_copy_ index_fill
        index_fill_ index_put index_put_ index_reduce index_reduce_ index_select isin masked_fill
        masked_fill_ masked_scatter masked_scatter_ masked_select nonzero nonzero_static put put_ scatter
        scatter_ scatter_add scatter_add_ scatter_reduce scatter_reduce_ searchsorted segment_reduce take
        where

        _aminmax _cummax_helper _cummin_helper _logcumsumexp _unique _unique2 all allclose amax amin aminmax
        any argmax argmin cummax cummin cumprod cumprod_ cumsum cumsum_ equal kthvalue logcumsumexp
        logsumexp max mean median min mode nanmedian nansum prod sort std std_mean sum topk trace
        unique_consecutive unique_dim unique_dim_consecutive var var_mean _sparse_sum _is_all_true
        _is_any_true is_same_size isinf isnan

        _chunk_cat _coalesce _coalesced_ _lazy_clone _mkldnn_reshape _mkldnn_transpose _pack_padded_sequence
        _reshape_copy _resize_output_ _stack _to_copy _to_dense _to_sparse _to_sparse_bsc _to_sparse_bsr
        _to_sparse_csc _to_sparse_csr _unsafe_view as_strided_ as_strided_scatter block_diag cat
        channel_shuffle clone col2im constant_pad_nd copy copy_ detach_ diag_embed diagonal_scatter fill
        fill_ flip im2col lift lift_fresh lift_fresh_copy mkldnn_reorder_conv2d_weight
        mkldnn_reorder_conv3d_weight narrow_copy pixel_shuffle pixel_unshuffle reflection_pad1d
        reflection_pad2d reflection_pad3d repeat repeat_interleave replication_pad1d replication_pad2d
        replication_pad3d resize_ resize_as_ roll rot90 select_scatter set_ shallow_copy_data_ slice_scatter
        split_copy split_with_sizes_copy squeeze_ stack t_ to_mkldnn transpose_ tril tril_ triu triu_
        unbind_copy unsafe_split unsafe_split_with_sizes unsqueeze_ zero_ _pin_memory to_padded_tensor
        swapdims_ swapaxes_ _sparse_mask_projection sparse_mask

        _local_scalar_dense _nested_from_padded _nested_tensor_from_mask
        _nested_tensor_from_mask_left_aligned _nested_tensor_from_tensor_list _nested_tensor_size
        _nested_tensor_softmax_with_shape _nested_tensor_strides _nested_tensor_storage_offsets
        _nested_get_lengths _nested_get_offsets _jagged_to_padded_dense_forward
        _padded_dense_to_jagged_forward _fused_sdp_choice _fill_mem_eff_dropout_mask_ _assert_async
        _assert_scalar _assert_tensor_metadata _functional_assert_async _has_same_storage_numel _nnz _dimI
        _dimV is_coalesced is_pinned is_set_to record_stream sym_constrain_range
        sym_constrain_range_for_size dense_dim sparse_dim _validate_compressed_sparse_indices _print

        arange bernoulli bernoulli_ empty empty_like empty_permuted empty_strided empty_quantized
        _empty_affine_quantized _efficientzerotensor _empty_per_channel_affine_quantized exponential_ eye
        full full_like hamming_window hann_window linspace logspace multinomial native_dropout
        _fused_dropout new_empty new_empty_strided new_full new_ones new_zeros normal normal_
        normal_functional ones ones_like poisson rand rand_like randint randint_like randn randn_like
        random_ randperm range scalar_tensor sparse_coo_tensor _sparse_coo_tensor_with_dims
        _sparse_coo_tensor_with_dims_and_tensors _sparse_compressed_tensor_with_dims
        sparse_compressed_tensor tril_indices triu_indices uniform_ zeros zeros_like

        _make_per_channel_quantized_tensor _make_per_tensor_quantized_tensor dequantize
        _fake_quantize_learnable_per_channel_affine _fake_quantize_learnable_per_tensor_affine
        _fake_quantize_per_tensor_affine_cachemask_tensor_qparams _fused_moving_avg_obs_fq_helper
        fake_quantize_per_channel_affine_cachemask fake_quantize_per_tensor_affine_cachemask int_repr
        q_per_channel_axis q_per_channel_scales q_per_channel_zero_points q_scale q_zero_point qscheme
        quantize_per_channel quantize_per_tensor quantize_per_tensor_dynamic _convert_weight_to_int4pack
        _convert_weight_to_int4pack_for_cpu _dyn_quant_pack_4bit_weight""",
    "quantized": """
        add add_relu add_scalar add_scalar_relu batch_norm batch_norm1d batch_norm1d_relu batch_norm2d
        batch_norm2d_relu batch_norm3d batch_norm3d_relu batch_norm_relu cat cat_relu celu clamp dropout elu
        embedding_4bit embedding_bag_2bit_rowwise_offsets embedding_bag_4bit
        embedding_bag_4bit_rowwise_offsets embedding_bag_byte embedding_bag_byte_rowwise_offsets
        embedding_byte group_norm hardswish instance_norm layer_norm leaky_relu max_pool1d max_pool2d mul
        mul_relu mul_scalar mul_scalar_relu prelu relu6 sigmoid softmax threshold""",
    "onednn": """
        qadd qadd_relu qbatch_norm2d qmul""",
    "quantized_decomposed": """
        quantize_per_tensor dequantize_per_tensor quantize_per_channel dequantize_per_channel choose_qparams
        choose_qparams_symmetric choose_qparams_per_token quantize_per_token dequantize_per_token
        fake_quant_per_channel convert_element_type quantize_per_channel_group dequantize_per_channel_group
        choose_qparams_per_token_asymmetric""",
    "torchao": """
        choose_qparams_affine quantize_affine dequantize_affine""",
    "torchvision": """
        nms roi_align roi_pool ps_roi_align ps_roi_pool""",
    "prim": """
        device layout""",
    "profiler": """
        _record_function_enter _record_function_enter_new _record_function_exit""",
}
NO_PRODUCTS = frozenset(f"{space}::{name}" for space, names in _NAMES.items() for name in names.split())


def has_no_products(operator: torch._ops.OpOverload) -> bool:
    """Return True if the operator is a view, works element by element, or is in the list."""
    return operator.is_view or torch.Tag.pointwise in operator.tags or name_of(operator) in NO_PRODUCTS


def name_of(operator: torch._ops.OpOverload) -> str:
    """Return the name of an operator without that of its overload, for example `aten::mm`."""
    return str(operator._schema.name)
