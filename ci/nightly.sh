#!/usr/bin/env bash
# Judges every claim with the nightly build of torch: ci/nightly.sh RESULTS [pytest's arguments]
# TORCH_NIGHTLY_INDEX is the package index of the nightly CPU builds, as pytorch.org names it under "Get started".
# The environment is .venv-nightly; the folder RESULTS gets verdicts.json, report.html and report.md.
#
# Example: TORCH_NIGHTLY_INDEX=https://… ci/nightly.sh results -k francy2024
set -euo pipefail
cd "$(dirname "$0")/.."
results=${1:?"RESULTS is missing: ci/nightly.sh RESULTS"}
: "${TORCH_NIGHTLY_INDEX:?"TORCH_NIGHTLY_INDEX is missing; set it to the index that pytorch.org names for nightly builds"}"
shift
mkdir -p "$results"
set -- --claims-json="$results/verdicts.json" --claims-report="$results" "$@"
make VENV=.venv-nightly nightly ARGS="${*@Q}"
