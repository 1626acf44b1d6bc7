"""Reading YAML and JSON, and writing files so that an interrupted run leaves none half-written."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from edgeai_repro.errors import UserError, did_you_mean

Schema = TypeVar("Schema", bound=BaseModel)
MERGE = "tag:yaml.org,2002:merge"
LONGEST = 80  # characters of a wrong value that a message repeats


class _Loader(yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader):  # type: ignore[misc]
    """PyYAML's safe loader, which here refuses what it otherwise drops silently: the first of two equal keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        written = [key for key, _ in node.value if key.tag != MERGE]  # what `<<` merges may be overridden
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)  # refuses a key that can't be hashed
        seen = set()
        for key_node in written:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} twice", key_node.start_mark)
            seen.add(key)
        return mapping


def read_yaml(path: Path) -> Any:
    """Return the document in a YAML file. Raises UserError, in one line, where it can't be read or parsed."""
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: must be a readable UTF-8 file (got {_brief(error)}); check the path") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = f", line {mark.line + 1}" if mark else ""
        raise UserError(f"{path}{line}: must be valid YAML ({error.problem}); mend that line") from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: of a date that isn't one, say
        raise UserError(f"{path}: must be valid YAML ({_brief(error)}); mend the file") from None


def read_json(path: Path) -> Any:
    """Return the document in a JSON file. Raises UserError, in one line, where it can't be read or parsed."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: must be a readable JSON file (got {_brief(error)}); check the path") from None


def parse_as(schema: type[Schema], document: Any, path: Path) -> Schema:
    """Return a document as its pydantic model. Raises UserError: file, place, rule, what came, what to do."""
    try:
        return schema.model_validate(document)
    except ValidationError as error:
        raise UserError(f"{path}: {_first_complaint(error, schema, document)}") from None


def sha256(path: Path) -> str:
    """Return the sha256 of a file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all. Raises UserError where it can't be written."""
    with atomic_write(path) as stream:
        stream.write(text.encode())


def check_writable(path: Path) -> None:
    """Raise UserError if a file couldn't be written at `path`: better before the work than after it."""
    if path.is_dir():
        raise UserError(f"{path}: must be a file's path (got a folder); add a file name")
    with contextlib.suppress(_Untouched), atomic_write(path):
        raise _Untouched


class _Untouched(Exception):  # noqa: N818 - ends a trial before the file takes its place
    pass


@contextmanager
def atomic_write(path: Path) -> Iterator[IO[bytes]]:
    """Open a temporary file beside `path` that takes its place when the block ends well.

    Raises UserError, and leaves `path` as it was, where the folder can't be written or the disk is full.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        raise UserError(f"{path}: must be writable (got {_brief(error)}); free space or choose another") from None
    finally:
        with contextlib.suppress(OSError):  # where its folder isn't one, there is nothing to remove
            temporary.unlink(missing_ok=True)


def _brief(error: Exception) -> str:
    text = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
    return " ".join(text.split())


def _first_complaint(error: ValidationError, schema: type[BaseModel], document: Any) -> str:
    """Return the first of pydantic's complaints as one line; entries of lists go by their id or key.

    A key that isn't known goes first: its misspelling is also why another seems to be missing.
    """
    complaints = error.errors(include_url=False)
    first = min(complaints, key=lambda complaint: complaint["type"] != "extra_forbidden")
    kind, got = first["type"], first["input"]
    if first["loc"][-1:] == ("[key]",):
        kind, first["loc"] = "invalid_key", first["loc"][:-1]
    place = _place(first["loc"][:-1] if kind == "invalid_key" else first["loc"], document)
    came = _came(got)
    if kind == "value_error":
        text = f"{place.entry}{first['ctx']['error']}; mend it"
    elif kind == "extra_forbidden":
        known = _fields(schema, first["loc"][:-1])
        text = f"{place} must be a known key (got {came} for it); {did_you_mean(str(first['loc'][-1]), known)}"
    elif kind == "invalid_key":
        text = f"{place.entry}key {came} must be text; put it in quotes"
    elif kind == "missing":
        text = f"{place} must be given (got nothing); add it"
    elif kind == "literal_error" and isinstance(got, str):
        known = re.findall("'([^']*)'", first["ctx"]["expected"])
        text = f"{place} must be known (got {came}; {did_you_mean(got, known)}); mend it"
    else:
        text = f"{place} must fit: {first['msg'][0].lower()}{first['msg'][1:]} (got {came}); mend it"
    more = f" (and {len(complaints) - 1} more)" if len(complaints) > 1 else ""
    return " ".join(f"{text}{more}".split())


@dataclass(frozen=True)
class _Place:
    """Where in a document: the entries of lists on the way, and the key below the last of them."""

    entry: str
    key: str

    def __str__(self) -> str:
        return f"{self.entry}{self.key!r}" if self.key else self.entry.removesuffix(": ")


def _place(loc: tuple[int | str, ...], document: Any) -> _Place:
    entry, node = "", document
    keys: list[str] = []
    for part in loc:
        if isinstance(part, int):
            node = node[part]
            name = node.get("id", node.get("key")) if isinstance(node, dict) else None
            entry, keys = f"{entry}{'.'.join(keys)} {name or f'number {part + 1}'}: ", []
        elif isinstance(node, dict):
            node = node.get(part)
            keys.append(part)
        else:
            break  # no key, but the name of a type that the value might have had
    return _Place(entry, ".".join(keys))


def _fields(schema: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    """Return the keys that a schema knows at a place."""
    for part in loc:
        if isinstance(part, str):
            schema = _model_in(schema.model_fields[part].annotation) or schema
    return list(schema.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """Return the model in a type: itself, that of a list's entries, or that of an optional value."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((model for inner in get_args(annotation) if (model := _model_in(inner))), None)


def _came(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
