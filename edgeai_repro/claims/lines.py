"""The lines on which the claims of a file begin, by the marks of the YAML loader."""

from __future__ import annotations

from pathlib import Path

import yaml

from edgeai_repro.files import read_yaml_nodes


def claim_lines(path: Path) -> dict[str, int]:
    """Return the line of each claim of a claims file by the claim's id; the first line is 1.

    A claim whose id comes from a merge key (`<<`) is left out. Raises UserError if the file can't be read.
    """
    claims = _value(read_yaml_nodes(path), "claims")
    entries = claims.value if isinstance(claims, yaml.SequenceNode) else []
    ids = {entry: _value(entry, "id") for entry in entries}
    return {name.value: entry.start_mark.line + 1 for entry, name in ids.items() if name is not None}


def _value(node: yaml.Node | None, key: str) -> yaml.Node | None:
    """Return the node of a key's value in a mapping, None if it has no such key."""
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    return next((value for name, value in pairs if name.value == key), None)
