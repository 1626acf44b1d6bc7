"""Any network as the source of a bundle: a module of torch, or an ONNX file. It takes one RGB image."""

from __future__ import annotations

import copy
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from edgeai_repro.checksums import sha256
from edgeai_repro.claims.registry import UNCOMPRESSED
from edgeai_repro.data.transforms import MEAN, STD
from edgeai_repro.edge import export
from edgeai_repro.edge.manifest import Origin
from edgeai_repro.edge.model_source import ModelSource
from edgeai_repro.edge.runtime import open_session
from edgeai_repro.errors import UserError, one_line
from edgeai_repro.measure.onnx_reader import fix_input_shapes, model_inputs, read, to_graph
from edgeai_repro.networks.variants import IMAGENET_RESOLUTION

Channels = tuple[float, float, float]


@dataclass(frozen=True)
class Normalisation:
    """The mean and the standard deviation of each channel, by which a network's input is normalised."""

    mean: Channels = MEAN
    std: Channels = STD

    @classmethod
    def of(cls, network: nn.Module) -> Normalisation:
        """Return timm's for a network of timm, else ImageNet's."""
        config: Any = getattr(network, "default_cfg", None)
        if config and "mean" in config and "std" in config:
            return cls(tuple(config["mean"]), tuple(config["std"]))
        return cls()


def network_source(
    name: str,
    network: nn.Module,
    *,
    resolution: int,
    inputs: tuple[Any, ...] | None = None,
    normalisation: Normalisation | None = None,
    trained: bool = False,
) -> ModelSource:
    """Return a network in eval mode as a source. `inputs` are those that its function returns with it.

    `trained` tells whether its weights mean something; then the source has their sha256.

    Raises UserError unless it takes one RGB image, float32 (1, 3, resolution, resolution), and returns its logits
    (1, classes), the same each time.
    """
    if inputs is not None and (len(inputs) != 1 or not _is_image(inputs[0])):
        raise UserError(f"{name!r} must take one RGB image (got {_shapes(inputs)}); write a module that does")
    if inputs is not None:
        resolution = int(inputs[0].shape[-1])
    normalisation = normalisation or Normalisation.of(network)
    return ModelSource(
        name=name,
        network=network.eval(),
        technique=UNCOMPRESSED,
        settings={},
        resolution=resolution,
        origin=Origin(sha256=_sha256(network) if trained else None),
        classes=_classes(name, network.eval(), resolution),
        mean=normalisation.mean,
        std=normalisation.std,
    )


def onnx_source(
    path: Path, *, resolution: int | None = None, normalisation: Normalisation | None = None
) -> ModelSource:
    """Return an ONNX file as a source. Free sides of its image are `resolution` (None: 224).

    Raises UserError unless it takes one RGB image and returns logits.
    """
    model = read(path)
    images = model_inputs(model.graph)
    if len(images) != 1 or len(images[0].type.tensor_type.shape.dim) != 4:
        raise UserError(f"{path}: must take one RGB image (got {len(images)} inputs); export such a part of it")
    for dim in images[0].type.tensor_type.shape.dim[2:]:
        dim.dim_value = dim.dim_value or resolution or IMAGENET_RESOLUTION
    side = fix_input_shapes(model.graph)
    network = OnnxNetwork(model, path)
    return network_source(
        path.name,
        network,
        resolution=side,
        normalisation=normalisation,
        trained=True,
    )


class OnnxNetwork(nn.Module):
    """An ONNX file as a module of torch: ONNX Runtime runs its graph as it is, without optimizations."""

    def __init__(self, model: onnx.ModelProto, path: Path) -> None:
        super().__init__()
        self.model = _renamed(model, path)
        self.sha256 = sha256(path)
        self._session = open_session(path, 1, content=self.model.SerializeToString())

    @property
    def parameter_count(self) -> int:
        """The number of learned values."""
        return sum(array.size for array in to_graph(self.model).weights().values())

    def forward(self, image: Tensor) -> Any:
        """Return the logits, or all outputs if there are several."""
        outputs = self._session.run(None, {export.INPUT: np.ascontiguousarray(image.numpy())})
        tensors = tuple(torch.from_numpy(np.asarray(output)) for output in outputs)
        return tensors[0] if len(tensors) == 1 else tensors


def _renamed(model: onnx.ModelProto, path: Path) -> onnx.ModelProto:
    """Return a model whose only input and first output have the names of a bundle."""
    renamed = copy.deepcopy(model)
    names = {model_inputs(model.graph)[0].name: export.INPUT, model.graph.output[0].name: export.OUTPUT}
    taken = {name for node in model.graph.node for name in (*node.input, *node.output)} - names.keys()
    if taken & set(names.values()):
        raise UserError(f"{path}: must not use the names {export.INPUT} and {export.OUTPUT} inside; rename them")
    for node in renamed.graph.node:
        for values in (node.input, node.output):
            for index, name in enumerate(values):
                values[index] = names.get(name, name)
    for value in (*renamed.graph.input, *renamed.graph.output):
        value.name = names.get(value.name, value.name)
    return renamed


@torch.inference_mode()
def _classes(name: str, network: nn.Module, resolution: int) -> int:
    """Run the network on one image, and return the number of its logits."""
    image = torch.zeros(1, 3, resolution, resolution)
    try:
        output = network(image)
    except Exception as error:  # a stranger's network may raise anything
        raise UserError(
            f"{name!r} must take one RGB image of {resolution} pixels (got {one_line(error)[:160]}); "
            "write a module that does, or give another --resolution"
        ) from error
    if not isinstance(output, Tensor) or output.ndim != 2 or len(output) != 1:
        raise UserError(
            f"{name!r} must return logits of the shape (1, classes) (got {_shapes(output)}); "
            "write a module that does"
        )
    return int(output.shape[1])


def _sha256(network: nn.Module) -> str:
    """Return the sha256 of a network's tensors, or of the ONNX file that it is."""
    if isinstance(network, OnnxNetwork):
        return network.sha256
    digest = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _is_image(value: Any) -> bool:
    return isinstance(value, Tensor) and value.ndim == 4 and value.shape[:2] == (1, 3) and value.is_floating_point()


def _shapes(value: Any) -> str:
    """Return the shape of a tensor, or those of the tensors in a tuple, in words."""
    if isinstance(value, Tensor):
        return f"shape {tuple(value.shape)}"
    if isinstance(value, tuple | list):
        return f"{len(value)} tensors: {', '.join(_shapes(one) for one in value)}"
    return type(value).__name__
