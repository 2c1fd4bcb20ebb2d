"""Flags of XLA for programs that are compiled once and run twice."""

import importlib.metadata

FLAGS = {
    "xla_backend_optimization_level": 0,  # the models are tiny: most of the time is compiling
    "xla_llvm_disable_expensive_passes": True,
    "xla_cpu_parallel_codegen_split_count": 1,
}
JAXLIB = tuple(map(int, importlib.metadata.version("jaxlib").split(".")[:2]))
if JAXLIB < (0, 11):  # later ones have no such flag, and XLA ends the process for one it has not
    FLAGS["xla_cpu_use_fusion_emitters"] = False  # compiles in half the time of the default


def write(**more):
    """FLAGS and others as XLA_FLAGS has them."""
    return " ".join(f"--{name}={value}" for name, value in (FLAGS | more).items())
