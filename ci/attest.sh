#!/usr/bin/env bash
# Checks the evidence, judges the claims by it, and writes an in-toto statement of the result: ci/attest.sh ATTESTATION
# The folder ATTESTATION gets statement.json, predicate.json and subjects.sha256. Torch isn't needed. It fails if a file
# isn't the listed one, or a claim has another verdict than expected.
#
# Example: ci/attest.sh attestation
set -euo pipefail
cd "$(dirname "$0")/.."
attestation=${1:?"ATTESTATION is missing: ci/attest.sh ATTESTATION"}
ci/edge-install.sh
.venv/bin/edgeai-repro evidence verify
.venv/bin/edgeai-repro rejudge
.venv/bin/edgeai-repro evidence attest --output="$attestation"
.venv/bin/edgeai-repro evidence verify "$attestation/statement.json"
