#!/usr/bin/env bash
# The whole chain, from nothing to judged clips. One stage is one line: a config and a run directory
# that starts from the run of the line above. Started again, it resumes where it stopped, and what
# is done already is left as it is; so a stage can also be entered with runs that were made before.
#
#   bash launch/chain.sh tiny            on two CPU cores; released: longer
#   bash launch/chain.sh smoke           the same plumbing in minutes; the clips are noise
#   VAE=DIR bash launch/chain.sh tiny    with an autoencoder that is there, a run or a release
# shellcheck disable=SC2046 # $(config ...) is two words
set -euo pipefail
size=${1:?usage: bash launch/chain.sh SIZE [RUNS_DIR [DATA_DIR]], SIZE: smoke, tiny, released, small, base}
runs=${2:-runs/$size} # or gs://bucket/path
data=${3:-data}
cd "$(dirname "$0")/.."

# Keep freed memory instead of returning it to the system after every step, which is slow for small
# steps on a CPU (glibc only; elsewhere these names mean nothing).
export MALLOC_MMAP_THRESHOLD_=1073741824 MALLOC_TRIM_THRESHOLD_=4294967296

case $runs in gs://*) times=runs/${runs#gs://}/times.txt ;; *) times=$runs/times.txt ;; esac
# exists PATH: whether there is such a file, or such an object in a bucket; what cannot be asked
# ends the script.
exists() {
    local found
    case $1 in
    gs://*)
        found=$(python -c 'import sys; from seedance_jax.training.places import place; print(place(sys.argv[1]).exists())' "$1") || exit
        [ "$found" = True ]
        ;;
    *) [ -e "$1" ] ;;
    esac
}
run() { python -m seedance_jax "$@"; }
config() { echo "--config=configs/$1.py:$size${2:-} --config.data.data_dir=$data"; }
# part NAME COMMAND...: runs a command, and writes down how long it took.
part() {
    local start=$SECONDS
    "${@:2}"
    mkdir -p "$(dirname "$times")" && printf '%6d s  %s\n' $((SECONDS - start)) "$1" >>"$times"
}
# stage CONFIG PARENT [CATEGORY [FLAG...]]: trains a stage of the generator from the run of another.
stage() {
    part "$1${3:+ $3}" run train $(config "$1" "${3:+,$3}") "${vae[@]}" ${2:+--config.init_from="$runs/$2"} --workdir="$runs/$1${3:+_$3}" "${@:4}"
}
# Specialists end early by a suite for choosing, at the sizes whose clips have one.
early() {
    case $size in
        tiny) echo --suite=world_v2_dev --suite_every=20 --suite_patience=2 ;;
        released) echo --suite=world_v2_plain_dev --suite_every=120 --suite_patience=2 ;;
    esac
}

# 1. The synthetic physics world: clips, captions and ground truth, as TFDS in ArrayRecord files;
#    and how much each clip moves, and how it looks.
part build_data run build_data $(config vae)
part score run score $(config continue_train)
part score run score $(config sft)

# 2. The causal video autoencoder, on clips and images, and its score on clips it has not seen.
if [ ! "${VAE:-}" ]; then
    VAE=$runs/vae
    part vae run train $(config vae) --workdir="$VAE"
    part "evaluation of vae" run evaluate --workdir="$VAE"
fi
vae=(--config.vae_run="$VAE")

# 3. Pretraining: images, then clips, then more pixels, then more frames a second. From the third
#    stage on latents are computed once.
stage pretrain_image ""
stage pretrain_video pretrain_image
part "latents" run encode $(config pretrain_highres) "${vae[@]}"
stage pretrain_highres pretrain_video
part "latents" run encode $(config pretrain_24fps) "${vae[@]}"
stage pretrain_24fps pretrain_highres

# 4. Continued training on the clips that score best; specialists of it by category, and one model
#    of them all.
stage continue_train pretrain_24fps
specialists=()
categories=$(sed -n 's/^ *\([A-Za-z_][A-Za-z0-9_]*\) *:.*/\1/p' configs/taxonomy.txt)
case $size in smoke | tiny) categories=$(grep -vx meetings <<<"$categories") ;; esac # one object
for category in $categories; do
    # One that ended early would go on.
    exists "$runs/sft_$category/metadata.json" || stage sft continue_train "$category" $(early)
    specialists+=("$runs/sft_$category")
done
exists "$runs/merged/metadata.json" || part merge run merge --runs="$(IFS=,; echo "${specialists[*]}")" --output="$runs/merged"

# 5. Clips of prompts, and the judges' verdict on prompts of colour-shape pairs never trained on.
run sample --workdir="$runs/merged" --prompts_file=launch/prompts.txt --output="$runs/samples"
judged=(--num_prompts=48); [ "$size" = smoke ] && judged=(--num_prompts=4 --num_inference_steps=4)
part "evaluation of merged" run evaluate --workdir="$runs/merged" "${judged[@]}"

run describe --lineage="$runs/merged"
cat "$times"
echo "clips: $runs/samples/*.mp4   contact sheet: $runs/samples/sheet_*.png"
