"""Flags of XLA for programs that are compiled once and run twice."""

FLAGS = {
    "xla_backend_optimization_level": 0,  # the models are tiny: most of the time is compiling
    "xla_llvm_disable_expensive_passes": True,
    "xla_cpu_use_fusion_emitters": False,  # compiles in half the time of the default
    "xla_cpu_parallel_codegen_split_count": 1,
}


def write(**more):
    """FLAGS and others as XLA_FLAGS has them."""
    return " ".join(f"--{name}={value}" for name, value in (FLAGS | more).items())
