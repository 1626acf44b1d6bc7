"""The subcommands of `edgeai-repro`; each imports what it needs when it runs, so that --help stays quick."""
