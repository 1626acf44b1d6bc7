"""Messages for users: hints for unknown names, errors as one line, and all mistakes of a document."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import ClassVar, Literal

import pytest
from pydantic import Field

from edgeai_repro.errors import TooNoisyError, UserError, Whole, closest_name, did_you_mean, one_line, require_known
from edgeai_repro.evidence.measurement import Frozen, Interval
from edgeai_repro.networks.variants import CONVNEXT_VARIANTS
from edgeai_repro.validation import parse_as

FIVE = sorted(CONVNEXT_VARIANTS)[:5]


class Leaf(Frozen):
    """An entry of a list."""

    renamed: ClassVar[dict[str, str]] = {"neighbours": "siblings"}

    id: str
    size: float = 0.0
    kind: Literal["evergreen", "deciduous"] = "deciduous"
    siblings: list[str] = Field([])


class Tree(Frozen):
    """A small schema."""

    renamed: ClassVar[dict[str, str]] = {"foliage": "leaves"}

    leaves: list[Leaf] = Field([])
    trunk: Interval | None = None
    labels: dict[str, str] = Field({})
    branches: dict[str, Leaf] = Field({})
    sizes: list[int | str] = Field([])


class Forest(Frozen):
    """A schema with a key that must be given."""

    renamed: ClassVar[dict[str, str]] = {"wood": "trees"}

    trees: list[Tree]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("tiny", "did you mean 'convnext_tiny'?"),
        ("convnext_tinny", "did you mean 'convnext_tiny'?"),
        ("convnext_lage", "did you mean 'convnext_large'?"),
        ("vgg", f"known are {', '.join(FIVE)}"),
        ("", f"known are {', '.join(FIVE)}"),
    ],
)
def test_hint_is_the_closest_name_or_else_all_of_five(name: str, hint: str) -> None:
    """The only name that contains the given one is the closest, else the most similar one."""
    assert did_you_mean(name, FIVE) == hint


def test_hint_names_the_five_most_similar_of_many() -> None:
    """All 94 would hide the mistake."""
    known = [f"other{number:02}" for number in range(94)]

    assert re.fullmatch(r"known are (other\d\d, ){4}other\d\d and 89 more", did_you_mean("unlike", known))


def test_hint_without_any_known_name_says_so() -> None:
    """An empty list of names is reported in words."""
    assert did_you_mean("tiny", []) == "none is known"


@pytest.mark.parametrize(("name", "closest"), [("tiny", "convnext_tiny"), ("vgg", None)])
def test_closest_name_is_none_if_no_name_is_similar(name: str, closest: str | None) -> None:
    """A name that resembles none has no closest name."""
    assert closest_name(name, CONVNEXT_VARIANTS) == closest


def test_closest_name_of_equally_similar_ones_begins_alike() -> None:
    """One character of `resnet21` must change for each of these."""
    assert closest_name("resnet21", ["resnet20", "resnet31", "resnet41"]) == "resnet20"


def test_known_name_is_accepted() -> None:
    """Nothing is raised for a known name, also if the names can be iterated over only once."""
    require_known("model", "convnext_tiny", iter(CONVNEXT_VARIANTS))


@pytest.mark.parametrize("error", [UserError, ValueError])
def test_unknown_name_is_refused_with_the_closest_one(error: type[Exception]) -> None:
    """The message names the kind, the name and the closest one; the caller chooses the type of the error."""
    with pytest.raises(error, match=r"^model must be known \(got 'tinny'\); did you mean 'tiny'\? Or add it\.$"):
        require_known("model", "tinny", ["tiny", "small"], " Or add it.", error=error)


class _Unshowable(Exception):  # noqa: N818 - a stranger's error
    """An error whose message fails to be made."""

    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a file: β – 5 % × 3 “quoted”", "a file: β – 5 % × 3 “quoted”"),
        ("red \x1b[31m", r"red \x1b[31m"),
        ("two\nlines\r\u2028", r"two\nlines\r\u2028"),
        ("turned \u202e round, half \ud800", r"turned \u202e round, half \ud800"),
        ("a" * 300, "a" * 300),
        ("a" * 200 + "b" * 101, "a" * 199 + "…" + "b" * 100),
    ],
)
def test_mistake_is_one_line_of_printable_characters(text: str, line: str) -> None:
    """Whatever can't be seen is escaped, and of a line of more than 300 characters the middle is left out."""
    assert str(UserError(text)) == line


def test_each_mistake_has_its_own_line_also_after_pickling() -> None:
    """A process hands its errors to another one."""
    error = pickle.loads(pickle.dumps(UserError("first\nline", "second")))

    assert str(error) == "first\\nline\nsecond"


def test_mistake_in_whole_is_not_shortened_also_after_pickling() -> None:
    """A path that a user needs may be longer than a line; its control characters are escaped all the same."""
    error = UserError(Whole("/folder" * 100 + "\n"), "x" * 1000)

    whole, shortened = pickle.loads(pickle.dumps(error)).args
    assert whole == "/folder" * 100 + "\\n"
    assert len(shortened) == 300


def test_name_of_a_thousand_letters_is_compared_with_no_other() -> None:
    """Comparing takes quadratic time, so only a short name has a closest one."""
    assert closest_name("convnext_tin" + "y" * 100, CONVNEXT_VARIANTS) is None


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (UserError("file: must be short; cut it"), "file: must be short; cut it"),
        (UserError("first mistake", "second", "third"), "first mistake (and 2 more)"),
        (TooNoisyError("the machine is hot"), "the machine is hot"),
        (KeyError("conv1"), "KeyError: 'conv1'"),
        (ValueError("first line\nsecond line"), "ValueError: first line"),
        (AssertionError(), "AssertionError"),
        (_Unshowable(), "_Unshowable: its message can't be shown"),
        (ValueError("red \x1b[31m"), "ValueError: red \\x1b[31m"),
    ],
)
def test_error_as_one_line_has_its_type_unless_it_is_for_users(error: Exception, line: str) -> None:
    """Errors for users are shown unchanged; all others begin with their type."""
    assert one_line(error) == line


def _complaints(schema: type[Frozen], document: object) -> list[str]:
    """Return the lines of the error that refuses a document, without the file's name."""
    with pytest.raises(UserError) as refused:
        parse_as(schema, document, Path("file.yaml"))
    lines = str(refused.value).split("\n")
    assert all(line.startswith("file.yaml: ") for line in lines)
    return [line.removeprefix("file.yaml: ") for line in lines]


class TestComplaints:
    """A document that doesn't fit its schema is refused with one line per mistake."""

    @pytest.mark.parametrize(
        ("document", "complaint"),
        [
            ({"laeves": []}, "laeves: is not a known key; did you mean 'leaves'?"),
            ({"leaves": [{"id": "oak", "sise": 1}]}, "leaves[oak].sise: is not a known key; did you mean 'size'?"),
            (
                {"branches": {"b": {"id": "b", "sise": 1}}},
                "branches.b.sise: is not a known key; did you mean 'size'?",
            ),
            ({"leaves": [{}]}, "leaves[0].id: is missing; add it"),
            ({"leaves": ["oak"]}, "leaves[0]: must be a valid dictionary (got 'oak'); fix it"),
            (
                {"leaves": [{"id": "oak", "size": [2]}]},
                "leaves[oak].size: must be a valid number (got [2]); fix it",
            ),
            ({"leaves": 3}, "leaves: must be a valid list (got 3); fix it"),
            (
                {"leaves": [{"id": "oak"}, {"id": "elm", "kind": "shrub"}]},
                "leaves[elm].kind: must be 'evergreen' or 'deciduous' (got 'shrub'); fix it",
            ),
            (
                {"leaves": [{"id": "oak", "kind": "ever"}]},
                "leaves[oak].kind: must be 'evergreen' or 'deciduous' (got 'ever'); did you mean 'evergreen'?",
            ),
            (
                {"trunk": {"value": 3, "low": 4, "high": 5}},
                "trunk: 'value' must lie in [low, high] (got 4.0 ≤ 3.0 ≤ 5.0); fix it",
            ),
            ({True: 1}, "key True must be text; put it in quotes"),
            ({"labels": {1: "one"}}, "labels: key 1 must be text; put it in quotes"),
            (
                {"leaves": [{"id": "a\nb", "size": [2]}]},
                "leaves[a b].size: must be a valid number (got [2]); fix it",
            ),
            ({"sizes": [[1]]}, "sizes[0]: must be a valid integer or must be a valid string (got [1]); fix it"),
            (None, "must be a valid dictionary (got None); fix it"),
        ],
    )
    def test_mistake_is_reported_with_place_rule_value_and_next_step(
        self, document: object, complaint: str
    ) -> None:
        """Entries of lists are named by their id, or by their index if they have none."""
        assert _complaints(Tree, document) == [complaint]

    def test_every_mistake_is_reported(self) -> None:
        """One run shows all that must be fixed, one line per place."""
        entries = [{"id": "oak", "size": [1], "sise": 1}, {"kind": "shrub"}]

        lines = _complaints(Tree, {"leaves": entries, "trunk": 3})

        places = [line.partition(":")[0] for line in lines]
        assert places == ["leaves[oak].size", "leaves[oak].sise", "leaves[1].id", "leaves[1].kind", "trunk"]

    def test_misspelled_key_is_not_also_missing(self) -> None:
        """The key that was meant isn't reported a second time; other missing keys are."""
        lines = _complaints(Tree, {"trunk": {"vlaue": 1, "low": 0}})

        assert lines == ["trunk.high: is missing; add it", "trunk.vlaue: is not a known key; did you mean 'value'?"]

    def test_renamed_key_is_reported_with_its_new_name(self) -> None:
        """The old name of a key is refused with the new one, at every depth, and the new one isn't missing."""
        assert _complaints(Forest, {"wood": []}) == ["wood: is now called 'trees'; rename it"]
        assert _complaints(Forest, {"trees": [{"leaves": [{"id": "oak", "neighbours": []}]}]}) == [
            "trees[0].leaves[oak].neighbours: is now called 'siblings'; rename it"
        ]

    def test_long_value_is_shortened(self) -> None:
        """A line repeats at most 80 characters of a wrong value."""
        (line,) = _complaints(Tree, {"leaves": [{"id": "oak", "size": ["y" * 500]}]})

        assert line.endswith("yyy…); fix it")
        assert len(line) < 150
