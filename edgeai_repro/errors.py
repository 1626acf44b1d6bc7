"""Errors that users can fix. Each is one line: what is wrong, the rule, the value received, the next step."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

Requirement = Literal["data", "weights", "edge", "torch", "models", "counters", "device"]
Location = tuple[int | str, ...]  # the keys and indices that lead to a value of a document
SHOWN = 5  # names in a hint; more would hide the mistake
LONGEST = 80  # characters of a wrong value that a message repeats
LONGEST_LINE = 300  # characters of a message
MOST_MISTAKES = 100  # that are reported of one file
LONGEST_NAME = 100  # characters of a name that is compared with known names, which takes quadratic time


def escaped(text: str) -> str:
    """Return a text with line breaks and all characters that can't be seen escaped, as Python does it."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def as_line(text: str) -> str:
    """Return a text, escaped, as one line of at most 300 characters.

    Of a longer text the middle is left out: it begins with the place and ends with the next step.
    """
    line = escaped(text)
    if len(line) <= LONGEST_LINE:
        return line
    end = LONGEST_LINE // 3
    return f"{line[: LONGEST_LINE - end - 1]}…{line[-end:]}"


class UserError(Exception):
    """Bad input. It is shown without a traceback, and the exit status is not 0.

    Each argument is one mistake, and one line of the message: see `as_line`.
    """

    def __init__(self, *mistakes: str) -> None:
        super().__init__(*map(as_line, mistakes))

    def __str__(self) -> str:
        """Return one line per mistake."""
        return "\n".join(self.args)


class MissingRequirement(Exception):  # noqa: N818 - no error: a claim waits for something that can be supplied
    """Something that a claim needs is missing: data, weights, an edge device, torch, a model, or a counter.

    `remedy` says in one sentence what is missing and how to supply it.
    """

    def __init__(self, requirement: Requirement, remedy: str) -> None:
        self.requirement = requirement
        self.remedy = escaped(remedy)
        super().__init__(self.remedy)


class Interrupted(BaseException):
    """The user pressed Ctrl-C. It isn't a KeyboardInterrupt, for which libraries have messages of their own."""


class TooNoisyError(Exception):
    """The machine is too noisy, hot or busy for timing. The claim stays undecided; it hasn't failed."""


def closest_name(name: str, known: Iterable[str]) -> str | None:
    """Return the only known name that contains `name`, else the most similar one, None if no name is similar."""
    names = sorted(known)
    if len(name) > LONGEST_NAME:
        return None
    longer = [other for other in names if name and name in other]
    return next(iter(longer if len(longer) == 1 else difflib.get_close_matches(name, names, n=1)), None)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a hint for an unknown name: the closest known name, else the `SHOWN` most similar ones."""
    names = sorted(known)
    if closest := closest_name(name, names):
        return f"did you mean {closest!r}?"
    if len(names) <= SHOWN:
        return f"known are {', '.join(names)}" if names else "none is known"
    similar = sorted(names, key=lambda other: -difflib.SequenceMatcher(None, name, other).ratio())[:SHOWN]
    return f"known are {', '.join(sorted(similar))} and {len(names) - SHOWN} more"


def require_known(
    kind: str, name: str, known: Iterable[str], hint: str = "", *, error: type[Exception] = UserError
) -> None:
    """Raise `error` unless `name` is one of the `known` names; `kind` says in the message what it is a name of.

    `hint` follows the closest name. A validator of a pydantic model passes `error=ValueError`.
    """
    names = list(known)
    if name not in names:
        raise error(f"{kind} must be known (got {name!r}); {did_you_mean(name, names)}{hint}")


def one_line(error: BaseException) -> str:
    """Return an error's message as one line. It begins with the error's type unless it was written for users."""
    try:
        first, *others = str(error).splitlines() or [""]
    except Exception:  # a stranger's error, whose message fails to be made
        first, others = "its message can't be shown", []
    if isinstance(error, UserError | TooNoisyError):
        return f"{first} (and {len(others)} more)" if others else first
    return as_line(f"{type(error).__name__}: {first}".removesuffix(": "))


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
    from pydantic import BaseModel  # not at the top: the help of the command line needs no pydantic

    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in get_args(annotation) for model in _models_in(inner)]
