#!/usr/bin/env bash
# The public API, one item a line, as tests/golden/api.txt keeps it: `bash tests/golden/api.sh` compares, with --write writes.
#
# A change of the listing shows up in review beside the change that made it. The listing is made by cargo-public-api from nightly's
# documentation in JSON; another version of either may spell things differently, so they stand at its top, and where they are others the
# difference is shown and not held against anyone.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
kept=tests/golden/api.txt
if ! command -v cargo-public-api >/dev/null || ! rustc +nightly --version >/dev/null 2>&1; then
    echo "the API was not listed: cargo-public-api and a nightly toolchain are needed"
    exit 0
fi
fresh=$(mktemp)
trap 'rm -f "$fresh"' EXIT
{
    printf '# %s, %s\n' "$(cargo public-api --version)" "$(rustc +nightly --version)"
    cargo public-api -p hydranet -sss
    cargo public-api -p hydranet-tape -sss
} >"$fresh"
if [ "${1:-}" = --write ]; then
    cp "$fresh" "$kept"
elif diff -u <(tail -n +2 "$kept") <(tail -n +2 "$fresh"); then
    echo "the API is as listed: $(($(wc -l <"$kept") - 1)) items"
elif [ "$(head -n 1 "$kept")" = "$(head -n 1 "$fresh")" ]; then
    echo "the public API changed: if that is meant, bash tests/golden/api.sh --write" >&2
    exit 1
else
    echo "listed with other versions than $(head -n 1 "$kept" | cut -c3-): not compared"
fi
