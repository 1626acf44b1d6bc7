#!/usr/bin/env bash
# Fetches trained weights: ci/fetch-weights.sh WEIGHTS
# WEIGHTS_URL names a tar archive of two training runs' folders, `pruned` and `dense`; WEIGHTS_SHA256 is its sum.
# Without WEIGHTS_URL nothing is fetched, and a bundle gets random weights: fit to be timed, not to be evaluated.
set -euo pipefail
cd "$(dirname "$0")/.."
weights=${1:?"WEIGHTS must be given: ci/fetch-weights.sh WEIGHTS"}
if [ -z "${WEIGHTS_URL:-}" ]; then
    echo "WEIGHTS_URL is not set: weights will be random, and no accuracy can be judged on the device"
    exit
fi
sum=${WEIGHTS_SHA256:?"WEIGHTS_SHA256 must be set, the sha256 of what WEIGHTS_URL names"}
archive=$(mktemp)
trap 'rm -f "$archive"' EXIT
curl --proto '=https,file' --fail --silent --show-error --location --retry 3 --output "$archive" -- "$WEIGHTS_URL"
if ! echo "$sum  $archive" | sha256sum --check --status; then
    echo "WEIGHTS_URL must name a file of sha256 $sum (got $(sha256sum "$archive" | cut -c -64)); mend either" >&2
    exit 1
fi
mkdir -p "$weights"
tar --extract --no-same-owner --file "$archive" --directory "$weights"
