#!/usr/bin/env bash
# Installs edgeai-repro on an edge device, in .venv: with ONNX Runtime, without torch. PYTHON names the interpreter.
#
# Example: PYTHON=python3.11 ci/edge-install.sh
set -euo pipefail
cd "$(dirname "$0")/.."
"${PYTHON:-python3}" -m venv --clear .venv
# Modules are compiled when they are first imported: compiling all of them takes 40 % of the time.
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-compile --editable '.[edge,report]'
