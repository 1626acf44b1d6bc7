#!/usr/bin/env bash
# Searches inputs that break a reader, for SECONDS; a SEED gives the same inputs again. Failures are in build/fuzz.
#
# Example: ci/fuzz.sh 3600 1
set -euo pipefail
cd "$(dirname "$0")/.."
make fuzz SECONDS="${1:?usage: ci/fuzz.sh SECONDS SEED}" SEED="${2:?usage: ci/fuzz.sh SECONDS SEED}"
