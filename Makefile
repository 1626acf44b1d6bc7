# Each target sets up the environment if needed, and again after a change of pyproject.toml.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
INSTALL := pip install --quiet --disable-pip-version-check --no-compile

.DEFAULT_GOAL := help
.PHONY: help claims quick lint test bundle bench nightly sweep pruning-survey fuzz chaos

help: ## show this help
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 18
	@echo "  ARGS=… are passed to pytest: make claims ARGS='--claims-models=convnext_tiny'"

claims: $(READY) ## judge every claim on this machine
	$(BIN)/python -m pytest -m claims $(ARGS)

quick: $(READY) ## judge only what counts decide, within a minute
	$(BIN)/python -m pytest -m claims --claims-quick $(ARGS)

# pip may warn that this torch is newer than pyproject.toml allows: that is the purpose.
nightly: $(READY) ## judge every claim with torch's nightly build from TORCH_NIGHTLY_INDEX; see ci/nightly.sh
	$(BIN)/python -m pip install --quiet --pre --upgrade --index-url '$(TORCH_NIGHTLY_INDEX)' torch torchvision
	$(BIN)/python -m pytest -m claims $(ARGS)

# Claims about times are left to `make claims`: tests time nothing. Threads that spin while they wait would take 2 to
# 10 times the CPU time on a busy machine, so they sleep. Each of several WORKERS may hold one
# of the largest networks in memory; with 0 there is one process.
test: export OMP_WAIT_POLICY ?= passive
test: WORKERS ?= 0
test: lint ## linters, types, import rules and all tests
	$(BIN)/python -m pytest -n $(WORKERS) -m 'not (claims and edge)' $(ARGS)

lint: $(READY) ## only linters, types and import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --num-workers=2
	$(BIN)/lint-imports --no-cache --no-logo
	$(BIN)/shellcheck ci/*.sh
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/zizmor --quiet --offline --persona=pedantic .github/workflows

bundle: $(READY) ## write what an edge device runs: make bundle ARGS='convnext_small --output=bundle'
	$(BIN)/edgeai-repro bundle $(ARGS)

bench: $(READY) ## time claims, command line, grids and edge models, and training if EDGEAI_DATA is set
	$(BIN)/python -m tests.benchmarks.claims_speed
	$(BIN)/python -m tests.benchmarks.cli_speed
	$(BIN)/python -m tests.benchmarks.grid_overhead
	$(BIN)/python -m $(INSTALL) --editable '.[bench]'
	$(BIN)/python -m tests.benchmarks.edge_speed
	$(BIN)/python -m tests.benchmarks.runtime_speed
ifneq ($(EDGEAI_DATA),)
	$(BIN)/python -m tests.benchmarks.training_speed
	$(BIN)/python -m tests.benchmarks.cifar_training_speed
endif

sweep: export OMP_WAIT_POLICY ?= passive
sweep: $(READY) ## count every network of torchvision and timm, compare with torch's counter, write docs/counters.md
	$(BIN)/python -m tests.benchmarks.count_sweep $(ARGS)

fuzz: export OMP_NUM_THREADS ?= 1
fuzz: SECONDS ?= 600
fuzz: SEED ?= 1
fuzz: $(READY) ## show all readers odd inputs, random ones and ones guided by coverage: make fuzz SECONDS=3600
	$(BIN)/python -m $(INSTALL) --editable '.[fuzz]'
	$(BIN)/python -m tests.fuzz.run --seconds=$(SECONDS) --seed=$(SEED) $(ARGS)

pruning-survey: export OMP_NUM_THREADS ?= 1
pruning-survey: $(READY) ## prune a network of each of 40 families by two libraries, write docs/pruning.md
	$(BIN)/python -m tests.benchmarks.pruning_survey $(ARGS)

chaos: $(READY) ## kill commands, fill their disk, run claims under load, and print what was damaged or flipped
	$(BIN)/python -W ignore -m tests.chaos.run $(ARGS)

# roc-validator needs rich before version 14, import-linter a later one, so it has an environment of its own, which is
# installed at the same time. Without it the tests of crates are skipped: CI must have it. pip would compile in one
# process. Modules must be compiled before tests import them: the compiler's warnings would be errors there. Some packages
# have templates that can't be compiled.
$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("PYTHON must be 3.11 or newer (got %s); set PYTHON=python3.11" % sys.version.split()[0])'
	$(PYTHON) -m venv --clear $(VENV)
	{ $(PYTHON) -m venv $(VENV)/roc-validator && $(VENV)/roc-validator/bin/python -m $(INSTALL) 'roc-validator==0.13.*'; } & \
	$(BIN)/python -m $(INSTALL) --editable '.[test]' && wait $$!
	@$(BIN)/python -W ignore -m compileall -qq -j 0 $(VENV)/lib || true
	@touch $@
