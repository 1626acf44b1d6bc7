"""Limits of what is read, in one place. Files are checked against them before anything is parsed or allocated.

Each limit is far above what this project writes (observed in its own files), and far below what a machine with
2 GB of memory can hold or parse within seconds.
"""

from __future__ import annotations

YAML_BYTES = 2_000_000  # a claims file has up to 18 kB
JSON_BYTES = 128_000_000  # the verdicts on 20,000 claims take about 80 MB
JSON_VALUES = 8_000_000  # values and members of JSON; the verdicts on 20,000 claims have 2.5 million
SUMS_BYTES = 1_000_000  # a SHA256SUMS of 10,000 files
IMAGE_BYTES = 64_000_000  # a mosaic of 10,000 images takes 17 MB
ARRAY_BYTES = 64_000_000  # the labels of CIFAR-10 take 60 kB, unpacked
WEIGHT_BYTES = 4_000_000_000  # the weights of ConvNeXt-Large take 0.8 GB
PIXELS = 64_000_000  # a mosaic has 10.2 million
INPUT_VALUES = 64_000_000  # of an ONNX model; an image of 4000 × 4000 pixels has 48 million
DEPTH = 40  # levels of lists and mappings; our documents have up to 9
VALUES = 200_000  # values of a YAML file, with those that aliases repeat
RUNS = 50_000  # of a grid; each takes minutes
INTEGER = 2**63 - 1
LARGEST = 1e100  # of a float, so that no sum or square of numbers that were read overflows
DIGITS = 100  # characters of a number; longer ones take quadratic time to read
