"""Parses YAML and JSON from anyone: within the limits, and with every error as one of two kinds."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import yaml

from edgeai_repro import limits
from edgeai_repro.errors import one_line

MERGE, INT, FLOAT = (f"tag:yaml.org,2002:{name}" for name in ("merge", "int", "float"))
TOO_DEEP = f"it nests lists or mappings more than {limits.DEPTH} levels deep"
_BRACKETS = b'[]{}"'
_OTHERS = bytes(set(range(256)) - set(_BRACKETS))
_ESCAPED = re.compile(rb"\\.", re.DOTALL)
_STRING = re.compile(rb'"[^"]*"')
_HALF_OF_A_PAIR = re.compile(r"\\u[dD][89a-fA-F]")  # in JSON, of two UTF-16 code units


def parse_yaml(text: str) -> Any:
    """Return the content of a YAML text. Raises yaml.MarkedYAMLError if it is invalid, ValueError for a limit."""
    try:
        size = YamlSize()
        for event in yaml.parse(text, Loader=Loader):  # before nodes are composed, which takes recursion in C
            size.add(event)
        return yaml.load(text, Loader=Loader)
    except (yaml.MarkedYAMLError, ValueError):
        raise
    except yaml.YAMLError as error:
        raise ValueError(str(error).partition("\n")[0]) from None
    except Exception as error:  # PyYAML's constructors raise what Python happens to: KeyError for `!!bool maybe`
        raise ValueError(one_line(error)) from None


def compose_yaml(text: str) -> yaml.Node | None:
    """Return the nodes of a YAML text, which know their lines. Raises as `parse_yaml`, which must have read it."""
    node: yaml.Node | None = yaml.compose(text, Loader=Loader)
    return node


def parse_json(text: str) -> Any:
    """Return the content of a JSON text. Raises ValueError if it is invalid or exceeds a limit.

    NaN, infinity, integers of more than 64 bits and half surrogate pairs are refused: nothing here writes them.
    """
    _check_json_size(text.encode())
    document = json.loads(text, parse_int=_integer, parse_float=_finite, parse_constant=_finite)
    if _HALF_OF_A_PAIR.search(text):
        json.dumps(document, ensure_ascii=False).encode()
    return document


def _integer(text: str) -> int:
    number = int(text) if len(text) <= limits.DIGITS else limits.INTEGER + 1
    if abs(number) > limits.INTEGER:
        raise ValueError(f"{text:.20} has more than 64 bits")
    return number


def _finite(text: str) -> float:
    number = float(text)
    if not abs(number) <= limits.LARGEST:
        raise ValueError(f"{text:.20} is not a finite number of at most {limits.LARGEST:g}")
    return number


def _check_json_size(content: bytes) -> None:
    """Raise ValueError if a JSON text nests too deep or has too many values. Other invalid texts may pass.

    Depth is that of the brackets outside strings. Values are counted by the signs that separate them, also in
    strings: the limit is far above the number of any text that is written here.
    """
    if sum(map(content.count, (b",", b"[", b"{"))) > limits.JSON_VALUES:
        raise ValueError(f"it has more than {limits.JSON_VALUES:,} values")
    brackets = _STRING.sub(b"", _ESCAPED.sub(b"", content).translate(None, _OTHERS))
    if max(accumulate(1 if bracket in b"[{" else -1 for bracket in brackets), default=0) > limits.DEPTH:
        raise ValueError(TOO_DEEP)


class Loader(yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader):  # type: ignore[misc]
    """A safe YAML loader that rejects duplicate keys and numbers without end."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Return a mapping. Raises ConstructorError for a key that occurs twice; PyYAML keeps the last one."""
        written = [key for key, _ in node.value if key.tag != MERGE]  # a key that `<<` merges may be overridden
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)  # rejects keys that can't be hashed
        seen = set()
        for key_node in written:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} twice", key_node.start_mark)
            seen.add(key)
        return mapping

    def construct_number(self, node: yaml.ScalarNode) -> int | float:
        """Return an int of 64 bits or a float. Raises ConstructorError for any other number."""
        construct = self.construct_yaml_int if node.tag == INT else self.construct_yaml_float
        number: int | float = construct(node) if len(node.value) <= limits.DIGITS else limits.INTEGER + 1
        if isinstance(number, float) and math.isfinite(number) and abs(number) > limits.LARGEST:
            raise yaml.constructor.ConstructorError(
                None, None, f"a number over {limits.LARGEST:g}", node.start_mark
            )
        if isinstance(number, int) and abs(number) > limits.INTEGER:
            raise yaml.constructor.ConstructorError(None, None, "a number of over 64 bits", node.start_mark)
        return number


for _tag in (INT, FLOAT):
    Loader.add_constructor(_tag, Loader.construct_number)


class YamlSize:
    """Counts the values and the levels of a YAML file while its events are read.

    An alias counts as what it repeats: a few lines of aliases or merge keys could stand for any number of values,
    and for any depth.
    """

    def __init__(self) -> None:
        self._open: list[_Node] = []
        self._anchored: dict[str, _Node] = {}

    def add(self, event: yaml.Event) -> None:
        """Count an event. Raises ValueError if the file nests too deep or has too many values."""
        if isinstance(event, yaml.CollectionStartEvent):
            self._open.append(_Node(event.anchor))
            if len(self._open) > limits.DEPTH:
                raise ValueError(TOO_DEEP)
        elif isinstance(event, yaml.CollectionEndEvent):
            self._close(self._open.pop())
        elif isinstance(event, yaml.ScalarEvent):
            self._close(_Node(event.anchor, levels=0))
        elif isinstance(event, yaml.AliasEvent):
            if any(node.anchor == event.anchor for node in self._open):
                raise ValueError(f"the alias *{event.anchor} stands inside what it repeats")
            if event.anchor in self._anchored:  # else PyYAML reports it with its line
                self._close(self._anchored[event.anchor])

    def _close(self, node: _Node) -> None:
        """Add a complete value to the innermost collection that is open."""
        if node.anchor is not None:
            self._anchored[node.anchor] = node
        if not self._open:
            return
        parent = self._open[-1]
        parent.values += node.values
        parent.levels = max(parent.levels, node.levels + 1)
        if parent.values > limits.VALUES:
            raise ValueError(f"it has more than {limits.VALUES:,} values, counting those that aliases repeat")
        if len(self._open) + node.levels > limits.DEPTH:
            raise ValueError(TOO_DEEP)


@dataclass
class _Node:
    """A value of a YAML file: its anchor, the number of values in it and itself, and its levels of collections."""

    anchor: str | None
    values: int = 1
    levels: int = 1
