#!/usr/bin/env bash
# Adds the table of verdicts, and the benchmarks if there are any, to the job's summary: ci/summary.sh RESULTS
# Outside of GitHub Actions (no GITHUB_STEP_SUMMARY) it prints them.
#
# Example: ci/summary.sh results
set -euo pipefail
cd "$(dirname "$0")/.."
results=${1:?"RESULTS is missing: ci/summary.sh RESULTS"}
{
    if [ -e "$results/report.md" ]; then
        cat "$results/report.md"
    else
        echo "No verdict: the run ended before the first one."
    fi
    if [ -e "$results/benchmarks.txt" ]; then
        printf '\n## Benchmarks\n\n```text\n'
        tr '`' "'" <"$results/benchmarks.txt" # nothing in it ends the block
        printf '```\n'
    fi
} >>"${GITHUB_STEP_SUMMARY:-/dev/stdout}"
