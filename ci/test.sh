#!/usr/bin/env bash
# Runs linters, types and all tests, as in the README. Arguments are passed to pytest.
#
# Example: ci/test.sh -k size
set -euo pipefail
cd "$(dirname "$0")/.."
if [ "$(uname -m)" = aarch64 ]; then
    # The last arm64 wheels that are CPU builds; later ones contain several GB of CUDA.
    constraints=$(mktemp)
    printf '%s\n' torch==2.10.0 torchvision==0.25.0 >"$constraints"
    export PIP_CONSTRAINT=$constraints
fi
make test ARGS="${*@Q}"
