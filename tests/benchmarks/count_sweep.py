"""`make sweep`: our counts of every network of torchvision and timm next to torch's, and `docs/counters.md`.

Results are kept as JSON lines, so that an interrupted sweep goes on where it stopped. A line is used again only if
neither the counter nor a library has changed since.
"""

from __future__ import annotations

import contextlib
import fnmatch
import hashlib
import io
import json
import multiprocessing
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
from tqdm import tqdm

from edgeai_repro.files import write_text
from tests.benchmarks import count_sweep_page
from tests.support.zoo import Network, networks
from tests.support.zoo_counts import Comparison, compare

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "counters.md"
SECONDS = 900  # of processor time that a network may take; recurrent ones run step by step on meta
NETWORKS_PER_PROCESS = 200  # some constructors keep memory
COUNTER = ("counts.py", "counting/*.py")  # below edgeai_repro/measure
KILLED = "its process was killed, perhaps for its memory"
Compare = Callable[[Network], Comparison]


def main(
    only: Annotated[
        list[str] | None, typer.Option(help="Only networks whose id or family matches, 'timm:vit*'.")
    ] = None,
    processes: Annotated[int, typer.Option(min=1, help="Networks counted at the same time.")] = 2,
    results: Annotated[Path, typer.Option(help="File of the results, JSON lines.")] = ROOT
    / "runs"
    / "count-sweep.jsonl",
    write: Annotated[
        bool, typer.Option("--write/--no-write", help="Write docs/counters.md, unless --only is given.")
    ] = True,
) -> None:
    """Count every network of torchvision and timm, compare the counts with torch's, and write docs/counters.md."""
    every = networks()
    chosen = [network for network in every if matches(network, only)]
    found = compare_all(chosen, processes, results)
    for one in found:
        if one.outcome not in ("agrees", "explained"):
            print(f"{one.id}: {one.outcome}, {count_sweep_page.reason(one)}")
    print("\n".join(count_sweep_page.summary(found)))
    if write and not only:
        write_text(PAGE, count_sweep_page.page(found, len(every)))
        print(f"wrote {PAGE.relative_to(ROOT)}")
    sys.exit(any(one.outcome == "differs" or one.fails == KILLED for one in found))


def matches(network: Network, only: Sequence[str] | None) -> bool:
    """Return whether a network's id or family matches one of the patterns; without patterns all match."""
    return not only or any(
        fnmatch.fnmatch(name, pattern) for pattern in only for name in (network.id, network.family)
    )


def read(results: Path, code: str) -> dict[str, Comparison]:
    """Return the comparisons in a file that were made with the same counter and libraries, by network."""
    if not results.exists():
        return {}
    lines = [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()]
    current = [line for line in lines if line.pop("code") == code]
    return {line["id"]: Comparison.model_validate(line) for line in current}


def fingerprint() -> str:
    """Return a digest of the counter's code and of the libraries' versions."""
    folder = ROOT / "edgeai_repro" / "measure"
    files = sorted(file for pattern in COUNTER for file in folder.glob(pattern))
    versions = [f"{name} {version(name)}" for name in ("torch", "torchvision", "timm")]
    digest = hashlib.sha256(" ".join(versions).encode())
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def compare_quietly(network: Network) -> Comparison:
    """Compare one network with one thread, without its prints and warnings, in limited processor time."""
    import torch

    torch.set_num_threads(1)
    signal.signal(signal.SIGPROF, _give_up)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return compare(network)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _give_up(*_: Any) -> None:
    raise TimeoutError(f"took more than {SECONDS} seconds of processor time")


def compare_all(
    chosen: Sequence[Network], processes: int, results: Path, compare: Compare = compare_quietly
) -> list[Comparison]:
    """Return the comparison of each network, with a progress bar; what a file of results has is not made again.

    A network whose process is killed has this as its reason, in one line, and the others go on. It is not written
    to the file, so that the next sweep counts it again.
    """
    code = fingerprint()
    known = read(results, code)
    left = [network for network in chosen if network.id not in known]
    with tqdm(total=len(chosen), initial=len(chosen) - len(left), unit="network", disable=None) as bar:
        for comparison in compared(left, processes, compare):
            known[comparison.id] = comparison
            kept = (one for one in known.values() if one.fails != KILLED)
            write_text(results, "".join(f"{json.dumps({'code': code, **one.model_dump()})}\n" for one in kept))
            bar.update()
    return [known[network.id] for network in chosen]


def compared(left: Sequence[Network], processes: int, compare: Compare) -> Iterator[Comparison]:
    """Yield the comparison of each network as soon as it is there; several processes make one at a time each."""
    with ThreadPoolExecutor(processes) as threads, contextlib.ExitStack() as started:
        workers = threading.local()

        def run(network: Network) -> Comparison:
            if not hasattr(workers, "own"):
                workers.own = started.enter_context(Worker(compare))
            own: Worker = workers.own
            return own.compare(network)

        for future in as_completed([threads.submit(run, network) for network in left]):
            yield future.result()


class Worker(contextlib.AbstractContextManager["Worker"]):
    """A process that compares networks, one after the other; another one follows if it is killed or has done many.

    `max_tasks_per_child` would replace it, too, but the executor hangs when it is reached (CPython issue 115634).
    """

    def __init__(self, compare: Compare) -> None:
        self._compare = compare
        self._start()

    def compare(self, network: Network) -> Comparison:
        """Return the comparison of a network, or that its process was killed."""
        if self._done == NETWORKS_PER_PROCESS:
            self._restart()
        self._done += 1
        try:
            return self._process.submit(self._compare, network).result()
        except BrokenProcessPool:
            self._restart()
            return Comparison(id=network.id, family=network.family, fails=KILLED)

    def _start(self) -> None:
        self._done = 0
        self._process = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))

    def _restart(self) -> None:
        self._process.shutdown()
        self._start()

    def __exit__(self, *_: object) -> None:
        """End the process when its network is done."""
        self._process.shutdown()


if __name__ == "__main__":
    typer.run(main)
