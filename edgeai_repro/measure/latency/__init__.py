"""Interleaved timing, with control of cores and threads and detection of throttling."""
