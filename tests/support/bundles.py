"""Changes to bundles on disk, for tests of damaged ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgeai_repro.checksums import sha256
from edgeai_repro.edge import bundle
from edgeai_repro.edge.manifest import BundledModel

CONVNEXT: tuple[BundledModel, ...] = ("fp32", "int8", "pruned", "pruned-int8")  # the variants of `atto_bundle`
Change = Callable[[dict[str, Any]], object]


def change_manifest(folder: Path, change: Change) -> None:
    """Change the manifest of a bundle in place."""
    path = folder / bundle.MANIFEST
    document = json.loads(path.read_text(encoding="utf-8"))
    change(document)
    path.write_text(json.dumps(document), encoding="utf-8")


def replace_file(folder: Path, name: str, content: bytes) -> None:
    """Replace or add a file of a bundle, and list it in the manifest."""
    (folder / name).write_bytes(content)
    entry = {"sha256": sha256(folder / name), "bytes": len(content)}
    change_manifest(folder, lambda manifest: manifest["files"].update({name: entry}))


def flip_a_bit(path: Path) -> bytes:
    """Return the content of a file with one bit changed in the middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    return bytes(content)
