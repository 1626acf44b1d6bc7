#!/usr/bin/env bash
# Judges every claim on this machine: ci/judge.sh RESULTS [pytest's arguments]
# RESULTS, a folder, gets verdicts.json, report.html and report.md.
set -euo pipefail
cd "$(dirname "$0")/.."
results=${1:?"RESULTS must be given: ci/judge.sh RESULTS"}
shift
mkdir -p "$results"
set -- --claims-json="$results/verdicts.json" --claims-report="$results" "$@"
make claims ARGS="${*@Q}"
