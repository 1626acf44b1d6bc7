"""Measurements of a model: size, counts, accuracy and latency."""
