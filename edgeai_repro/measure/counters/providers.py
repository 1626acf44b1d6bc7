"""Which distribution provides a module: `thop` and `ultralytics-thop` share the module `thop`."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.metadata import Distribution, PackagePath, distribution, packages_distributions
from importlib.util import find_spec
from pathlib import Path


@cache
def providers(module: str) -> tuple[Distribution, ...]:
    """Return the distributions that the module that would be imported was installed from.

    If several have written the same files, the one whose content is there has overwritten the others. Several are
    returned only if the files do not tell.
    """
    named = [distribution(name) for name in dict.fromkeys(packages_distributions().get(module, ()))]
    spec = find_spec(module)
    origin = Path(spec.origin).resolve() if spec and spec.origin else None
    here = [one for one in named if origin in {_path(file) for file in _files(one, module)}] or named
    intact = [one for one in here if _intact(one, module)] if len(here) > 1 else here
    return tuple(intact or here)


def _files(provider: Distribution, module: str) -> list[PackagePath]:
    return [file for file in provider.files or () if file.parts[0] == module and file.hash]


def _path(file: PackagePath) -> Path:
    return Path(file.locate()).resolve()


def _intact(provider: Distribution, module: str) -> bool:
    """Return whether all files of a module are as the distribution recorded them."""
    return all(
        _path(file).exists() and _digest(file.read_binary(), file.hash.mode) == file.hash.value
        for file in _files(provider, module)
        if file.hash
    )


def _digest(content: bytes, algorithm: str) -> str:
    return base64.urlsafe_b64encode(hashlib.new(algorithm, content).digest()).rstrip(b"=").decode()
