#!/usr/bin/env bash
# Builds what is deployed: ci/build-bundle.sh BUNDLE [WEIGHTS [options of `edgeai-repro bundle`]]
# BUNDLE is the folder to make. WEIGHTS holds the training runs `pruned` and, perhaps, `dense`; where it is missing,
# the bundle is of ConvNeXt-Small with random weights. With EDGEAI_DATA, it gets the packed test split too.
set -euo pipefail
cd "$(dirname "$0")/.."
bundle=${1:?"BUNDLE must be given: ci/build-bundle.sh BUNDLE [WEIGHTS]"}
weights=${2:-weights}
options=("${@:3}")
source=convnext_small
if [ -d "$weights/pruned" ]; then
    source=$weights/pruned
    if [ -d "$weights/dense" ]; then
        options+=(--dense "$weights/dense")
    fi
fi
if [ -n "${EDGEAI_DATA:-}" ]; then
    options+=(--with-test-split)
fi
set -- "$source" -o "$bundle" "${options[@]}"
make bundle ARGS="${*@Q}"
