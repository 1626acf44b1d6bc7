#!/usr/bin/env bash
# Judges the claims of a folder, as the action of action.yml does: ci/action-judge.sh CLAIMS RESULTS
# The folder RESULTS gets verdicts.json, report.html and report.md. ARGUMENTS has more arguments for pytest, separated
# by spaces; QUICK=true judges only what counts decide. No test of the repository in which it runs is collected.
#
# Example: QUICK=true ci/action-judge.sh claims results
set -euo pipefail
claims=${1:?"CLAIMS is missing: ci/action-judge.sh CLAIMS RESULTS"}
results=${2:?"RESULTS is missing: ci/action-judge.sh CLAIMS RESULTS"}
mkdir -p "$results"
tests=$(mktemp -d)
trap 'rm -rf "$tests"' EXIT
cat >"$tests/test_claims.py" <<'TEST'
import pytest


@pytest.mark.claims
def test_claim(verdict, report_outcome):
    report_outcome(verdict)


@pytest.mark.claims
def test_implication(implication, implication_result):
    assert implication_result.holds == implication.expect, implication_result.text
TEST
read -ra arguments <<<"${ARGUMENTS:-}"
if [ "${QUICK:-false}" = true ]; then
    arguments+=(--claims-quick)
fi
"${PYTHON:-python}" -m pytest "$tests/test_claims.py" -c /dev/null --rootdir="$PWD" -p no:cacheprovider -m claims \
    --claims-dir="$claims" --claims-json="$results/verdicts.json" --claims-report="$results" "${arguments[@]}"
