"""The options of a run of the claims, checked."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from edgeai_repro.claims.schema import Need
from edgeai_repro.claims.shards import Shard
from edgeai_repro.edge.bundle import Bundle
from edgeai_repro.edge.bundle import load as load_bundle
from edgeai_repro.errors import UserError, did_you_mean
from edgeai_repro.files import check_writable
from edgeai_repro.report import files

NEEDS: tuple[str, ...] = get_args(Need)


@dataclass(frozen=True)
class Options:
    """The options of a run: its restrictions, its requirements, and the files for its results.

    `models` and `papers` are those that the run is restricted to (None: all). A claim that lacks one of `required`
    fails instead of being skipped. `shard` is the part of the claims that this machine judges (None: all). With
    `recorded_only`, nothing is measured live. A `quick` run only counts uncompressed networks while it has time
    left. `command` is the command line.
    """

    models: tuple[str, ...] | None = None
    papers: tuple[str, ...] | None = None
    shard: Shard | None = None
    required: frozenset[str] = frozenset()
    json_path: Path | None = None
    report_folder: Path | None = None
    bundle: Bundle | None = None
    threads: int | None = None
    recorded_only: bool = False
    quick: bool = False
    command: str = ""

    @classmethod
    def parse(
        cls,
        *,
        models: str | None = None,
        papers: str | None = None,
        shard: str | None = None,
        required: str | None = None,
        json_path: Path | None = None,
        report_folder: Path | None = None,
        bundle: Path | None = None,
        threads: int | None = None,
        recorded_only: bool = False,
        quick: bool = False,
        command: str = "",
    ) -> Options:
        """Check the options of the command line; names are separated by commas. Raises UserError, in one line."""
        if json_path is not None:
            check_writable(json_path)
        if report_folder is not None:
            files.check(report_folder)
        if threads is not None and threads < 1:
            raise UserError(f"--edge-threads must be 1 or more (got {threads}); drop it for one per usable core")
        excluded = {"--bundle": bundle, "--edge-threads": threads, "--claims-require": required}
        for option in [name for name, value in excluded.items() if value is not None and quick]:
            raise UserError(f"--claims-quick must be given without {option}: it only counts; leave one of them out")
        return cls(
            models=None if models is None else _names("--claims-models", models),
            papers=None if papers is None else _names("--claims-papers", papers),
            shard=None if shard is None else Shard.parse(shard),
            required=frozenset() if required is None else frozenset(_names("--claims-require", required, NEEDS)),
            json_path=json_path,
            report_folder=report_folder,
            bundle=None if bundle is None else load_bundle(bundle),
            threads=threads,
            recorded_only=recorded_only,
            quick=quick,
            command=command,
        )

    def as_given(self) -> dict[str, str]:
        """Return the options that were given, by their names on the command line."""
        values = {
            "--claims-models": self.models,
            "--claims-papers": self.papers,
            "--claims-shard": self.shard,
            "--claims-require": sorted(self.required),
            "--claims-json": self.json_path,
            "--claims-report": self.report_folder,
            "--bundle": None if self.bundle is None else self.bundle.folder,
            "--edge-threads": self.threads,
            "--claims-quick": self.quick,
        }
        return {
            name: ",".join(value) if isinstance(value, tuple | list) else str(value)
            for name, value in values.items()
            if value
        }


def _names(option: str, text: str, known: Collection[str] | None = None) -> tuple[str, ...]:
    """Return the names in a text; without `known`, they are checked later."""
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if not names:
        known_names = f"known are {', '.join(known)}" if known else "add a name"
        raise UserError(f"{option} must name at least one (got {text!r}); {known_names}")
    if known is not None:
        check_names(option, names, known)
    return names


def check_names(option: str, names: Iterable[str], known: Collection[str]) -> None:
    """Raise UserError for the first of the names that is not known."""
    for name in names:
        if name not in known:
            raise UserError(f"{option} must name what is known (got {name!r}); {did_you_mean(name, known)}")
