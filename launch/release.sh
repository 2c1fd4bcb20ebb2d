#!/usr/bin/env bash
# Trains the weights that come with the package again, from nothing, judges them and puts them in
# place of the old ones. Hours on two CPU cores; started again, it goes on where it was.
#
#   bash launch/release.sh [RUNS_DIR [DATA_DIR]]
set -euo pipefail
runs=${1:-runs/released}
data=${2:-data}
cd "$(dirname "$0")/.."

bash launch/chain.sh released "$runs" "$data"
rm -rf "$runs/tiny"
python -m seedance_jax release --workdir="$runs/pretrain" --output="$runs/tiny" --log=seedance_jax/weights/test_runs.jsonl
rm -rf seedance_jax/weights/tiny
mkdir -p seedance_jax/weights
cp -r "$runs/tiny" seedance_jax/weights/tiny
