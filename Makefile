# Each target alone does all the set-up; the environment is made anew when pyproject.toml has changed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help claims lint test bundle bench

help: ## show this help
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 18
	@echo "  ARGS=… is passed on to pytest: make claims ARGS='--claims-models convnext_tiny'"

claims: $(READY) ## judge every claim of the paper on this machine
	$(BIN)/python -m pytest -m claims $(ARGS)

# Tests time nothing, so claims of the edge are left to `make claims`; and threads that wait spinning take 2 to 10
# times the CPU on a busy machine.
test: export OMP_WAIT_POLICY ?= passive
test: lint ## linters, types and all tests
	$(BIN)/python -m pytest -m 'not (claims and edge)' $(ARGS)

lint: $(READY) ## linters and types alone
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/shellcheck ci/*.sh
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/zizmor --quiet --offline --persona=pedantic .github/workflows

bundle: $(READY) ## what an edge device runs: make bundle ARGS='convnext_small -o bundle'
	$(BIN)/edgeai-repro bundle $(ARGS)

bench: $(READY) ## time and memory of claims, command line and edge; with EDGEAI_DATA, of training too
	$(BIN)/python -m tests.benchmarks.claims_speed
	$(BIN)/python -m tests.benchmarks.cli_speed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	$(BIN)/python -m tests.benchmarks.edge_speed
ifneq ($(EDGEAI_DATA),)
	$(BIN)/python -m tests.benchmarks.training_speed
	$(BIN)/python -m tests.benchmarks.cifar_training_speed
endif

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("PYTHON must be 3.11 or newer (got %s); set PYTHON=python3.11" % sys.version.split()[0])'
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@
