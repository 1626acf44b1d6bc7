"""The pytest plugin: options, fixtures, outcomes, and the storage of benchmarks."""
