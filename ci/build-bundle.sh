#!/usr/bin/env bash
# Builds the bundle for the edge device: ci/build-bundle.sh BUNDLE [WEIGHTS [options of `edgeai-repro bundle`]]
# BUNDLE is the folder to write. WEIGHTS contains the training run `pruned` and optionally `dense`; without it, the
# bundle is a ConvNeXt-Small with random weights. If EDGEAI_DATA is set, the bundle includes the packed test split.
#
# Example: ci/build-bundle.sh bundle weights --target=0.8
set -euo pipefail
cd "$(dirname "$0")/.."
bundle=${1:?"BUNDLE is missing: ci/build-bundle.sh BUNDLE [WEIGHTS]"}
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
