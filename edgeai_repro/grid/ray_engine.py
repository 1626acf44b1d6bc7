"""Ray Core does the work of a grid: one Ray task per run."""

from __future__ import annotations

import logging
import os
import socket
import warnings
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import ray
import ray.exceptions

from edgeai_repro.errors import UserError, one_line
from edgeai_repro.grid.board import TICK_SECONDS
from edgeai_repro.grid.schema import Resources
from edgeai_repro.grid.work import Outcome, Task, Tick, Work, nothing
from edgeai_repro.measure.latency.threads import usable_cores

CLIENT_PORT = 10001  # of `ray start --head`
ANSWER_SECONDS = 10.0
OBJECT_STORE_BYTES = 100 * 2**20  # a record has some kB, which Ray returns without its store
WINDOW_PER_SLOT = 4  # tasks given to Ray per task that it can run at a time, so that no slot waits for the driver
SMALLEST_WINDOW = 64  # a cluster that grows on demand needs to see some


class RayEngine:
    """Runs each task as a Ray task with its CPUs and GPUs. A task whose worker is killed is started again."""

    def __init__(self, resources: Resources, address: str | None) -> None:
        """Connect to the cluster at `address`, ray://HOST[:PORT], or start Ray on this machine with None.

        Raises UserError if the cluster does not answer, or if this machine has less than a run needs.
        """
        self._resources = resources
        if address is not None:
            _connect(address)
        elif not ray.is_initialized():
            start()
        offered: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
        if address is None:
            _require("CPU", resources.cpus, offered)
            _require("GPU", resources.gpus, offered)
        slots = int(offered.get("CPU", 0) // resources.cpus)
        self._window = max(SMALLEST_WINDOW, WINDOW_PER_SLOT * slots)

    def outcomes(self, work: Work, tasks: Iterable[Task], tick: Tick) -> Iterator[tuple[Task, Outcome]]:
        """Yield each task with its outcome. Only a window of the tasks is at Ray at a time."""
        remote = ray.remote(_call).options(
            num_cpus=self._resources.cpus, num_gpus=self._resources.gpus, max_retries=self._resources.retries
        )
        waiting = iter(tasks)
        at_work: dict[Any, Task] = {}
        while True:
            for task in islice(waiting, self._window - len(at_work)):
                at_work[remote.remote(work, task)] = task
            if not at_work:
                return
            ended, _ = ray.wait(list(at_work), timeout=TICK_SECONDS)
            tick()
            for reference in ended:
                yield at_work.pop(reference), self._outcome(reference)

    def _outcome(self, reference: Any) -> Outcome:
        """Return the outcome of a task that ended; also of one that Ray gave up, or whose code a worker lacks."""
        try:
            outcome: Outcome = ray.get(reference)
        except ray.exceptions.WorkerCrashedError as error:
            return Outcome.failed(f"its worker was killed {self._resources.retries + 1} times ({one_line(error)})")
        except ray.exceptions.RayTaskError as error:
            return Outcome.failed(f"{one_line(error.cause or error)}\n{error}")
        except ray.exceptions.RayError as error:
            return Outcome.failed(one_line(error))
        return outcome


def _call(work: Work, task: Task) -> Outcome:
    return work(task, nothing)


def start(cpus: int | None = None, folder: Path | None = None) -> None:
    """Start Ray on this machine, with all usable cores or `cpus`, and its files in `folder` (None: Ray's own)."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray.init(
        address="local",
        num_cpus=cpus or usable_cores(),
        _temp_dir=None if folder is None else str(folder),
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        object_store_memory=OBJECT_STORE_BYTES,
    )


def _connect(address: str) -> None:
    """Connect to a cluster. The port is tried first: Ray's own attempts to connect take 40 s."""
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port or CLIENT_PORT
        socket.create_connection((host or "", port), timeout=ANSWER_SECONDS).close()
        with warnings.catch_warnings():  # the error below says the same
            warnings.filterwarnings("ignore", "Ray Client connection timed out", UserWarning)
            ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, ValueError, RuntimeError, ImportError, ray.exceptions.RayError) as error:
        raise UserError(
            f"--on={address} must be a Ray cluster that answers (got {one_line(error)}); check the address, or "
            "start one with `ray start --head`"
        ) from None


def _require(kind: str, needed: float, offered: dict[str, float]) -> None:
    if needed > offered.get(kind, 0):
        raise UserError(
            f"'resources' must be what this machine has (got {needed:g} {kind}s of {offered.get(kind, 0):g}); "
            "ask for less"
        )
