"""The command `edgeai-repro`, one file per command or group of commands."""

# Exit statuses: another verdict than expected, a mistake of the user, a missing requirement.
DRIFT, USAGE, MISSING = 1, 2, 3
