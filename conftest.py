"""Fixtures of this repository's own tests; the plugin comes by its entry point."""

pytest_plugins = ["pytester"]
