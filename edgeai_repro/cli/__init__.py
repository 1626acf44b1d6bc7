"""The command `edgeai-repro`, one file per command."""
