"""Readers of Python files, which may raise anything, and of odd paths."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from unittest import mock

from hypothesis import strategies as st

from edgeai_repro.audit.onnx_file import audit_file
from edgeai_repro.checksums import read_verified
from edgeai_repro.claims.load import read_claims
from edgeai_repro.claims.user_code import register_conftests
from edgeai_repro.compress import saved_models
from edgeai_repro.data import cifar
from edgeai_repro.edge import bundle
from edgeai_repro.edge.images import read_image
from edgeai_repro.errors import MissingRequirement, UserError
from edgeai_repro.evidence import store
from edgeai_repro.files import read_json, read_yaml
from edgeai_repro.networks.references import reference, unknown
from edgeai_repro.networks.user_code import import_file
from edgeai_repro.training.checkpoint import load_checkpoint
from edgeai_repro.training.initial_weights import read_weights
from tests.fuzz.outcomes import failure_of
from tests.fuzz.reader import Reader

PYTHON = [
    "raise ValueError('a\\nb\\x1b[31m' * 99)",
    "class E(Exception):\n    def __str__(self): raise RuntimeError\nraise E",
    "class E(Exception):\n    def __str__(self): return 1\nraise E",
    "class E(Exception):\n    __str__ = None\nraise E",
    "import sys\nsys.exit(3)",
    "raise SystemExit",
    "raise KeyError(b'\\xff' * 400)",
    "def f(): f()\nf()",
    "raise BaseExceptionGroup('g', [ValueError('a')])",
    "raise ExceptionGroup('g', [ValueError('a')])",
    "raise 'text'",
    "import nowhere_at_all",
    "\0",
    "(" * 300,
    "# coding: nonsense\n",
    "x = 1\n",
    "raise type('E\\n', (Exception,), {})('a')",
    "raise GeneratorExit",
]


def read_python(content: bytes, folder: Path) -> None:
    """Import a conftest.py next to claims, and a file of networks."""
    (folder / "conftest.py").write_bytes(content)
    with mock.patch.dict(sys.modules):
        register_conftests(folder / "a.yaml", {"own_metric"})
        import_file(folder / "conftest.py")


def python_files() -> st.SearchStrategy[bytes]:
    """Return Python files that raise what can't be shown, exit, or are no Python; none runs anything else."""
    return st.sampled_from([text.encode() for text in PYTHON])


def names() -> st.SearchStrategy[bytes]:
    """Return names of files and folders: with NUL, of 300 characters, of folders and pipes, with line breaks."""
    odd = [
        "a\0b",
        "x" * 300,
        "x/" * 3000,
        "",
        ".",
        "..",
        "a\nb",
        "\x1b[31m",
        "folder",
        "pipe",
        "file/below",
        "é" * 200,
    ]
    odd += [
        "a:b.py:f",
        "x" * 300 + ".py:f",
        "a\0.py:f",
        "none.py:f",
        "timm:" + "x" * 999,
        "folder.py:f",
        "/dev/null",
    ]
    return st.sampled_from([name.encode() for name in odd]) | st.text(max_size=20).map(
        lambda s: s.encode("utf-8", "surrogatepass")
    )


def read_name(content: bytes, folder: Path) -> None:
    """Show a name to every reader that takes one, next to a file, a folder in place of one, and a pipe."""
    name = content.decode("utf-8", "surrogatepass")
    (folder / "file").write_bytes(b"")
    for place in ("folder", "folder.py", bundle.MANIFEST, saved_models.DESCRIPTION, "test_batch", "devices.yaml"):
        (folder / place).mkdir()
    (folder / "evidence" / store.SUMS).mkdir(parents=True)
    attempts: list[Callable[[], object]] = [
        lambda: read_json(folder / name),
        lambda: read_yaml(folder / name),
        lambda: read_verified(folder / name, None, "fetch it again"),
        lambda: read_claims(folder / name),
        lambda: bundle.load(folder / name),
        lambda: saved_models.load(folder / name),
        lambda: read_image(folder / name),
        lambda: unknown(reference(name, folder)),
        lambda: import_file(folder / name),
        lambda: read_weights(folder / name),
        lambda: load_checkpoint(folder / name, {}),
        lambda: cifar.load_arrays(folder / name, "test"),
        lambda: audit_file(folder / name, latency=False, threads=1),
        lambda: store.verified_files(folder / "evidence"),
        lambda: store.read_folder(folder / name),
    ]
    refused: list[UserError | MissingRequirement] = []
    for attempt in attempts:
        try:
            attempt()
        except (UserError, MissingRequirement) as error:
            refused.append(error)
    for error in refused:
        if failure_of(error):
            raise error


PATH_READERS = [
    Reader("Python files", read_python, python_files, mutable=False),
    Reader("names", read_name, names, mutable=False),
]
