"""Reading YAML and JSON, and writing files so that an interrupted run leaves none half-written."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from edgeai_repro.errors import UserError

Model = TypeVar("Model", bound=BaseModel)


class _Loader(yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader):  # type: ignore[misc]
    """PyYAML's safe loader, which here refuses what it otherwise drops silently: the first of two equal keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} twice", key_node.start_mark)
            seen.add(key)
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
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
        raise UserError(f"{path}{line}: must be valid YAML (got {error.problem}); mend that line") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path}: must be valid YAML (got {_brief(error)}); mend the file") from None


def read_json(path: Path) -> Any:
    """Return the document in a JSON file. Raises UserError, in one line, where it can't be read or parsed."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: must be a readable JSON file (got {_brief(error)}); check the path") from None


def validated(schema: type[Model], document: Any, path: Path) -> Model:
    """Return a document as its pydantic model. Raises UserError: file, place, rule, what came, what to do."""
    try:
        return schema.model_validate(document)
    except ValidationError as error:
        raise UserError(f"{path}: {_first_complaint(error, document)}") from None


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all. Raises UserError where it can't be written."""
    with replacing(path) as stream:
        stream.write(text.encode())


def writable(path: Path) -> None:
    """Raise UserError if a file couldn't be written at `path`: better before the work than after it."""
    if path.is_dir():
        raise UserError(f"{path}: must be a file's path (got a folder); add a file name")
    with contextlib.suppress(_Untouched), replacing(path):
        raise _Untouched


class _Untouched(Exception):  # noqa: N818 - ends a trial before the file takes its place
    pass


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open a temporary file beside `path` that takes its place when the block ends well.

    Raises UserError, and leaves `path` as it was, where the folder can't be written or the disk is full.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as stream:
            temporary = Path(stream.name)
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
        temporary = None
    except OSError as error:
        raise UserError(f"{path}: must be writable (got {_brief(error)}); free space or choose another") from None
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _brief(error: Exception) -> str:
    text = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
    return " ".join(text.split())


def _first_complaint(error: ValidationError, document: Any) -> str:
    """Return the first of pydantic's complaints as one line; entries of lists go by their id or key."""
    first = error.errors(include_url=False)[0]
    place, node = "", document
    keys: list[str] = []
    for part in first["loc"]:
        node = _child(node, part)
        if isinstance(part, int):
            name = node.get("id", node.get("key")) if isinstance(node, dict) else None
            place, keys = f"{place}{'.'.join(keys)} {name or f'number {part + 1}'}: ", []
        else:
            keys.append(part)
    key = ".".join(keys)
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    if first["type"] == "value_error":
        return f"{place}{first['ctx']['error']}; mend it{more}"
    if first["type"] == "extra_forbidden":
        return f"{place}{key!r} must be a known key (got {first['input']!r} for it); check its spelling{more}"
    came = "nothing" if first["type"] == "missing" else repr(first["input"])
    rule = first["msg"][0].lower() + first["msg"][1:]
    return f"{place}{key!r} must fit: {rule} (got {came}); mend it{more}"


def _child(node: Any, part: int | str) -> Any:
    try:
        return node[part]
    except (KeyError, IndexError, TypeError):
        return None  # what is missing has no child
