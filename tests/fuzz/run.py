"""Shows readers random inputs, and prints the distinct failures of each.

    python -m tests.fuzz.run --inputs=1000              random inputs for every reader
    python -m tests.fuzz.run --seconds=600 yaml ONNX    some readers, half of the time guided by coverage

An input that fails is kept under --output; add it to tests/fuzz/corpus with the fix.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

SLOW_SHARE = 20  # a slow reader gets one of so many inputs


def main() -> None:
    """Show every named reader its inputs, and print a line for each and for each of its failures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("readers", nargs="*", help="names of readers (default: all)")
    parser.add_argument("--inputs", type=int, default=sys.maxsize, help="random inputs for each reader")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="seconds for all readers together")
    parser.add_argument("--seed", type=int, default=0, help="where random inputs begin")
    parser.add_argument("--output", type=Path, default=Path("build/fuzz"), help="folder for inputs that fail")
    arguments = parser.parse_args()
    guided = arguments.inputs == sys.maxsize and find_spec("atheris") is not None
    if guided:
        from tests.fuzz import guided as by_coverage  # before the package, which it instruments
    from tests.fuzz.readers import READERS
    from tests.fuzz.search import Search

    chosen = [reader for reader in READERS if not arguments.readers or reader.name in arguments.readers]
    if unknown := set(arguments.readers) - {reader.name for reader in chosen}:
        parser.error(f"no reader is called {', '.join(sorted(unknown))}: {', '.join(one.name for one in READERS)}")
    failed = 0
    for reader in chosen:
        started, share = time.monotonic(), arguments.seconds / len(chosen)
        memory = Path("/dev/shm")
        with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as work:
            search = Search(reader, Path(work))
            inputs = max(arguments.inputs // (SLOW_SHARE if reader.slow else 1), 1)
            search.show(inputs, arguments.seed, started + share / (2 if guided else 1))
            random = search.inputs
            if guided:
                search.guide(by_coverage.searcher(reader, Path(work)), started + share)
        seconds = time.monotonic() - started
        by_guide = f" and {search.inputs - random} guided" if guided else ""
        print(f"{reader.name}: {random} random{by_guide} inputs, {len(search.failures)} failures, {seconds:.0f} s")
        for number, (name, content) in enumerate(search.failures.items()):
            print(f"    {name}")
            folder = arguments.output / reader.name.replace(" ", "-")
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{number:02}-{re.sub('[^A-Za-z0-9]+', '-', name)[:80]}").write_bytes(content)
        sys.stdout.flush()
        failed += len(search.failures)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
