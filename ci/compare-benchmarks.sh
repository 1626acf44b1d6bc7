#!/usr/bin/env bash
# Times what is deployed, and compares with this device's last times: ci/compare-benchmarks.sh BUNDLE RESULTS
# Times are kept in .benchmarks, by device; benchmarks.txt in the folder RESULTS gets the table. More arguments go to
# pytest. With ACCEPT=true nothing is compared: these times are the ones to compare with from now on.
set -euo pipefail
cd "$(dirname "$0")/.."
bundle=${1:?"BUNDLE must be given: ci/compare-benchmarks.sh BUNDLE RESULTS"}
results=${2:?"RESULTS must be given: ci/compare-benchmarks.sh BUNDLE RESULTS"}
# The A/A control lets a quiet machine differ from itself by 5 %, in either run.
compare=(--benchmark-compare --benchmark-compare-fail=median:10%)
if [ "${ACCEPT:-false}" = true ]; then
    compare=()
fi
mkdir -p "$results"
.venv/bin/python -m pytest tests/benchmarks --bundle="$bundle" --benchmark-autosave "${compare[@]}" "${@:3}" |
    tee "$results/benchmarks.txt"
