#!/usr/bin/env bash
# Trains the weights of the package from scratch, judges them and replaces the old ones. Hours on two
# CPU cores; started again, it resumes where it stopped.
#
#   bash launch/release.sh [RUNS_DIR [DATA_DIR]]
set -euo pipefail
runs=${1:-runs/released}
data=${2:-data}
cd "$(dirname "$0")/.."

bash launch/chain.sh released "$runs" "$data"
rm -rf "$runs/tiny"
python -m seedance_jax release --workdir="$runs/merged" --output="$runs/tiny" --log=seedance_jax/weights/test_runs.jsonl
rm -rf seedance_jax/weights/tiny
mkdir -p seedance_jax/weights
cp -r "$runs/tiny" seedance_jax/weights/tiny
