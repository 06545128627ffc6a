#!/usr/bin/env bash
# Builds the wheel, installs it in a fresh virtual environment and runs its tests:
# `bash tests/python/run.sh [pytest's arguments]`.
#
# The library is not compiled again if the tests or the command were built before with the features `parquet`, `remote` and `serve`.
# HYDRANET_PROFILE=dev takes that profile; HYDRANET_TORCH names a Python that has torch and timm, for the test that loads a
# model there; HYDRANET_ENGINES=1 fetches Ray Data and PySpark too, 800 MB, for the guide's examples with them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
profile=${HYDRANET_PROFILE:-release}

passed_by() {
    printf '%s: the Python package was not tried\n' "$1"
    exit 0
}
python=$(command -v python3 || true)
[ -n "$python" ] || passed_by "no python3"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 9))' || passed_by "python3 is older than 3.9"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$python" -m venv "$work/venv" >"$work/log" 2>&1 || passed_by "python3 has no venv with pip"
# PyPI is asked before anything is built: where it cannot be reached, that is no fault of ours.
packages=('maturin>=1.9.4,<2' numpy pyarrow pytest)
[ -z "${HYDRANET_ENGINES:-}" ] || packages+=('ray[data]' 'pyspark>=4,<5' 'pandas<3')
"$work/venv/bin/pip" install --quiet "${packages[@]}" >"$work/log" 2>&1 ||
    passed_by "maturin, numpy, pyarrow and pytest cannot be fetched by pip"

cargo build --profile "$profile" -p hydranet --features parquet,remote,serve
target=$(cargo metadata --no-deps --format-version 1 |
    "$python" -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')
# As the guide says it, but with the maturin that is here.
PATH="$work/venv/bin:$PATH" MATURIN_PEP517_ARGS="--profile $profile" \
    "$work/venv/bin/pip" wheel --quiet --no-deps --no-build-isolation --wheel-dir "$work/wheel" ./src/python
"$work/venv/bin/pip" install --quiet --no-deps "$work"/wheel/hydranet-*.whl

folder=$profile
[ "$profile" != dev ] || folder=debug
PYTHONDONTWRITEBYTECODE=1 HYDRANET_COMMAND="$target/$folder/hydranet" HYDRANET_WHEEL=$(echo "$work"/wheel/hydranet-*.whl) \
    "$work/venv/bin/python" -m pytest -q -rs -p no:cacheprovider --rootdir tests/python --basetemp "$work/tests" tests/python "$@"
