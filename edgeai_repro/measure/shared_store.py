"""What is measured of networks, which several processes may share: each network is built by one of them."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Generic, TypeVar

from edgeai_repro.compress.techniques import Variant
from edgeai_repro.files import atomic_write
from edgeai_repro.locks import is_locked, locked

Value = TypeVar("Value")


class SharedStore(Generic[Value]):
    """The values of each network by the way in which it is compressed: in this process, or in a folder.

    The folder is that of one run, whose processes share it; its files are pickled. A network is named by its key.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._values: dict[str, dict[Variant, Value]] = {}

    def find(self, variant: Variant) -> Value | None:
        """Return a value that this process has, None if it has none. The variant's model is the network's key."""
        return self._values.get(variant.model, {}).get(variant)

    def free_first(self, keys: Mapping[str, str]) -> Iterator[str]:
        """Yield all names, each time one whose network no other process holds, if there is one.

        `keys` are the keys of the networks by name.
        """
        waiting = list(keys)
        while waiting:
            name = next((name for name in waiting if self._is_free(keys[name])), waiting[0])
            waiting.remove(name)
            yield name

    @contextmanager
    def of(self, key: str) -> Iterator[dict[Variant, Value]]:
        """Yield the values of a network, to which the block may add.

        Another process that asks for the same network waits until the block ends, and then has what it added.
        """
        values = self._values.setdefault(key, {})
        if self._folder is None:
            yield values
            return
        path = _path(self._folder, key)
        with locked(path.with_suffix(".lock")):
            if path.exists():
                values.update(pickle.loads(path.read_bytes()))
            known = len(values)
            yield values
            if len(values) > known:
                with atomic_write(path) as stream:
                    pickle.dump(values, stream)

    def _is_free(self, key: str) -> bool:
        return self._folder is None or not is_locked(_path(self._folder, key).with_suffix(".lock"))


def _path(folder: Path, key: str) -> Path:
    return folder / f"{sha256(key.encode()).hexdigest()}.pickle"
