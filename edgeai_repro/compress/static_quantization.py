"""Post-training static quantization: int8 weights and activations, whose ranges are observed beforehand.

A network of torchvision that has a quantizable twin gives its weights to that twin (`fuse_model`, prepare,
convert). Any other is quantized in FX graph mode. Weights are symmetric with one scale per output channel;
activations have one scale per tensor. Their ranges are observed on given images. On random ones accuracy means
nothing; bytes, counts and times do.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.ao.quantization import QConfig, convert, get_default_qconfig_mapping, prepare
from torch.ao.quantization.observer import MinMaxObserver, default_per_channel_weight_observer
from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx
from torchvision.models import GoogLeNet, Inception3, MobileNetV2, MobileNetV3, ResNet, ShuffleNetV2
from torchvision.models import quantization as quantizable

from edgeai_repro.compress.torch_ao import engine, engine_set, quiet_deprecations
from edgeai_repro.errors import UserError, one_line
from edgeai_repro.networks.convnext import clone_sharing_tensors, random_images

BATCH = 4  # images per batch of calibration; more would take more memory for the same ranges
# By the class of the network, torchvision's functions that build a quantizable twin.
TWINS: dict[type[nn.Module], Sequence[Callable[..., nn.Module]]] = {
    ResNet: (
        quantizable.resnet18,
        quantizable.resnet50,
        quantizable.resnext101_32x8d,
        quantizable.resnext101_64x4d,
    ),
    MobileNetV2: (quantizable.mobilenet_v2,),
    MobileNetV3: (quantizable.mobilenet_v3_large,),
    GoogLeNet: (quantizable.googlenet,),
    Inception3: (quantizable.inception_v3,),
    ShuffleNetV2: (
        quantizable.shufflenet_v2_x0_5,
        quantizable.shufflenet_v2_x1_0,
        quantizable.shufflenet_v2_x1_5,
        quantizable.shufflenet_v2_x2_0,
    ),
}
FLOAT_LAYERS = (nn.modules.conv._ConvNd, nn.Linear, nn.MultiheadAttention)


def random_batches(images: int, pixels: int) -> list[Tensor]:
    """Return `images` random images of `pixels` × `pixels`, in batches."""
    return [random_images(min(BATCH, images - start), pixels, seed=start) for start in range(0, images, BATCH)]


def quantize(model: nn.Module, batches: Sequence[Tensor]) -> nn.Module:
    """Return `model` in int8, in eval mode, calibrated on `batches` of images, each (N, 3, H, W) and normalised.

    The engine is torch's current one. Layers that the network does not run in eval mode, such as GoogLeNet's
    auxiliary classifiers, stay as they are; FX graph mode drops them. `model` does not change. Raises UserError for
    a network that FX cannot trace or torch cannot quantize.
    """
    twin = _twin(model)
    with engine_set(None), quiet_deprecations(), _quiet_observers(), torch.no_grad():
        if twin is not None:
            return _in_eager_mode(twin, batches)
        try:
            return _in_graph_mode(clone_sharing_tensors(model).eval(), batches)
        except Exception as error:  # whatever tracing or running the user's network raises
            raise UserError(
                f"'static_quantization' must be given a network that torch.fx can trace and quantize "
                f"(got {type(model).__name__}: {one_line(error)[:120]}); give another"
            ) from error


def float_layers(model: nn.Module) -> tuple[int, int]:
    """Return how many layers with weights of a quantized network stayed fp32, and how many there are."""
    stayed = sum(isinstance(module, FLOAT_LAYERS) for module in model.modules())
    packed = sum(hasattr(module, "_packed_params") or hasattr(module, "_weight_bias") for module in _outer(model))
    return stayed, stayed + packed


def _outer(model: nn.Module) -> Iterator[nn.Module]:
    """Yield the modules except those that hold the packed weights of a Linear layer, which contain them twice."""
    return (module for module in model.modules() if type(module).__name__ != "LinearPackedParams")


def _twin(model: nn.Module) -> nn.Module | None:
    """Return torchvision's quantizable network with the tensors of `model`, None if there is none."""
    state = model.state_dict()
    shapes = {name: tensor.shape for name, tensor in state.items()}
    heads = [layer for layer in model.modules() if isinstance(layer, nn.Linear)]
    for build in TWINS.get(type(model), ()) if heads else ():
        with torch.device("meta"), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The default weight initialization of", FutureWarning)
            twin = build(weights=None, num_classes=heads[-1].out_features)
        if {name: tensor.shape for name, tensor in twin.state_dict().items()} == shapes:
            twin.load_state_dict({name: tensor.clone() for name, tensor in state.items()}, assign=True)
            return twin.eval()
    return None


def _in_eager_mode(model: nn.Module, batches: Sequence[Tensor]) -> nn.Module:
    cast(Any, model).fuse_model(is_qat=False)
    model.qconfig = _qconfig()  # type: ignore[assignment]  # how torch.ao is configured
    for layer in _layers_not_run(model, batches[0]):
        layer.qconfig = None  # type: ignore[assignment]
    prepare(model, inplace=True)  # type: ignore[no-untyped-call]
    for batch in batches:
        model(batch)
    return cast(nn.Module, convert(model, inplace=True))  # type: ignore[no-untyped-call]


def _in_graph_mode(model: nn.Module, batches: Sequence[Tensor]) -> nn.Module:
    mapping = get_default_qconfig_mapping(engine())
    mapping.set_global(_qconfig())
    prepared = prepare_fx(model, mapping, (batches[0],))
    for batch in batches:
        prepared(batch)
    return cast(nn.Module, convert_fx(prepared)).eval()


def _qconfig() -> QConfig:
    """Return the observers: extremes of activations and of each output channel's weights.

    Activations have 7 bits on x86, where 8 can overflow without VNNI. On random images the extremes are as good as
    torch's default for activations, a histogram, which takes longer.
    """
    activation = MinMaxObserver.with_args(reduce_range=engine() in ("x86", "fbgemm"))
    return QConfig(  # type: ignore[no-untyped-call]
        activation=activation, weight=default_per_channel_weight_observer
    )


def _layers_not_run(model: nn.Module, images: Tensor) -> list[nn.Module]:
    """Return the modules with parameters that the network does not call in eval mode."""
    called: set[nn.Module] = set()
    hooks = [module.register_forward_hook(lambda module, *_: called.add(module)) for module in model.modules()]
    model(images)
    for hook in hooks:
        hook.remove()
    return [module for module in model.modules() if module not in called and any(True for _ in module.parameters())]


@contextmanager
def _quiet_observers() -> Iterator[None]:
    """Silence what torch 2.15 says of its own observers: a default that will change, and reduced ranges."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Please use quant_min and quant_max", UserWarning)
        warnings.filterwarnings("ignore", "must run observer before calling calculate_qparams", UserWarning)
        yield
