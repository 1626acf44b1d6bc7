#!/usr/bin/env bash
# Times the bundle on this device, and compares with its last times: ci/compare-benchmarks.sh BUNDLE RESULTS
# Times are stored in .benchmarks, by device. The table is also written to benchmarks.txt in the folder RESULTS.
# Further arguments are passed to pytest. With ACCEPT=true nothing is compared, and later runs compare with this one.
#
# Example: ci/compare-benchmarks.sh bundle results
set -euo pipefail
cd "$(dirname "$0")/.."
bundle=${1:?"BUNDLE is missing: ci/compare-benchmarks.sh BUNDLE RESULTS"}
results=${2:?"RESULTS is missing: ci/compare-benchmarks.sh BUNDLE RESULTS"}
# The A/A control accepts a difference of 5 % in each of the two runs.
compare=(--benchmark-compare --benchmark-compare-fail=median:10%)
if [ "${ACCEPT:-false}" = true ]; then
    compare=()
fi
mkdir -p "$results"
.venv/bin/python -m pytest tests/benchmarks --bundle="$bundle" --benchmark-autosave "${compare[@]}" "${@:3}" |
    tee "$results/benchmarks.txt"
