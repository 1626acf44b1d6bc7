"""Where pytest finds the plugin: Ctrl-C while its modules are imported ends the run with one line.

PYTEST_DONT_REWRITE: it has no assertions, and imports the hooks before pytest could rewrite them.
"""

from __future__ import annotations

import sys

from edgeai_repro.interruption import LINE

pytest_plugins = ["edgeai_repro.plugin.hooks"]

try:
    from edgeai_repro.plugin import hooks as hooks
except KeyboardInterrupt:
    print(LINE, file=sys.stderr)
    raise SystemExit(2) from None  # pytest's status of an interrupted run; pytest may not be imported yet
