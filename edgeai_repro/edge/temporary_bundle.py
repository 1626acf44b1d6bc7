"""A bundle for one run, where none is given: with random weights, which are as fast as any."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from edgeai_repro.edge.bundle import Bundle
from edgeai_repro.errors import MissingRequirement

NEEDED = ("onnx", "onnxruntime", "torch")


@cache
def make(model: str) -> Bundle:
    """Write the bundle of a model into a folder that this process removes when it ends.

    Raises ConditionMissing where the packages that it takes aren't installed, as on an edge device.
    """
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise MissingRequirement(
            "edge",
            f"no bundle is given, and none can be made without {', '.join(missing)}: where these are installed, "
            f"`edgeai-repro bundle {model} -o DIR`; here --bundle DIR",
        )
    from edgeai_repro.edge import build

    folder = tempfile.mkdtemp(prefix="edgeai-repro-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return build.build(build.read_source(model), Path(folder) / "bundle", target=build.TARGET, test_split=False)
