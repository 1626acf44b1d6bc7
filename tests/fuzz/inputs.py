"""Strategies for the content of files: damaged bytes, documents with odd values, and texts that never end."""

from __future__ import annotations

import copy
import json
import struct
from random import Random
from typing import Any

from hypothesis import strategies as st

ODD_VALUES: list[Any] = [
    *(None, True, False, 0, 1, -1, 3, 0.5, -0.0, 1e308, -1e308, 5e-324, 2**31, 2**62, 2**63, 10**30, 10**400),
    *(float("nan"), float("inf"), float("-inf")),
    *(
        "",
        " ",
        "nan",
        "1e999",
        "8x1000000000000",
        "none",
        "ours",
        "../../etc/passwd",
        "a\0b",
        "x" * 400,
        "x" * 70_000,
    ),
    *("two\nlines", "red \x1b[31m", "\u202eturned", "half \ud800", "'''\"\"\"", "{{ 1 }}", "%s", "[b]", "é" * 200),
    *([], {}, [[]], [None], {"": {}}, {"id": []}, [{}], {"a": {"b": {"c": {}}}}, [0] * 1000, {"id": {}}),
]
ODD_BYTES = [
    b"",
    b"\0",
    b"\xff" * 8,
    b"\0" * 64,
    b"\x7f" * 4,
    b"\n",
    b"[" * 200,
    b"{" * 50,
    b"&a *a ",
    b"\xef\xbb\xbf",
    b"\x1b[",
]
ODD_INTEGERS = [0, 1, -1, 127, 255, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**48, 2**63 - 1]


def mutated(content: bytes, random: Random) -> bytes:
    """Return a content with up to six places changed; now and then with none."""
    changed = bytearray(content)
    for _ in range(random.randint(0, 6)):
        place = random.randint(0, len(changed))
        match random.randint(0, 5):
            case 0:
                changed[place:place] = random.choice(ODD_BYTES)
            case 1:
                del changed[place : place + random.randint(1, 64)]
            case 2:
                changed[place : place + 1] = bytes([random.randint(0, 255)])
            case 3:
                form = random.choice(("<B", "<H", "<I", "<Q", ">H", ">I", ">Q"))
                number = random.choice(ODD_INTEGERS) & (256 ** struct.calcsize(form) - 1)
                changed[place : place + struct.calcsize(form)] = struct.pack(form, number)
            case 4:
                changed[place:place] = changed[place : place + random.randint(1, 200)]
            case _:
                del changed[place:]
    return bytes(changed)


def damaged(seeds: list[bytes]) -> st.SearchStrategy[bytes]:
    """Return valid contents with some places changed."""
    return st.builds(mutated, st.sampled_from(seeds), st.randoms())


@st.composite
def edited(draw: st.DrawFn, documents: list[Any]) -> Any:
    """Draw one of the valid documents, with up to four of its values replaced, removed, repeated or added."""
    document = copy.deepcopy(draw(st.sampled_from(documents)))
    odd = st.sampled_from(ODD_VALUES).map(copy.deepcopy)
    for _ in range(draw(st.integers(1, 4))):
        parent, key = _place(draw, document)
        if parent is None:
            return draw(odd)
        match draw(st.integers(0, 5)):
            case 0 | 1 | 2:
                parent[key] = draw(odd)
            case 3:
                del parent[key]
            case 4 if isinstance(parent, list):
                parent += [parent[key]] * draw(st.sampled_from([1, 2, 50]))
            case _ if isinstance(parent, dict):
                parent[draw(st.sampled_from(["", "id", "x", "a\nb", "params", "nan", *parent]))] = copy.deepcopy(
                    parent[key]
                )
    return document


def _place(draw: st.DrawFn, document: Any) -> tuple[Any, Any]:
    """Draw a place of a document: a list or mapping, and the index or key in it; None for an empty document."""
    parent, key, node = None, None, document
    while isinstance(node, dict | list) and node:
        if parent is not None and draw(st.integers(0, 3)) == 0:
            break
        parent, key = node, draw(st.sampled_from(list(node) if isinstance(node, dict) else range(len(node))))
        node = parent[key]
    return parent, key


def as_json(document: Any) -> bytes:
    """Return a document as JSON, which YAML can read, too; with NaN and halves of surrogate pairs."""
    return json.dumps(document).encode()


def json_files(*documents: Any) -> st.SearchStrategy[bytes]:
    """Return JSON files: documents with odd values, and damaged ones."""
    odd = edited(list(documents)).map(as_json)
    return odd | odd | damaged([as_json(document) for document in documents]) | endless_json()


def endless_json() -> st.SearchStrategy[bytes]:
    """Return JSON that nests deep, or has long numbers and texts."""
    depth = st.sampled_from([10, 39, 41, 100, 990, 1001, 5_000, 100_000])
    nested = st.builds(
        lambda opening, n: (opening * n).encode(), st.sampled_from(["[", '{"a":', '[{"a":', '"', "[[1],"]), depth
    )
    closed = st.builds(lambda n, inner: b"[" * n + inner + b"]" * n, depth, st.sampled_from([b"", b"1", b'"]"']))
    numbers = st.builds(lambda digit, n: digit * n, st.sampled_from([b"9", b"-1", b"0.", b"1e"]), depth)
    return nested | closed | numbers


def yaml_files(*documents: Any, texts: list[str]) -> st.SearchStrategy[bytes]:
    """Return YAML files: documents with odd values, damaged ones, and texts that never end."""
    seeds = [text.encode() for text in texts]
    return edited(list(documents)).map(as_json) | damaged(seeds) | damaged([*seeds, *ODD_YAML]) | endless_yaml()


ODD_YAML = [
    text.encode()
    for text in (
        "a: !!int ''\nb: !!bool maybe\nc: !!timestamp x\nd: !!binary '*'\ne: !!set {a}\nf: !!omap [1]\n",
        "? [1, 2]\n: 3\n? {a: b}\n: c\n1: 2\nnull: x\n.nan: y\n2024-01-01: z\n!!binary aGk=: q\n",
        "a: &a [1, 2]\nb: *a\nc: {<<: {x: 1}, y: 2}\n<<: [{z: 1}, {w: 2}]\n",
        "a: 1:1:1:1\nb: 0x7f\nc: 1_000\nd: .inf\ne: 1e5\nf: 2024-13-45\ng: 0o8\nh: 12:30:45.5\n",
        "--- a\n--- b\n...\n%YAML 1.1\n",
        "a: |\n  text\nb: >-\n  folded\nc: 'single'\nd: \"double \\x1b \\u202e\"\n",
    )
]


def endless_yaml() -> st.SearchStrategy[bytes]:
    """Return YAML that nests deep or repeats without end, by brackets, indentation, aliases and merge keys."""
    depth = st.sampled_from([10, 39, 41, 100, 1_000, 10_000, 60_000])
    nested = st.builds(
        lambda opening, n, closing: (opening * n + closing * n).encode(),
        st.sampled_from(["[", "{a: ", "- ", "? ", "!!seq [", "[{", "&a [", "- - "]),
        depth,
        st.sampled_from(["", "]", "}", "1"]),
    )
    levels, width = st.sampled_from([5, 9, 20, 30]), st.sampled_from([1, 2, 9])
    aliases = st.builds(lambda n, k: chain("a{0}: &a{0} [{1}]\n", n, k), levels, width)
    merges = st.builds(lambda n, k: chain("a{0}: &a{0} {{<<: [{1}]}}\n", n, k), levels, width)
    numbers = st.builds(lambda part, n: b"a: 1" + part * n, st.sampled_from([b":1", b"9", b"_", b"e"]), depth)
    return nested | aliases | merges | numbers | st.sampled_from([b"a: &a [*a]", b"&a {a: *a}", b"a: &a {<<: *a}"])


def chain(line: str, levels: int, width: int) -> bytes:
    """Return lines each of which repeats the one before several times."""
    first = "a0: &a0 {x: 1, y: 2}\n"
    lines = (line.format(level, ", ".join([f"*a{level - 1}"] * width)) for level in range(1, levels))
    return (first + "".join(lines)).encode()
