"""The conditions of the metrics of networks: what they mean, and the values that they may have. No torch."""

from __future__ import annotations

from edgeai_repro.claims.values import allow_range, allow_values, explain
from edgeai_repro.measure.counters import MODULES

COUNTED, LEFT_OUT, FOLDED = "counted", "left out", "folded"
COUNTER = "counter"  # the convention of common counters

allow_range("resolution", "classes", "batch", "threads", low=1, whole=True)
allow_range("kept", low=0, high=1, low_is_open=True)
allow_values("biases", COUNTED, LEFT_OUT)
allow_values("batchnorm", COUNTED, LEFT_OUT, FOLDED)
allow_values("linear_layers", COUNTED, LEFT_OUT)
allow_values("counter", *MODULES)
allow_values("operations_per_mac", 1, 2)
allow_values("unit", "MB", "MiB")
allow_values("convention", COUNTER, "hrank", "fpgm")  # the keys of measure/conventions.py
explain(
    resolution="the side of the image in pixels",
    classes="the number of classes",
    batch="the images of a run",
    threads="the threads of a run",
    device="the processor that the claim is about",
    biases="whether biases count",
    batchnorm="whether BatchNorm counts; folded, it leaves one bias per channel",
    linear_layers="whether Linear layers count",
    counter="the counter that reports",
    operations_per_mac="2 if a multiplication and an addition count apart",
    unit="megabytes of 10⁶ or of 2²⁰ bytes",
    convention="who counted: common counters, or the authors' own script",
    kept="the share of each layer's filters that stay, for the convention fpgm",
    stage="before Huffman's code, or with it",
    stored="the form in which the weights are stored",
    table="the name of a table under claims/coding",
)
