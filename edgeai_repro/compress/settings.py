"""The settings of the techniques: what they mean, and their ranges. No torch."""

from __future__ import annotations

from edgeai_repro.claims.values import allow_range, explain

PRUNING_SETTINGS = ("target_of", "importance")
# The paper's bits of a convolution's code, of a Linear layer's, and of a gap (Han et al. 2016, Table 4).
CODE_BITS = {"conv_bits": 8, "linear_bits": 5, "index_bits": 4}

allow_range("sparsity", "rate", low=0, high=1, high_is_open=True)
allow_range("target", low=0, high=1, low_is_open=True, high_is_open=True)
allow_range("density", low=0, high=1, low_is_open=True)
allow_range(*CODE_BITS, low=1, high=8, whole=True)
allow_range("random_images", "pixels", low=1, whole=True)
explain(
    sparsity="the share of the weights that are set to zero",
    target="the share that is pruned, of what 'target_of' names",
    target_of="groups (default), parameters or macs",
    importance="hesso, l1 or group_norm: what ranks the channels",
    plan="the name of a pruning plan under claims/training",
    widths="the filters of each convolution that stay, as a text: 32,64,…",
    rate="the share of the filters that are removed, equal in all layers",
    ranking="l1 (default), random or largest: the filters that stay",
    retraining="none, finetuned or scratch: what followed the cut",
    random_images="the number of random images to calibrate on",
    pixels="the side of these images",
    density="the share of the weights that stay",
    conv_bits="the bits of a code of a convolution",
    linear_bits="the bits of a code of a Linear layer",
    index_bits="the bits of a gap between weights",
    table="the name of a table under claims/coding",
)
