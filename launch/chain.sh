#!/usr/bin/env bash
# The whole chain, from nothing to judged clips. One stage is one line: a config and a run directory
# that starts from the run of the line above. Started again, it resumes where it stopped.
#
#   bash launch/chain.sh tiny            half an hour on two CPU cores; released: hours
#   bash launch/chain.sh smoke           the same plumbing in a few minutes; the clips are noise
# shellcheck disable=SC2046 # $(config ...) is two words
set -euo pipefail
size=${1:?usage: bash launch/chain.sh SIZE [RUNS_DIR [DATA_DIR]], SIZE: smoke, tiny, released, small, base}
runs=${2:-runs/$size}
data=${3:-data}
cd "$(dirname "$0")/.."

# Keep freed memory instead of returning it to the system after every step, which is slow for small
# steps on a CPU (glibc only; elsewhere these names mean nothing).
export MALLOC_MMAP_THRESHOLD_=1073741824 MALLOC_TRIM_THRESHOLD_=4294967296

run() { python -m seedance_jax "$@"; }
config() { echo "--config=configs/$1.py:$size --config.data.data_dir=$data"; }

# 1. The synthetic physics world: clips, captions and ground truth, as TFDS in ArrayRecord files.
run build_data $(config vae)

# 2. The causal video autoencoder, on clips and images, and its score on clips it has not seen.
run train $(config vae) --workdir="$runs/vae"
run evaluate --workdir="$runs/vae"

# 3. Latents of all clips, so that the generator's training need not encode them again.
run encode $(config pretrain) --config.vae_run="$runs/vae"

# 4. The generator: text to image, text to video and image to video, by mask.
run train $(config pretrain) --config.vae_run="$runs/vae" --workdir="$runs/pretrain"

# 5. Clips of prompts, and the judges' verdict on prompts of colour-shape pairs never trained on.
run sample --workdir="$runs/pretrain" --prompts_file=launch/prompts.txt --output="$runs/samples"
judged=(--num_prompts=48); [ "$size" = smoke ] && judged=(--num_prompts=4 --num_inference_steps=4)
run evaluate --workdir="$runs/pretrain" "${judged[@]}"

echo "clips: $runs/samples/*.mp4   contact sheet: $runs/samples/sheet_*.png"
