"""Inputs that atheris chooses by the coverage of the readers. Import this module before the package.

libFuzzer changes the bytes from which hypothesis draws an input, so that it keeps the form of a file.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["edgeai_repro", "yaml", "json", "zipfile"], enable_loader_override=False):
    import json  # noqa: F401
    import zipfile  # noqa: F401

    import yaml  # noqa: F401

    import edgeai_repro.session  # noqa: F401
    import tests.fuzz.readers  # noqa: F401

from hypothesis import HealthCheck, given, settings

from tests.fuzz.reader import Reader


def searcher(reader: Reader, work: Path) -> Callable[[Callable[[bytes], None]], None]:
    """Return the function that searches inputs for what it is given, until its process is ended."""

    def search(show: Callable[[bytes], None]) -> None:
        options = settings(database=None, deadline=None, suppress_health_check=list(HealthCheck))
        target = options(given(reader.inputs())(show)).hypothesis.fuzz_one_input
        corpus = work / "corpus"
        corpus.mkdir(exist_ok=True)
        libfuzzer = [
            "fuzz",
            str(corpus),
            "-timeout=600",
            "-rss_limit_mb=0",
            f"-artifact_prefix={work}/",
            "-verbosity=0",
        ]
        atheris.Setup(libfuzzer, lambda data: target(data) and None)
        atheris.Fuzz()

    return search
