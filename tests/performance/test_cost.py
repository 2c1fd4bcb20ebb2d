import functools
import math

import flax.linen as nn
import jax
import language_models
import pytest

from configs import lora, pretrain
from seedance_jax import sharding
from seedance_jax.models.lora import init_adapters
from seedance_jax.models.public import qwen
from seedance_jax.performance import cost, memory
from seedance_jax.performance.compiled.flops import forward_flops
from seedance_jax.performance.description import describe
from seedance_jax.sampling.sizes import clip_shape, latent_shape

LATENTS = (3, 5, 6)  # the windows of 4x4 do not divide it


def smoke(**model):
    config = pretrain.get_config("smoke").to_dict()
    config["model"] |= model
    return config


def flops(config, latents=LATENTS, **options):
    return cost.total(cost.count(cost.make_program(config, latents, **options))).flops


@pytest.mark.parametrize(
    "model", [{}, {"attention": "full"}, {"shift": (2, 2), "depth": 4}], ids=str
)
def test_the_count_is_that_of_the_traced_program(model):
    program = cost.make_program(smoke(**model), (6, 5, 9))
    assert cost.total(cost.count(program)).flops == forward_flops(program)


@pytest.mark.parametrize(("size", "seconds"), [("480p", 5), ("480p", 12), ("1080p", 5)])
def test_the_count_of_7b_is_that_of_the_traced_program(size, seconds):
    latents = latent_shape(*clip_shape(size, seconds, 24))
    config = pretrain.get_config("7b").to_dict()
    program = cost.make_program(config, latents)
    assert cost.total(cost.count(program)).flops == forward_flops(program)


def test_the_count_is_nearly_that_of_xla_for_the_compiled_program():
    """One step of the scan, so that its body is counted as often as it runs."""
    config = smoke(depth=1)
    config["text"]["depth"] = 1
    program = cost.make_program(config, (8, 8, 8))  # little text, of which the last is not read
    model, params, inputs = program.trained
    compiled = jax.jit(model.apply).lower({"params": nn.unbox(params)}, *inputs).compile()
    counted = cost.total(cost.count(program)).flops
    assert compiled.cost_analysis()["flops"] == pytest.approx(counted, rel=0.1)


def test_every_parameter_is_in_one_part():
    program = cost.make_program(smoke(), LATENTS)
    leaves = jax.tree.leaves(program.params)
    rows = cost.count(program)
    assert sum(row.parameters for row in rows) == sum(leaf.size for leaf in leaves)
    assert all(row.parameters and row.gemm for row in rows)
    parts = {row.name: row.parameters for row in rows}
    assert parts[cost.VIDEO] == parts[cost.TEXT] == parts[cost.TEMPORAL]


def test_full_attention_costs_the_same_weights_and_grows_faster():
    short, long = (2, 8, 8), (16, 8, 8)
    programs = [cost.make_program(smoke(), short, attention=kind) for kind in ("decoupled", "full")]
    one, other = (cost.total(cost.count(program)) for program in programs)
    assert (one.parameters, one.gemm) == (other.parameters, other.gemm)
    ratios = [
        flops(smoke(), size, attention="full") / flops(smoke(), size) for size in (short, long)
    ]
    assert 1 < ratios[0] < ratios[1]


def test_a_frame_more_costs_a_frame_more_of_spatial_work():
    one, two = (
        {row.name: row for row in cost.count(cost.make_program(smoke(), (t, 4, 4)))} for t in (1, 2)
    )
    for part in (cost.VIDEO, cost.PATCH, cost.HEAD):
        assert two[part].flops == 2 * one[part].flops
    assert two[cost.TEMPORAL].attention == 4 * one[cost.TEMPORAL].attention


@pytest.mark.parametrize(
    ("size", "low", "high"), [("small", 0.09, 0.13), ("base", 1.9, 2.4), ("7b", 7, 8.5)]
)
def test_the_sizes_are_what_they_are_called(size, low, high):
    config = pretrain.get_config(size).to_dict()
    rows = cost.count(cost.make_program(config, (1, 2, 2)))
    assert low < cost.total(rows).parameters / 1e9 < high


def test_a_480p_frame_of_7b_is_some_16_windows():
    config = pretrain.get_config("7b").to_dict()
    for latents in ((31, 30, 54), (31, 54, 30), (31, 40, 40)):
        (windows, positions), *_ = cost._windows(cost.make_program(config, latents))
        assert 16 <= windows <= 18
        assert windows * positions < 1.15 * latents[1] * latents[2]


def test_state_is_split_over_fsdp():
    config = smoke()
    program = cost.make_program(config, LATENTS)
    sizes = memory.tree_bytes(program.params)
    on = functools.partial(memory.state_bytes, program, optimizer=config["optimizer"])
    one, eight = on(sharding.plan_mesh(1)), on(sharding.plan_mesh(8, fsdp=8))
    assert one.parameters == sizes
    assert one.optimizer == pytest.approx(2 * sizes, rel=1e-3)  # two moments
    assert sizes / 8 < eight.parameters < sizes / 4  # some of it divides by nothing
    copies = on(sharding.plan_mesh(8, fsdp=8), slow_copies=2)
    assert copies == eight._replace(slow=2 * eight.parameters)


def test_adapters_alone_are_trained():
    config = lora.get_config("smoke").to_dict()
    program, mesh = cost.make_program(config, LATENTS), sharding.plan_mesh(1)
    whole = memory.state_bytes(program, mesh, config["optimizer"])
    own = memory.state_bytes(program, mesh, config["optimizer"], config["lora"])
    init = functools.partial(init_adapters, boxed=program.trained.params, targets=["query"])
    adapters = jax.eval_shape(lambda key: init(key, rank=4), jax.random.key(0))
    only = memory.state_bytes(
        program, mesh, config["optimizer"], config["lora"] | {"targets": ["query"]}
    )
    assert only.parameters == only.gradients == only.ema == memory.tree_bytes(adapters)
    assert own.optimizer == pytest.approx(2 * own.parameters, rel=1e-2)
    assert own.base == whole.parameters > 10 * own.parameters
    assert 0 < only.merged < own.merged < own.base
    assert (whole.base, whole.merged) == (0, 0)
    text = [" ".join(line.split()) for line in describe(config, clip=(5, 64, 64))]
    assert f"base of the adapters, frozen {own.base / 2**20:.1f}" in text
    assert f"gradients {own.gradients / 2**20:.1f}" in text


@pytest.fixture(scope="module")
def language(tmp_path_factory):
    """(section `text` for a language model that has lost all but its config.json, its size)."""
    directory = language_models.write_directory(tmp_path_factory.mktemp("language"))
    shapes = qwen.open_directory(directory).shapes
    size = sum(math.prod(shape) for name, shape in shapes.items() if "lm_head" not in name)
    for path in directory.iterdir():
        if path.name != "config.json":
            path.unlink()
    return {"path": str(directory), "layers": (0, -1), "dtype": "bfloat16"}, size


def test_a_finished_language_model_is_counted_where_it_runs_and_not_trained(language):
    """By its config.json alone."""
    (language, size), config, programs = language, smoke(depth=1), {}
    for mode in ("joint", "frozen", "precomputed"):
        text = config["text"] | ({"mode": mode} | language if mode != "joint" else {})
        programs[mode] = cost.make_program(config | {"text": text}, LATENTS)
    rows = {mode: {row.name: row for row in cost.count(p)} for mode, p in programs.items()}
    own = {mode: parts[cost.TEXT_MODEL] for mode, parts in rows.items()}
    assert own["frozen"].parameters == size
    assert own["precomputed"][1:] == (0, 0, 0)
    assert rows["frozen"][cost.VIDEO] == rows["precomputed"][cost.VIDEO]
    frozen, precomputed = programs["frozen"], programs["precomputed"]
    assert cost.total(cost.count(frozen)).flops == forward_flops(frozen)
    steps = {mode: cost.step_flops(program, "none") for mode, program in programs.items()}
    assert steps["frozen"] - steps["precomputed"] == own["frozen"].flops
    whole = cost.total(cost.count(programs["joint"]))
    assert steps["joint"] == 3 * whole.flops + whole.attention
    states = [
        memory.state_bytes(p, sharding.plan_mesh(1), config["optimizer"])
        for p in (frozen, precomputed)
    ]
    assert states[0] == states[1]._replace(text_model=2 * own["frozen"].parameters)
    text = "\n".join(describe(config | {"text": config["text"] | language | {"mode": "frozen"}}))
    assert "only runs forward" in text
    assert "text model, frozen" in text


def test_the_logits_are_those_of_the_largest_block_and_divided_like_it():
    config = pretrain.get_config("7b").to_dict()
    program = cost.make_program(config, (31, 30, 54))
    one = memory.logit_bytes(program, sharding.plan_mesh(1))
    assert one == 18 * (31 * 100) ** 2 * 28 * 4  # windows of 10x10, temporal
    assert memory.logit_bytes(program, sharding.plan_mesh(8, sequence=4, tensor=2)) == one / 8
    image = cost.make_program(config, (1, 30, 54))
    whole = memory.logit_bytes(image, sharding.plan_mesh(1))
    assert whole == (30 * 54) * (30 * 54 + image.text_tokens) * 28 * 4  # spatial


def test_recomputing_keeps_less():
    kept = memory.activation_bytes(smoke(depth=8), LATENTS)
    assert kept["full"] < kept["save_attention"] < kept["none"]


def test_twice_the_depth_keeps_twice_as_much():
    config = smoke()
    config["text"]["depth"] = 1
    kept = [
        memory.kept_bytes(cost.make_program(config | {"model": config["model"] | fields}, LATENTS))
        for fields in ({"depth": 2}, {"depth": 4}, {"depth": 6})
    ]
    assert kept[2] - kept[1] == pytest.approx(kept[1] - kept[0], rel=0.01)
