#!/usr/bin/env bash
# Test and measure on a machine with a GPU in less than 8 minutes, without a network or an installation.
#
#   bash benchmarks/gpu/run.sh [FOLDER]
#
# Needs a python3 with PyTorch, numpy and pytest. FOLDER, build/gpu if not given, gets info.txt, pytest.txt,
# gpu.json and gpu.txt. What there is to mend is printed last. PYTHON names another Python.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
folder="${1:-build/gpu}"
python="${PYTHON:-python3}"
mkdir -p "$folder"
export PYTHONPATH="$PWD/src" PYTHONUNBUFFERED=1 BATCHDOT_KERNELS="${BATCHDOT_KERNELS:-native,triton}"

timeout 60 "$python" -m batchdot info 2>&1 | tee "$folder/info.txt"
timeout 130 "$python" -m pytest -m cuda -q --color=no -p no:cacheprovider --maxfail=40 tests/kernels 2>&1 |
  tee "$folder/pytest.txt" | tail -60
timeout 280 "$python" -m benchmarks.gpu --budget 260 --out "$folder/gpu.json" ${GPU_ARGS:-} 2>&1 | tee "$folder/gpu.txt"
status=$?
echo "Tests that failed:"
grep -E '^(FAILED|ERROR)' "$folder/pytest.txt" || tail -1 "$folder/pytest.txt"
exit "$status"
