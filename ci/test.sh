#!/usr/bin/env bash
# Linters, types and all tests, as the README says; arguments go to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."
make test ARGS="${*@Q}"
