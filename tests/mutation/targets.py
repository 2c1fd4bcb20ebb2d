"""Which modules are mutated, and the test files that say what they are to do, cheapest first."""

from pathlib import Path

ROOT = Path(__file__).parents[2]

TARGETS = {
    "diffusion/flow": ["diffusion/test_flow", "diffusion/test_solvers"],
    "diffusion/guidance": ["diffusion/test_guidance"],
    "diffusion/solvers": ["diffusion/test_solvers"],
    "diffusion/tasks": ["diffusion/test_tasks"],
    "diffusion/times": ["diffusion/test_times"],
    "models/attention": ["models/test_attention"],
    "models/causal": ["models/test_autoencoder", "models/public/test_wan"],
    "models/discriminator": ["models/test_discriminator"],
    "models/dit": ["models/test_dit"],
    "models/generator": ["stages/test_text_modes", "stages/test_flow_stage"],
    "models/layers": ["models/test_layers"],
    "models/rope": ["models/test_rope"],
    "models/text": ["models/test_text", "models/public/test_qwen"],
    "models/vae": ["models/test_autoencoder", "models/public/test_wan"],
    "training/accumulation": ["training/test_accumulation"],
    "training/checkpoint": ["training/test_checkpoint", "training/test_loop"],
    "training/hooks": ["training/test_loop"],
    "training/loop": ["training/test_loop"],
    "training/optimizer": ["training/test_optimizer"],
    "stages/flow_matching": ["stages/test_flow_stage", "stages/test_text_modes"],
    "stages/lora": ["models/test_lora", "stages/test_lora_stage"],
    "stages/settings": ["stages/test_settings"],
    "stages/vae": ["stages/test_vae_inputs", "stages/test_vae_stage"],
    "sampling/given": ["sampling/test_given"],
    "sampling/sampler": ["sampling/test_pipeline"],
    "sampling/shots": ["sampling/test_shots"],
    "data/loader": ["data/test_loader"],
}


def source_path(module: str) -> Path:
    """The file of a module such as "diffusion/flow"."""
    return ROOT / "seedance_jax" / f"{module}.py"


def dotted(module: str) -> str:
    """Its name for `import`."""
    return f"seedance_jax.{module.replace('/', '.')}"


def test_files(module: str) -> list[str]:
    """Paths of its tests, from the root."""
    return [f"tests/{name}.py" for name in TARGETS[module]]
