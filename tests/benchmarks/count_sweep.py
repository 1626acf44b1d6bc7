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
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
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
SECONDS = 300  # of processor time that a network may take
NETWORKS_PER_PROCESS = 200  # some constructors keep memory
COUNTER = ("counts.py", "counting/*.py")  # below edgeai_repro/measure


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
    code = fingerprint()
    known = read(results, code)
    left = [network for network in chosen if network.id not in known]
    with tqdm(total=len(chosen), initial=len(chosen) - len(left), unit="network", disable=None) as bar:
        for comparison in compare_all(left, processes):
            known[comparison.id] = comparison
            write_text(
                results, "".join(f"{json.dumps({'code': code, **one.model_dump()})}\n" for one in known.values())
            )
            bar.update()
    found = [known[network.id] for network in chosen]
    for one in found:
        if one.outcome not in ("agrees", "explained"):
            print(f"{one.id}: {one.outcome}, {count_sweep_page.reason(one)}")
    print("\n".join(count_sweep_page.summary(found)))
    if write and not only:
        write_text(PAGE, count_sweep_page.page(found, len(every)))
        print(f"wrote {PAGE.relative_to(ROOT)}")
    sys.exit(any(one.outcome == "differs" for one in found))


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


def compare_all(left: Sequence[Network], processes: int) -> Iterator[Comparison]:
    """Yield the comparison of each network as soon as it is there.

    Each batch of networks has new processes. `max_tasks_per_child` would replace them one by one, but the executor
    hangs when it is reached (CPython issue 115634).
    """
    context, batch = multiprocessing.get_context("spawn"), processes * NETWORKS_PER_PROCESS
    for start in range(0, len(left), batch):
        with ProcessPoolExecutor(processes, mp_context=context) as pool:
            pending = {pool.submit(compare_quietly, network) for network in left[start : start + batch]}
            for future in as_completed(pending):
                yield future.result()


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


if __name__ == "__main__":
    try:
        typer.run(main)
    except BrokenProcessPool:
        sys.exit("a process of the sweep was killed, perhaps for its memory; run `make sweep` again to go on")
