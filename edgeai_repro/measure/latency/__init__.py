"""Interleaved timing, and what it depends on: cores, threads and throttling."""
