"""Imports everything that registers a metric or a technique."""

import edgeai_repro.compress.techniques
import edgeai_repro.edge.metrics
import edgeai_repro.measure.counted_metrics
import edgeai_repro.measure.metrics
import edgeai_repro.measure.technique_metrics
import edgeai_repro.measure.time_metrics
import edgeai_repro.training.metrics  # noqa: F401
