# shellcheck shell=bash
# Everything that depends on the TPU generation. Sourced by the launchers.
# Nothing here has been measured on hardware: the flags are public recommendations; checked is that
# libtpu accepts them and, where stated, what the compiled program looks like.

GENERATIONS="v4 v5e v5p v6e tpu7x"

check_generation() {
  [[ " $GENERATIONS " == *" $1 "* ]] || fail "no TPU generation '$1'; legal: $GENERATIONS"
}

# Cloud TPU API: "generation runtime" of an accelerator type such as v5litepod-256. The number counts
# chips for v5e and v6e, and TensorCores, two a chip, for the others.
# Runtimes: https://cloud.google.com/tpu/docs/runtimes. That page sends users of tpu7x to GKE; the
# runtime here is the one of https://github.com/AI-Hypercomputer/accelerator-microbenchmarks.
of_accelerator_type() {
  local kind=${1%-*} number=${1##*-}
  local legal="v4-N v5litepod-N v5p-N v6e-N tpu7x-N"
  [[ $number =~ ^[1-9][0-9]*$ && $1 == *-* ]] || fail "no accelerator type '$1'; legal: $legal"
  case $kind in
    v5litepod | v6e)
      [[ " 1 4 8 16 32 64 128 256 " == *" $number "* ]] ||
        fail "$1: $number chips; legal numbers: 1 4 8 16 32 64 128 256"
      ;;
    *) ((number % 8 == 0)) || fail "$1: $number cores; legal numbers: multiples of 8 (a host of four chips)" ;;
  esac
  case $kind in
    v4) echo "v4 tpu-ubuntu2204-base" ;;
    v5litepod) echo "v5e v2-alpha-tpuv5-lite" ;;
    v5p) echo "v5p v2-alpha-tpuv5" ;;
    v6e) echo "v6e v2-alpha-tpuv6e" ;;
    tpu7x) echo "tpu7x v2-alpha-tpu7-ubuntu2404" ;;
    *) fail "no accelerator type '$1'; legal: $legal" ;;
  esac
}

# GKE: value of the node label cloud.google.com/gke-tpu-accelerator.
# https://cloud.google.com/kubernetes-engine/docs/concepts/plan-tpus
gke_accelerator() {
  case $1 in
    v4) echo tpu-v4-podslice ;;
    v5e) echo tpu-v5-lite-podslice ;;
    v5p) echo tpu-v5p-slice ;;
    v6e) echo tpu-v6e-slice ;;
    tpu7x) echo tpu7x ;;
  esac
}

# Flags of libtpu, the compiler and runtime, one a line.
libtpu_flags() {
  # Asynchronous all-to-all, which context parallelism uses, overlaps with computation. Off by
  # default: compiled for v5p and v6e, an all-to-all becomes a start and a done.
  # https://github.com/openxla/xla/blob/main/docs/flags_guidance.md; JAX tests it from v5 on. On v5e
  # a program in which one could overlap does not compile: "not supported on limited ICI".
  case $1 in v5p | v6e | tpu7x) echo --xla_tpu_enable_async_all_to_all=true ;; esac

  # Sharded parameters are all-gathered, which overlaps with computation. Otherwise XLA splits many
  # matrix products into one thin product per device and permutes the parts ("windowed einsum"):
  # compiled for 16 chips, the base model had 28 of them per layer, each 120 columns wide.
  echo --xla_jf_spmd_threshold_for_windowed_einsum_mib=1000000

  # Not set, because it needs measurement on a chip: --xla_tpu_scoped_vmem_limit_kib, the scratch
  # memory of one instruction (16 MiB by default). MaxDiffusion (run_wan_on_vm.sh) has 65536 on v5p, MaxText
  # (xla_flags_library.py) 98304 on v6e. Compiling the 7b model took over four times as long with it.

  # all-reduce (of gradients over the data axis) fused with computation; OpenXLA's guide suggests it
  # for v5e. The same for all-gather is on by default.
  [ "$1" != v5e ] || echo --xla_tpu_enable_async_collective_fusion_fuse_all_reduce=true

  # Not set either: on tpu7x, collectives of weights and gradients on the SparseCores
  # (--xla_tpu_enable_sparse_core_collective_offload_all_gather=true and its kin;
  # AI-Hypercomputer/tpu-recipes, training/ironwood/wan2.1-14b). jaxlib 0.10 cannot read programs
  # compiled so ("async-update instruction should have 1 operands").
}

# Sets the environment of a process on a TPU host. Flags that are already set come last and win.
tpu_environment() {
  check_generation "$1"
  LIBTPU_INIT_ARGS="$(libtpu_flags "$1" | tr '\n' ' ')${LIBTPU_INIT_ARGS:-}"
  export LIBTPU_INIT_ARGS
  # Without a TPU this is an error, not a run on the CPU of the host.
  export JAX_PLATFORMS=${JAX_PLATFORMS:-tpu,cpu}
}
