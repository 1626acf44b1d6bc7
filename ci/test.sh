#!/usr/bin/env bash
# Linters, types and all tests, as the README says; arguments go to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ "$(uname -m)" = aarch64 ]; then
    # The last wheels for arm64 that are built for a CPU; later ones bring several GB of CUDA.
    constraints=$(mktemp)
    printf '%s\n' torch==2.10.0 torchvision==0.25.0 >"$constraints"
    export PIP_CONSTRAINT=$constraints
fi
make test ARGS="${*@Q}"
