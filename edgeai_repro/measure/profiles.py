"""The profiles of networks, which several processes may share: each network is built by one of them."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from edgeai_repro.compress.techniques import Variant
from edgeai_repro.evidence.measurement import Settings
from edgeai_repro.files import atomic_write, is_locked, locked

if TYPE_CHECKING:
    from edgeai_repro.measure.counts import Counts, Reported


@dataclass(frozen=True)
class Profile:
    """The numbers of one network: what common tools report, and what is actually stored and computed.

    `state_dict_bytes` is the size of the saved file. `seconds` is the time that compressing and measuring took.
    `notes` are the technique's about the network.
    """

    reported: Reported
    actual: Counts
    state_dict_bytes: int
    deflated_bytes: int | None
    seconds: float
    notes: Settings


Profiles = MutableMapping[Variant, Profile]


class ProfileStore:
    """The profiles of each network: in this process, or in a folder that several processes of a run share.

    The folder must belong to the run, because its files are pickled.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._profiles: dict[str, dict[Variant, Profile]] = {}

    def find(self, variant: Variant) -> Profile | None:
        """Return a profile that this process has, None if it has none."""
        return self._profiles.get(variant.model, {}).get(variant)

    def free_first(self, models: Iterable[str]) -> Iterator[str]:
        """Yield all models, each time one whose network no other process is building, if there is one."""
        waiting = list(models)
        while waiting:
            model = next((model for model in waiting if self._is_free(model)), waiting[0])
            waiting.remove(model)
            yield model

    def _is_free(self, model: str) -> bool:
        return self._folder is None or not is_locked(_lock(self._folder / quote(model, safe="")))

    @contextmanager
    def of(self, model: str) -> Iterator[Profiles]:
        """Yield the profiles of a network, to which the block may add.

        Another process that asks for the same network waits until the block ends, and then has what it added.
        """
        profiles = self._profiles.setdefault(model, {})
        if self._folder is None:
            yield profiles
            return
        path = self._folder / quote(model, safe="")
        with locked(_lock(path)):
            if path.exists():
                profiles.update(pickle.loads(path.read_bytes()))
            known = len(profiles)
            yield profiles
            if len(profiles) > known:
                with atomic_write(path) as stream:
                    pickle.dump(profiles, stream)


def _lock(path: Path) -> Path:
    return path.with_name(f"{path.name}.lock")
