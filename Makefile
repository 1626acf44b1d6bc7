# Each target alone does all the set-up; the environment is made anew when pyproject.toml has changed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help claims test bench

help: ## show this help
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 18
	@echo "  ARGS=… is passed on to pytest: make claims ARGS='--claims-models convnext_tiny'"

claims: $(READY) ## judge every claim of the paper on this machine
	$(BIN)/python -m pytest -m claims $(ARGS)

# Tests time nothing, and threads that wait spinning take 2 to 10 times the CPU on a busy machine.
test: export OMP_WAIT_POLICY ?= passive
test: $(READY) ## linters, types and all tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest $(ARGS)

bench: $(READY) ## time and memory of claims, command line and edge; with EDGEAI_DATA, of training too
	$(BIN)/python -m tests.benchmarks.claims_speed
	$(BIN)/python -m tests.benchmarks.cli_speed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	$(BIN)/python -m tests.benchmarks.edge_speed
ifneq ($(EDGEAI_DATA),)
	$(BIN)/python -m tests.benchmarks.training_speed
endif

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("PYTHON must be 3.11 or newer (got %s); set PYTHON=python3.11" % sys.version.split()[0])'
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@
