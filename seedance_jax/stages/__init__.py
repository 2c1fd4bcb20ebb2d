"""The objectives: one factory `make_stage(config) -> Stage` each, found by `config.stage`."""

from seedance_jax.stages import flow_matching, vae

STAGES = {"vae": vae.make_stage, "flow_matching": flow_matching.make_stage}
