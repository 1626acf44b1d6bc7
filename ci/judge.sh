#!/usr/bin/env bash
# Judges every claim on this machine: ci/judge.sh BUNDLE RESULTS [pytest's arguments]
# BUNDLE is a folder written by ci/build-bundle.sh. The folder RESULTS gets verdicts.json, report.html and report.md.
# SHARD=2/5 judges only the second of five parts of the claims; ci/merge.sh merges the results of all parts.
#
# Example: ci/judge.sh bundle results --claims-models=convnext_small
set -euo pipefail
cd "$(dirname "$0")/.."
bundle=${1:?"BUNDLE is missing: ci/judge.sh BUNDLE RESULTS"}
results=${2:?"RESULTS is missing: ci/judge.sh BUNDLE RESULTS"}
shift 2
mkdir -p "$results"
if [ -n "${SHARD:-}" ]; then
    set -- --claims-shard="$SHARD" "$@"
fi
set -- --bundle="$bundle" --claims-json="$results/verdicts.json" --claims-report="$results" "$@"
make claims ARGS="${*@Q}"
