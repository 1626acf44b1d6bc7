"""A comparison for the sweep whose process is killed for one network, as by a system that is out of memory."""

from __future__ import annotations

import os
import signal

from tests.support.zoo import Network
from tests.support.zoo_counts import Comparison, compare

DEADLY = "alexnet"


def compare_or_die(network: Network) -> Comparison:
    """Return the comparison of a network; kill this process for `DEADLY`."""
    if network.name == DEADLY:
        os.kill(os.getpid(), signal.SIGKILL)
    return compare(network)
