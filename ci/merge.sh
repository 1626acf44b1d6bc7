#!/usr/bin/env bash
# Merges the verdicts of all shards of the claims: ci/merge.sh SHARDS RESULTS
# The folder SHARDS contains a folder with a verdicts.json for each shard, written by ci/judge.sh. The folder RESULTS
# gets verdicts.json, report.html and report.md. The script fails if a shard is missing, and still merges the others.
#
# Example: ci/merge.sh shards results
set -euo pipefail
cd "$(dirname "$0")/.."
shards=${1:?"SHARDS is missing: ci/merge.sh SHARDS RESULTS"}
results=${2:?"RESULTS is missing: ci/merge.sh SHARDS RESULTS"}
mkdir -p "$results"
status=0
.venv/bin/edgeai-repro merge "$shards"/*/verdicts.json --output "$results/verdicts.json" || status=$?
if [ -e "$results/verdicts.json" ]; then
    .venv/bin/edgeai-repro report "$results/verdicts.json" --output="$results"
fi
exit "$status"
