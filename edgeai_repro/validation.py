"""Validates documents by their schemas: the content of a file as a pydantic model, or one line per mistake."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, get_args

from edgeai_repro.errors import LONGEST, UserError, closest_name, did_you_mean

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

Location = tuple[int | str, ...]  # the keys and indices that lead to a value of a document
MOST_MISTAKES = 100  # that are reported of one file
Schema = TypeVar("Schema", bound="BaseModel")


def parse_as(schema: type[Schema], document: Any, path: Path) -> Schema:
    """Return the content of the file `path` as an instance of `schema`.

    Raises UserError with one line per mistake: file, place, rule, value received, next step. Entries of lists are
    named by their `id` or `key`. If the schema has renamed a key, its class variable `renamed` maps the old name to
    the new one.
    """
    from pydantic import ValidationError  # not at the top: the help of the command line needs no pydantic

    try:
        return schema.model_validate(document)
    except ValidationError as error:
        raise UserError(*(f"{path}: {line}" for line in complaints(error, schema, document))) from None


def complaints(error: ValidationError, schema: type[BaseModel], document: Any) -> list[str]:
    """Return all mistakes that pydantic found in a document, one line per place.

    A line gives the place, the rule, the value received and the next step. A misspelled or renamed key doesn't also
    count as missing. If the document has another schema version, only that is reported. Of more than 100 mistakes,
    the last line gives the number of the others.
    """
    errors = error.errors(include_url=False)
    errors = [details for details in errors if details["loc"] == ("schema_version",)] or errors
    present = {
        (*parents, name)
        for *parents, key in (details["loc"] for details in errors if details["type"] == "extra_forbidden")
        if (name := _intended_key(schema, tuple(parents), str(key)))
    }
    places: dict[tuple[str, str], list[_Complaint]] = {}
    for details in errors[:MOST_MISTAKES]:
        if details["type"] == "value_error":  # our own validators: one line per problem
            place = _place(details["loc"], document)
            for line in str(details["ctx"]["error"]).splitlines():
                problem, _, step = line.partition("; ")
                places[place, problem] = [_Complaint(details["loc"], problem, "", step or "fix it")]
        elif details["type"] != "missing" or details["loc"] not in present:
            complaint = _explain(details, schema)
            places.setdefault((_place(complaint.location, document), ""), []).append(complaint)
    lines = [" ".join(_sentence(place, group).split()) for (place, _), group in places.items()]
    others = len(errors) - MOST_MISTAKES
    return [*lines, f"must have no mistakes (got {others} more); fix these first"] if others > 0 else lines


class _Complaint(NamedTuple):
    location: Location
    problem: str
    received: str  # empty if the value doesn't matter
    step: str


def _sentence(place: str, group: list[_Complaint]) -> str:
    """Return the line about one place. A value that may have several types has one complaint per type."""
    problem = " or ".join(dict.fromkeys(complaint.problem for complaint in group))
    received = f" (got {group[0].received})" if group[0].received else ""
    return f"{place}: {problem}{received}{group[0].step and '; '}{group[0].step}".removeprefix(": ")


def _explain(details: Any, schema: type[BaseModel]) -> _Complaint:
    """Return one of pydantic's complaints in words for users."""
    kind, location, value = details["type"], details["loc"], details["input"]
    if kind == "missing":
        return _Complaint(location, "is missing", "", "add it")
    received = repr(value)
    received = received if len(received) <= LONGEST else f"{received[: LONGEST - 1]}…"
    if location[-1:] == ("[key]",) or kind == "invalid_key":
        parents = location[: -2 if location[-1] == "[key]" else -1]
        return _Complaint(parents, f"key {received} must be text", "", "put it in quotes")
    if kind == "extra_forbidden":
        model, key = _model_at(schema, location[:-1]), str(location[-1])
        if new_name := _renamed(model).get(key):
            return _Complaint(location, f"is now called {new_name!r}", "", "rename it")
        return _Complaint(location, "is not a known key", "", did_you_mean(key, _keys(model)))
    if kind.startswith("union_tag"):
        return _explain_tag(details)
    rule = re.sub(r"^\w+ should", "must", re.sub(r" or instance of \w+", "", details["msg"]))
    step = "fix it"
    if kind == "literal_error" and (name := closest_name(str(value), re.findall("'([^']*)'", rule))):
        step = f"did you mean {name!r}?"
    return _Complaint(location, rule, received, step)


def _explain_tag(details: Any) -> _Complaint:
    """Return a complaint about the key that selects one of several kinds of entries."""
    name = details["ctx"]["discriminator"].strip("'")
    location = (*details["loc"], name)
    if details["type"] == "union_tag_not_found":
        return _Complaint(location, "is missing", "", "add it")
    tag, known = details["ctx"]["tag"], re.findall("'([^']*)'", details["ctx"]["expected_tags"])
    return _Complaint(location, "must be known", repr(tag), did_you_mean(tag, known))


def _place(location: Location, document: Any) -> str:
    """Return a place as `claims[dq-params].band.rounding`: entries of lists by `id`, `key` or index.

    Parts that aren't in the document but say which kind of entry pydantic took a part for are left out.
    """
    place, node = "", document
    for part in location:
        if isinstance(node, dict) and part not in node and part in node.values():
            continue  # the value of the key that selects the kind
        if isinstance(part, int) and isinstance(node, list):
            node = node[part] if part < len(node) else None
            name = node.get("id", node.get("key")) if isinstance(node, dict) else None
            place += f"[{name or part}]"
        elif isinstance(node, dict):
            node = node.get(part)
            place += f".{part}"
        else:
            break  # the rest names one of the types that the value may have
    return place.removeprefix(".")


def _intended_key(schema: type[BaseModel], parents: Location, key: str) -> str | None:
    """Return the key that an unknown one stands for: its new name or the closest one, None if there is none."""
    model = _model_at(schema, parents)
    return _renamed(model).get(key) or closest_name(key, _keys(model))


def _renamed(model: type[BaseModel]) -> Mapping[str, str]:
    return getattr(model, "renamed", {})


def _keys(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def _model_at(model: type[BaseModel], location: Location) -> type[BaseModel]:
    """Return the model of the value at a location of a document."""
    kinds: list[type[BaseModel]] = []
    for part in location:
        if part in model.model_fields:
            kinds = _models_in(model.model_fields[str(part)].annotation)
            model = kinds[0] if kinds else model
        else:
            model = next((kind for kind in kinds if _selected_by(kind, part)), model)
    return model


def _selected_by(model: type[BaseModel], value: object) -> bool:
    """Return whether a model is the kind that a value selects: one of its keys can have only this value."""
    return any(get_args(field.annotation) == (value,) for field in model.model_fields.values())


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    """Return the models in a type: the type itself, or those in its arguments."""
    from pydantic import BaseModel

    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in get_args(annotation) for model in _models_in(inner)]
