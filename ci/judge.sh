#!/usr/bin/env bash
# Judges every claim on this machine: ci/judge.sh BUNDLE RESULTS [pytest's arguments]
# BUNDLE is what ci/build-bundle.sh wrote; RESULTS, a folder, gets verdicts.json, report.html and report.md.
set -euo pipefail
cd "$(dirname "$0")/.."
bundle=${1:?"BUNDLE must be given: ci/judge.sh BUNDLE RESULTS"}
results=${2:?"RESULTS must be given: ci/judge.sh BUNDLE RESULTS"}
shift 2
mkdir -p "$results"
set -- --bundle="$bundle" --claims-json="$results/verdicts.json" --claims-report="$results" "$@"
make claims ARGS="${*@Q}"
