"""The JSON schema of claims files, by which editors check them and complete names, settings and conditions.

Names are suggested, not required, because a user may register others. The values of settings and conditions are
those that `claims check` accepts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from edgeai_repro import limits
from edgeai_repro.claims.entries import Metric, Technique
from edgeai_repro.claims.registry import METRICS, TECHNIQUES, UNCOMPRESSED
from edgeai_repro.claims.schema import Paper
from edgeai_repro.claims.values import MEANINGS, RANGES, VALUES
from edgeai_repro.devices.spec import DevicesFile
from edgeai_repro.errors import UserError
from edgeai_repro.evidence.measurement import Setting
from edgeai_repro.files import is_file, read_json, read_text
from edgeai_repro.networks.names import known_names
from edgeai_repro.networks.variants import CIFAR_NETWORKS, CONVNEXT_VARIANTS, TIMM_PREFIX

Schema = dict[str, Any]
SCHEMA = "schema.json"  # its name in a claims folder
WRITTEN_BY = "$comment"  # the key with the version that wrote the schema
_NAMED = re.compile(r"^#\s*yaml-language-server:\s*\$schema=(\S+)")
_VALUE: Schema = {"type": ["boolean", "number", "string"]}
_NETWORK: Schema = {"$ref": "#/$defs/NetworkName"}


def json_schema(version: str) -> str:
    """Return the JSON schema of the files of a claims folder, as kept in `claims/schema.json`.

    `version` is that of this package, which the schema names.
    """
    schema = TypeAdapter(Paper | DevicesFile).json_schema()
    definitions = schema["$defs"]
    metrics, techniques = ([entries[name] for name in sorted(entries)] for entries in (METRICS, TECHNIQUES))
    names = sorted({name for entry in (*metrics, *techniques) for name in (*entry.needed, *entry.optional)})
    definitions |= {_definition(name): _values(name, VALUES.get(name)) for name in names}
    definitions["NetworkName"] = _network_name()
    claim = definitions["Claim"]
    keys = claim["properties"]
    keys["metric"] = _suggested({metric.name: metric.description for metric in metrics})
    described = {technique.name: technique.description for technique in techniques}
    keys["technique"] = _suggested({UNCOMPRESSED: "the network is not compressed", **described})
    for key in ("models", "also_shown"):
        keys[key]["items"] = _NETWORK
    for key in ("against", "without"):
        keys[key]["anyOf"] = [_NETWORK, {"type": "null"}]
    claim["allOf"] = [
        *_given("technique", "settings", techniques),
        *_given("metric", "conditions", metrics),
    ]
    definitions["Choice"]["properties"]["name"] = _suggested({name: MEANINGS.get(name, "") for name in names})
    conditions = {name for metric in METRICS.values() for name in (*metric.needed, *metric.optional)}
    definitions["Paper"]["properties"]["defaults"]["properties"] = {
        name: {**_value(name, VALUES.get(name)), "description": _description(name)} for name in sorted(conditions)
    }
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", WRITTEN_BY: _author(version)}
    return json.dumps({**head, **schema}, indent=2, ensure_ascii=False) + "\n"


def schema_hint(path: Path, version: str) -> str | None:
    """Return a hint if a claims file names, for editors, a schema that another version wrote than this; else None.

    Only a file is looked at, not an address.
    """
    named = _NAMED.match(read_text(path, limits.YAML_BYTES, "YAML"))
    schema = path.parent / named[1] if named else None
    if schema is None or not is_file(schema):
        return None
    try:
        content = read_json(schema)
    except UserError as error:
        return str(error)
    author, ours = content.get(WRITTEN_BY, "an older one") if isinstance(content, dict) else "", _author(version)
    if author == ours:
        return None
    got = author or "no schema"
    return f"{schema}: must be written by {ours} (got {got}); run `edgeai-repro claims schema > {schema}`"


def _author(version: str) -> str:
    return f"edgeai-repro {version}"


def _suggested(descriptions: Mapping[str, str]) -> Schema:
    """Return the schema of a name: any text, of which these are completed with their descriptions."""
    known = [
        {"const": name, "description": text} if text else {"const": name} for name, text in descriptions.items()
    ]
    return {"anyOf": [*known, {"type": "string"}]}


def _network_name() -> Schema:
    """Return the schema of a network's name. timm's 1,400 names are not listed, but what they begin with is."""
    names = sorted({*(known_names("torchvision") or ()), *CONVNEXT_VARIANTS, *CIFAR_NETWORKS})
    forms = {
        f"^{TIMM_PREFIX}": ("a network of timm", f"{TIMM_PREFIX}mobilenetv3_large_100"),
        r"\.py:\w+$": ("a function of a file that returns the network", "networks/mine.py:build"),
    }
    patterns = [
        {"type": "string", "pattern": pattern, "description": text, "examples": [example]}
        for pattern, (text, example) in forms.items()
    ]
    return {"anyOf": [{"enum": names}, *patterns, {"type": "string", "description": "a name under 'networks'"}]}


def _given(key: str, values: str, entries: Iterable[Metric | Technique]) -> Iterator[Schema]:
    """Yield what may stand under `values` if `key` names an entry, one rule for all entries that take the same."""
    taking: dict[str, tuple[Schema, list[str]]] = {}
    for entry in entries:
        own = entry.values if isinstance(entry, Metric) else {}
        taken = {
            name: _values(name, own[name]) if name in own else {"$ref": f"#/$defs/{_definition(name)}"}
            for name in (*entry.needed, *entry.optional)
        }
        taking.setdefault(json.dumps(taken, sort_keys=True), (taken, []))[1].append(entry.name)
    for taken, names in taking.values():
        if taken:
            named = {"properties": {key: {"enum": names}}, "required": [key]}
            yield {"if": named, "then": {"properties": {values: {"properties": taken}}}}


def _definition(name: str) -> str:
    return f"values_of_{name}"


def _values(name: str, known: Iterable[Setting] | None) -> Schema:
    """Return the schema of a setting or condition: one value, or a list of them."""
    value = _value(name, known)
    several = {"type": "array", "minItems": 1, "items": value}
    return {"anyOf": [value, several], "description": _description(name)}


def _value(name: str, known: Iterable[Setting] | None) -> Schema:
    if known is not None:
        return {"enum": list(known)}
    return RANGES[name].json_schema if name in RANGES else dict(_VALUE)


def _description(name: str) -> str:
    return "; ".join(filter(None, [MEANINGS.get(name), RANGES[name].text if name in RANGES else ""]))
