#!/usr/bin/env bash
# Makes the environment on an edge device, in .venv: ONNX Runtime, no torch. PYTHON names the Python to make it with.
set -euo pipefail
cd "$(dirname "$0")/.."
"${PYTHON:-python3}" -m venv --clear .venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[edge,report]'
