"""Starts the command line, so that Ctrl-C ends it with one line while its modules are still imported, too."""

from __future__ import annotations

import os
import sys

from edgeai_repro.errors import Interrupted, as_line
from edgeai_repro.interruption import EXIT, LINE, interruptible


def main() -> None:
    """Run the command line."""
    try:
        with interruptible():
            from edgeai_repro.cli.main import main as run

            run()
    except Interrupted as interrupted:
        print(f"{LINE}{'; ' if interrupted.args else ''}{as_line(str(interrupted))}", file=sys.stderr, flush=True)
        sys.stdout.flush()
        os._exit(EXIT)  # at once: unloading the libraries takes up to a second


if __name__ == "__main__":
    main()
