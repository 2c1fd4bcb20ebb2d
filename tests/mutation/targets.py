"""Which modules are mutated, and the test files that say what they are to do, cheapest first."""

from pathlib import Path

ROOT = Path(__file__).parents[2]

TARGETS = {
    "data/buckets": ["data/test_loader"],
    "data/examples": ["data/test_examples", "data/test_loader"],
    "data/ground_truth": ["data/test_ground_truth"],
    "data/loader": ["data/test_loader", "data/test_mixing"],
    "diffusion/flow": ["diffusion/test_flow", "diffusion/test_solvers"],
    "diffusion/guidance": ["diffusion/test_guidance"],
    "diffusion/solvers": ["diffusion/test_solvers"],
    "diffusion/tasks": ["diffusion/test_tasks"],
    "diffusion/times": ["diffusion/test_times"],
    "models/attention": ["models/test_attention"],
    "models/blocks": ["models/test_blocks", "models/test_dit"],
    "models/causal": ["models/test_autoencoder", "models/public/test_wan"],
    "models/conditioning": ["models/test_conditioning"],
    "models/convolutions": ["models/test_convolutions"],
    "models/discriminator": ["models/test_discriminator"],
    "models/dit": ["models/test_dit", "models/test_conditioning"],
    "models/generator": ["models/test_generator"],
    "models/layers": ["models/test_layers"],
    "models/lora": ["models/test_lora"],
    "models/rasters": [
        "models/test_rasters",
        "models/test_conditioning",
        "stages/test_generator_inputs",
    ],
    "models/rope": ["models/test_rope"],
    "models/text": ["models/test_text", "models/public/test_qwen"],
    "models/vae": ["models/test_autoencoder", "models/public/test_wan"],
    "models/windows": ["models/test_windows"],
    "training/accumulation": ["training/test_accumulation"],
    "training/checkpoint": [
        "training/test_checkpoint",
        "training/test_recovery",
        "training/test_rollout",
    ],
    "training/checksums": ["training/test_checkpoint", "training/test_recovery"],
    "training/feed": ["training/test_rollout"],
    "training/hooks": ["training/test_loop"],
    "training/loop": [
        "training/test_step",
        "training/test_stopping",
        "training/test_loop",
        "training/test_rollout",
    ],
    "training/optimizer": ["training/test_optimizer"],
    "training/run_directory": ["training/test_run_directory", "training/test_pins"],
    "training/saver": ["training/test_pins", "training/test_recovery"],
    "training/stored": [
        "training/test_checkpoint",
        "training/test_recovery",
        "training/test_rollout",
    ],
    "training/stopping": ["training/test_stopping", "training/test_loop"],
    "stages/flow_matching": [
        "stages/test_objective",
        "stages/test_flow_stage",
        "stages/test_text_modes",
    ],
    "stages/generator_inputs": ["stages/test_generator_inputs", "stages/test_text_modes"],
    "stages/job": ["stages/test_job"],
    "stages/lora": ["stages/test_lora_stage"],
    "stages/settings": ["stages/test_settings"],
    "stages/vae": ["stages/test_vae_inputs", "stages/test_vae_stage"],
    "sampling/given": ["sampling/test_given"],
    "sampling/sampler": ["sampling/test_sampler"],
    "sampling/shots": ["sampling/test_shots"],
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
