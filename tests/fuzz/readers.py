"""All readers of the package that get files of others."""

from __future__ import annotations

from tests.fuzz.array_readers import ARRAY_READERS
from tests.fuzz.command_readers import COMMAND_READERS
from tests.fuzz.neighbour_readers import NEIGHBOUR_READERS
from tests.fuzz.path_readers import PATH_READERS
from tests.fuzz.text_readers import TEXT_READERS
from tests.fuzz.weight_readers import WEIGHT_READERS

READERS = [
    *TEXT_READERS,
    *ARRAY_READERS,
    *WEIGHT_READERS,
    *PATH_READERS,
    *COMMAND_READERS,
    *NEIGHBOUR_READERS,
]
