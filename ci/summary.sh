#!/usr/bin/env bash
# Puts the verdict table, and the benchmarks where there are any, into the job's summary: ci/summary.sh RESULTS
# Without GITHUB_STEP_SUMMARY it shows them.
set -euo pipefail
cd "$(dirname "$0")/.."
results=${1:?"RESULTS must be given: ci/summary.sh RESULTS"}
{
    if [ -e "$results/report.md" ]; then
        cat "$results/report.md"
    else
        echo "No verdict: the run ended before one was given."
    fi
    if [ -e "$results/benchmarks.txt" ]; then
        printf '\n## Benchmarks\n\n```text\n'
        cat "$results/benchmarks.txt"
        printf '```\n'
    fi
} >>"${GITHUB_STEP_SUMMARY:-/dev/stdout}"
