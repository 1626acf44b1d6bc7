"""Our counts of a fixed sample of torchvision's and timm's networks, one per family; `make sweep` has all."""

from __future__ import annotations

import warnings

import pytest

from tests.support.zoo import Network, networks
from tests.support.zoo_counts import compare

TORCHVISION = """
    alexnet efficientnet_b0 fcn_resnet50 googlenet inception_v3 lraspp_mobilenet_v3_large mnasnet0_5 mobilenet_v2
    mobilenet_v3_small quantized_resnet18 r3d_18 resnet18 shufflenet_v2_x0_5 squeezenet1_0
    ssdlite320_mobilenet_v3_large swin_t vgg11 vit_b_32"""
TIMM = """
    convit_tiny convmixer_768_32 convnext_atto darknet17 deit_tiny_patch16_224 dla34 dpn48b edgenext_xx_small
    efficientformer_l1 efficientvim_m1 efficientvit_b0 fasternet_t0 ghostnet_050 halonet26t inception_next_atto
    lcnetv2_base legacy_xception levit_128s mixer_s32_224 nfnet_f0 pit_ti_224 pvt_v2_b0 repghostnet_050 repvgg_a0
    resnest14d resnet10t resnetv2_18 res2net50d rexnet_100 selecsls42 shvit_s1 skresnet18 starnet_s1
    swiftformer_xs test_maxvit test_vit tiny_vit_5m_224 vgg11 visformer_tiny vovnet39a xception41
    xcit_nano_12_p8_224"""
SAMPLE = [f"torchvision:{name}" for name in TORCHVISION.split()] + [f"timm:{name}" for name in TIMM.split()]


@pytest.fixture(scope="module")
def known() -> dict[str, Network]:
    """Every network by its id."""
    return {network.id: network for network in networks()}


def test_the_sample_has_sixty_networks_of_as_many_families(known: dict[str, Network]) -> None:
    """A family is a module of its library."""
    families = {(known[name].library, known[name].family) for name in SAMPLE}

    assert len(families) == len(SAMPLE) == 60


@pytest.mark.parametrize("name", SAMPLE)
def test_counts_agree_with_torchs(name: str, known: dict[str, Network]) -> None:
    """MACs to 0.1 %, parameters exactly; an int8 network has its float original's, at 8 × 8 bits per MAC."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # networks warn of deprecated functions of torch
        comparison = compare(known[name])

    assert comparison.outcome in ("agrees", "explained"), comparison.model_dump_json()
