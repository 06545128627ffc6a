#!/bin/sh
# How training by MPI scales on one machine: one process of two threads against two processes of one, over the same drawn photos.
# Both have to write the same bytes. Wants Open MPI, two cores and nothing else to do; from the repository's root:
#
#     sh tests/bench/machines.sh [SETTING …]
#
# A setting is one of `hydranet train --set`, such as train.batch_norm=sync. What is timed is what four more epochs take, so that
# neither the start nor the scores at the end count.
set -eu

cargo build --release --features mpi
program="${CARGO_TARGET_DIR:-target}/release/hydranet"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# Draws portraits, and trains on them for an epoch: not looked at.
"$program" demo --out "$folder/drawn" --set train.epochs=1 --set train.patience=0 > "$folder/demo.txt"
data="$folder/drawn/portraits.csv"

# train NAME EPOCHS PROCESSES THREADS [SETTING …]: prints the seconds it took.
train() {
    name=$1 epochs=$2 processes=$3 threads=$4
    shift 4
    if [ "$processes" -gt 1 ]; then
        launch="mpirun --bind-to none -n $processes"
        [ "$(id -u)" -ne 0 ] || launch="$launch --allow-run-as-root"
    else
        launch=""
    fi
    arguments="--set train.parts=2 --set train.patience=0 --set train.epochs=$epochs"
    for setting in "$@"; do
        arguments="$arguments --set $setting"
    done
    before=$(date +%s.%N)
    # Settings have no spaces.
    # shellcheck disable=SC2086
    $launch "$program" --threads "$threads" train --data "$data" --out "$folder/$name" $arguments > "$folder/$name.txt"
    after=$(date +%s.%N)
    echo "$before $after" | awk '{ print $2 - $1 }'
}

photos=$(awk -F, 'NR > 1' "$data" | wc -l)
for kind in "1 2" "2 1"; do
    processes=${kind% *} threads=${kind#* }
    short=$(train "short-$processes" 1 "$processes" "$threads" "$@")
    long=$(train "long-$processes" 5 "$processes" "$threads" "$@")
    echo "$processes $threads $photos $short $long" |
        awk '{ printf "%d process(es) of %d thread(s): %.1f photos a second in training and validation\n", $1, $2, 4 * $3 / ($5 - $4) }'
done

for file in best.safetensors last.safetensors metrics.csv; do
    cmp "$folder/long-1/$file" "$folder/long-2/$file"
done
echo "the same bytes"
