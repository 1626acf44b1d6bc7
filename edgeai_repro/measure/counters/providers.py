"""Which distribution provides a module: `thop` and `ultralytics-thop` share the module `thop`."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.metadata import Distribution, distribution, packages_distributions
from pathlib import Path


@cache
def providers(module: str) -> tuple[Distribution, ...]:
    """Return the distributions that a module was installed from.

    If several distributions list the module, the one whose files are there has overwritten the others. Several are
    returned only if the files do not tell.
    """
    named = [distribution(name) for name in dict.fromkeys(packages_distributions().get(module, ()))]
    intact = [one for one in named if _intact(one, module)] if len(named) > 1 else named
    return tuple(intact or named)


def _intact(provider: Distribution, module: str) -> bool:
    """Return whether all files of a module are as the distribution recorded them."""
    recorded = [file for file in provider.files or () if file.parts[0] == module and file.hash]
    return bool(recorded) and all(
        Path(file.locate()).exists() and _digest(file.read_binary(), file.hash.mode) == file.hash.value
        for file in recorded
        if file.hash
    )


def _digest(content: bytes, algorithm: str) -> str:
    return base64.urlsafe_b64encode(hashlib.new(algorithm, content).digest()).rstrip(b"=").decode()
