#!/usr/bin/env bash
# Adds the verdicts to the job's summary, and writes the badge, as the action of action.yml does:
# ci/action-show.sh RESULTS
# Outside of GitHub Actions (no GITHUB_STEP_SUMMARY) it prints them. RESULTS/badge.json is for shields.io's endpoint.
#
# Example: ci/action-show.sh results
set -euo pipefail
results=${1:?"RESULTS is missing: ci/action-show.sh RESULTS"}
if [ -e "$results/verdicts.json" ]; then
    "${PYTHON:-python}" -c "from edgeai_repro.__main__ import main; main()" badge "$results/verdicts.json" \
        >"$results/badge.json"
fi
if [ -e "$results/report.md" ]; then
    cat "$results/report.md" >>"${GITHUB_STEP_SUMMARY:-/dev/stdout}"
else
    echo "No verdict: the run ended before the first one." >>"${GITHUB_STEP_SUMMARY:-/dev/stdout}"
fi
