"""The optional packages, by the extra that installs them, and what to do if one is missing."""

from __future__ import annotations

from edgeai_repro.errors import MissingRequirement, Requirement

EXTRAS = {
    "jinja2": "report",
    "matplotlib": "report",
    "onnx": "onnx",
    "onnxruntime": "edge",
    "only_train_once": "torch",
    "PIL": "edge",
    "psutil": "torch",
    "safetensors": "torch",
    "thop": "torch",
    "timm": "torch",
    "torch": "torch",
    "torch_pruning": "torch",
    "torchao": "torchao",
    "torchvision": "torch",
    "tqdm": "torch",
}
_REQUIREMENTS: dict[str, Requirement] = {"edge": "edge", "onnx": "edge"}


def how_to_install(extra: str) -> str:
    """Return how to install an extra, from a package index and from a clone."""
    return f"pip install 'edgeai-repro[{extra}]', or in a clone pip install -e '.[{extra}]'"


def missing_package(error: ModuleNotFoundError) -> MissingRequirement | None:
    """Return the requirement behind a failed import, None if no extra of ours has that package."""
    package = (error.name or "").partition(".")[0]
    if package not in EXTRAS:
        return None
    extra = EXTRAS[package]
    return MissingRequirement(
        _REQUIREMENTS.get(extra, "torch"), f"{package} is missing, which this needs; {how_to_install(extra)}"
    )
