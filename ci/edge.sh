#!/usr/bin/env bash
# Judges on the device what is deployed: ci/edge.sh BUNDLE RESULTS [pytest's arguments]
# RESULTS, a folder, gets verdicts.json, report.html and report.md. A claim that can't be judged since data, weights
# or the device (EDGEAI_DEVICE) are missing fails.
set -euo pipefail
cd "$(dirname "$0")/.."
bundle=${1:?"BUNDLE must be given: ci/edge.sh BUNDLE RESULTS"}
results=${2:?"RESULTS must be given: ci/edge.sh BUNDLE RESULTS"}
mkdir -p "$results"
.venv/bin/python -m pytest -m "claims and edge" --bundle="$bundle" --claims-require=data,weights,edge \
    --claims-json="$results/verdicts.json" --claims-report="$results" "${@:3}"
