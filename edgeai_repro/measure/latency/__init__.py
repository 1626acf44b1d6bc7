"""Latency: interleaved timing, affinity, throttling and threads."""
