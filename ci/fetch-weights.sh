#!/usr/bin/env bash
# Downloads trained weights: ci/fetch-weights.sh WEIGHTS
# WEIGHTS_URL names a tar archive with the folders of two training runs, `pruned` and `dense`; WEIGHTS_SHA256 is the
# archive's sha256. Without WEIGHTS_URL nothing is downloaded, and a bundle gets random weights: good enough for
# timing, useless for accuracy.
#
# Example: WEIGHTS_URL=https://example.org/weights.tar WEIGHTS_SHA256=… ci/fetch-weights.sh weights
set -euo pipefail
cd "$(dirname "$0")/.."
weights=${1:?"WEIGHTS is missing: ci/fetch-weights.sh WEIGHTS"}
if [ -z "${WEIGHTS_URL:-}" ]; then
    echo "WEIGHTS_URL is not set: the weights will be random, so accuracy can't be judged on the device"
    exit
fi
sum=${WEIGHTS_SHA256:?"WEIGHTS_SHA256 is missing; set it to the sha256 of the archive at WEIGHTS_URL"}
archive=$(mktemp)
trap 'rm -f "$archive"' EXIT
curl --proto '=https,file' --fail --silent --show-error --location --retry 3 --output "$archive" -- "$WEIGHTS_URL"
if ! echo "$sum  $archive" | sha256sum --check --status; then
    echo "WEIGHTS_URL must name a file with sha256 $sum (got $(sha256sum "$archive" | cut -c -64)); fix one of them" >&2
    exit 1
fi
mkdir -p "$weights"
tar --extract --no-same-owner --file "$archive" --directory "$weights"
