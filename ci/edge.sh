#!/usr/bin/env bash
# Judges the claims about edge devices on this one: ci/edge.sh BUNDLE RESULTS [pytest's arguments]
# The folder RESULTS gets verdicts.json, report.html and report.md. A claim fails if it can't be judged because data,
# weights or the device's name (EDGEAI_DEVICE) are missing.
#
# Example: EDGEAI_DEVICE=raspberry-pi-5 ci/edge.sh bundle results
set -euo pipefail
cd "$(dirname "$0")/.."
bundle=${1:?"BUNDLE is missing: ci/edge.sh BUNDLE RESULTS"}
results=${2:?"RESULTS is missing: ci/edge.sh BUNDLE RESULTS"}
mkdir -p "$results"
.venv/bin/python -m pytest -m "claims and edge" --bundle="$bundle" --claims-require=data,weights,edge \
    --claims-json="$results/verdicts.json" --claims-report="$results" "${@:3}"
