"""Every reader refuses whatever bytes it gets in lines for users: inputs that once failed, and random ones."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeai_repro.errors import MissingRequirement, UserError
from tests.fuzz.command_readers import ENDLESS_GRID
from tests.fuzz.inputs import chain
from tests.fuzz.outcomes import failure_of
from tests.fuzz.reader import Reader
from tests.fuzz.readers import READERS
from tests.fuzz.search import Search, outcome

CORPUS = Path(__file__).parent / "corpus"
INPUTS = 150  # random ones for each reader; `make fuzz` and the weekly workflow show more
SLOW_INPUTS = 5
BY_NAME = {reader.name.replace(" ", "-"): reader for reader in READERS}
FAILED = sorted(path for path in CORPUS.glob("*/*") if path.is_file())


@pytest.mark.parametrize("path", FAILED, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_input_that_once_failed_is_refused(path: Path, tmp_path: Path) -> None:
    """The corpus has an input of every failure that was found."""
    assert outcome(BY_NAME[path.parent.name], path.read_bytes(), tmp_path) is None


# Inputs that once crashed or hung a reader, and are too large for the corpus.
LARGE = {
    "lists in YAML's flow style": ("yaml", b"[" * 60_000),
    "lists in its block style": ("yaml", b"- " * 60_000),
    "keys in keys": ("claims", b"? " * 60_000),
    "mappings in lists": ("devices", b"[{" * 60_000),
    "lists with an anchor": ("recipes", b"&a [" * 60_000),
    "aliases of aliases": ("yaml", chain("a{0}: &a{0} [{1}]\n", 30, 9)),
    "merged keys": ("claims", chain("a{0}: &a{0} {{<<: [{1}]}}\n", 30, 9)),
    "lists in JSON": ("json", b"[" * 100_000 + b"]" * 100_000),
    "mappings in JSON": ("verdicts", b'{"a":' * 100_000),
    "digits in base 60": ("yaml", b"a: 1" + b":1" * 60_000),
    "digits in JSON": ("json", b"9" * 100_000),
    "grid without end": ("grids", ENDLESS_GRID),
}


@pytest.mark.parametrize(("reader", "content"), LARGE.values(), ids=LARGE)
def test_large_input_that_once_failed_is_refused(reader: str, content: bytes, tmp_path: Path) -> None:
    """In lines, by the limits."""
    with pytest.raises(UserError):
        BY_NAME[reader].read(content, tmp_path)
    assert outcome(BY_NAME[reader], content, tmp_path) is None


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_random_input_is_read_or_refused(reader: Reader) -> None:
    """The inputs are the same in each run, so that a failure is the change's that is tested."""

    @settings(
        max_examples=SLOW_INPUTS if reader.slow else INPUTS,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(reader.inputs())
    def read(content: bytes) -> None:
        with tempfile.TemporaryDirectory() as folder:
            assert outcome(reader, content, Path(folder)) is None

    read()


def _searched(tmp_path: Path, read: object, *contents: bytes) -> Search:
    reader = Reader("planted", read, lambda: st.sampled_from(contents))  # type: ignore[arg-type]
    search = Search(reader, tmp_path)
    search.show(10 * len(contents), 0, float("inf"))
    return search


def _fail(content: bytes, folder: Path) -> None:
    """Fail in each of the ways that a search tells apart."""
    match content:
        case b"key":
            raise KeyError(content)
        case b"long":
            raise _shown("a" * 301)
        case b"control":
            raise _shown("\x1b[31m")
        case b"memory":
            raise UserError("Unable to allocate 480 TiB")
        case b"dead":
            import ctypes

            ctypes.string_at(0)


def _shown(text: str) -> UserError:
    """Return an error whose message nobody escaped or cut."""
    error = UserError("")
    error.args = (text,)
    return error


def test_planted_failures_are_told_apart_and_survived(tmp_path: Path) -> None:
    """A traceback, a long line, a control character, the allocator's message and a crash are one failure each."""
    search = _searched(tmp_path, _fail, b"key", b"long", b"control", b"memory", b"dead", b"good")

    assert {name.split(" ", 1)[0] for name in search.failures} == {
        "KeyError",
        "long",
        "control",
        "allocator's",
        "process",
    }
    assert set(search.failures.values()) == {b"key", b"long", b"control", b"memory", b"dead"}


@pytest.mark.parametrize(
    "error", [UserError("a: must be b (got c); fix it"), MissingRequirement("data", "no data")]
)
def test_refusal_in_a_line_is_no_failure(error: Exception) -> None:
    """Readers may refuse any input."""
    assert failure_of(error) is None
