"""Compiled programs as reports. What needs libtpu, the compiler of TPUs, runs where it is."""

import importlib.util
import json

import jax
import jax.numpy as jnp
import pytest

from configs import pretrain, vae
from seedance_jax import sharding
from seedance_jax.data.buckets import Bucket
from seedance_jax.models.vae import VAE
from seedance_jax.performance import chips, programs
from seedance_jax.performance.compiled import analysis, hlo
from seedance_jax.performance.compiled.flops import traced_flops
from seedance_jax.performance.meshes import candidates
from seedance_jax.pretrained.runs import as_tuples

BUCKET = Bucket(9, 64, 64, 8)


def smoke(**model):
    config = pretrain.get_config("smoke")
    with config.unlocked():
        config.model.update(model)
    return config


@pytest.mark.parametrize(
    "text", ["v5p", "v5p:", "v9:4x4", "v5p:4x4x", "v5p-128", "v5p:0x4", "h100:2x2"]
)
def test_a_topology_is_a_chip_and_a_shape(text):
    with pytest.raises(ValueError, match="write CHIP:AxB"):
        chips.parse_topology(text)
    assert chips.count_devices("tpu7x:4x4x4") == 128  # two to a chip
    assert chips.device_memory("v5e:16x16") == 16 * 2**30


def test_a_device_without_a_known_peak_has_no_mfu(monkeypatch, capsys):
    assert chips.peak_flops() is None  # these are CPUs
    assert not capsys.readouterr().out
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert chips.peak_flops() is None
    assert "no mfu: the peak of ['cpu'] is not known" in capsys.readouterr().out


def test_a_mesh_is_written_as_axes_and_sizes():
    assert sharding.read_mesh(["fsdp=-1", "sequence=8"]) == {"fsdp": -1, "sequence": 8}
    for word in ("fsdp", "fsdp=", "rows=2", "fsdp=x"):
        with pytest.raises(ValueError, match=f"{word!r} is not axis=size; legal axes"):
            sharding.read_mesh([word])


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--config=configs/lora.py:smoke"], "adapters: only whole generators"),
        (["--config=configs/vae.py:smoke"], "autoencoder: only whole generators"),
        (["--vae=configs/vae.py:smoke"], "--program=train of this config runs no autoencoder"),
        (["--program=decode"], "--program=decode needs --vae"),
        (["--config=configs/pretrain.py:small"], "or --config.data.latents=true"),
        (["--mesh=fsdp=3"], "need 3 devices, but there are 4"),
        (["--mesh=fsdp=4", "--batch=6"], "a batch of 6 does not divide"),
        (["--search=2", "--mesh=fsdp=4"], "leave out --mesh"),
        (["--seconds=5"], "--seconds=5.0 does nothing without --size"),
    ],
)
def test_what_cannot_be_compiled_is_said_before_the_compiler_is_opened(run_command, flags, message):
    config = ["--config=configs/pretrain.py:smoke"] if "--config=" not in flags[0] else []
    with pytest.raises(ValueError, match=message):
        run_command("compile", *config, "--topology=v5e:2x2", *flags)


def test_the_flops_of_a_step_are_those_of_the_model_and_of_recomputation():
    mesh = sharding.make_mesh(fsdp=4, sequence=2)

    def count(remat):
        program = programs.training(smoke(remat=remat, kernel="xla"), mesh, BUCKET)
        return traced_flops(program.function, *program.arguments) / program.model_flops

    none, full = count("none"), count("full")
    # Attention weights are always recomputed; `full` adds a forward pass of the blocks.
    assert 1 < none < 1.2
    assert none + 0.2 < full < none + 1 / 3


@pytest.mark.parametrize("make", [programs.training, programs.sampling])
def test_the_step_that_is_lowered_is_compiled_for_the_mesh(make):
    mesh = sharding.make_mesh(fsdp=4, sequence=2)
    what = (BUCKET,) if make is programs.training else (BUCKET.shape, 8)
    program = make(smoke(), mesh, *what)
    done = program.lower().compile()
    flops = program.model_flops
    report = analysis.make_report(done, "v5e:2x4", model_flops=flops, flops=2 * flops)
    assert report["memory"]["fits"]
    assert report["memory"]["peak"] > report["memory"]["arguments"] > 0
    assert report["collectives"]["all-gather"]["sent"] > 0
    assert set(report["bounds"]) == {"memory", "links", "compute"}
    assert report["bounds"]["compute"] == pytest.approx(
        2 * program.model_flops / 8 / chips.CHIPS["v5e"].flops
    )
    assert 0 < report["mfu_at_most"] <= 0.5
    text = "\n".join(analysis.lines(report))
    assert "fits: " in text
    assert f"{report['binds']} binds" in text
    json.dumps(report)


def test_chunks_of_an_autoencoder_follow_their_first():
    mesh = sharding.make_mesh(sequence=8)
    model = VAE(**as_tuples(vae.get_config("smoke").vae.to_dict()))
    for make in (programs.encoding, programs.decoding):
        lowered = make(model, mesh, (9, 128, 64)).lower()
        result, _ = lowered.out_info
        assert result.shape[2:] == ((8, 4, 48) if make is programs.encoding else (128, 64, 3))


def test_settings_divide_batch_and_heads_and_hold_the_state():
    config = smoke()
    found = candidates(config, BUCKET, 16, limit=2**30)
    assert found
    for setting in found:
        assert setting.mesh["fsdp"] * setting.mesh["sequence"] * setting.mesh["tensor"] == 16
        assert 8 % setting.mesh["fsdp"] == 0
        assert config.model.heads % setting.mesh["tensor"] == 0
        assert setting.estimate > 0
    best = found[0]
    assert best.mesh["tensor"] == 1
    assert best.remat == "none"
    with pytest.raises(ValueError, match="no mesh of 16 devices holds a batch of 8"):
        candidates(config, BUCKET, 16, limit=2**20)


def test_what_the_compiler_refuses_is_a_report_too():
    said = (
        "Ran out of memory on HBM, the total memory required for HLO temporaries (180.99G) "
        "exceeds available HBM (95.73G)."
    )
    [used, _, limit, _] = analysis.TOO_MUCH.search(said).groups()
    assert (used, limit) == ("180.99", "95.73")
    report = {"memory": {"peak": 3 * 2**30, "limit": 2**30, "fits": False}}
    assert "2.00 GiB too much" in next(analysis.lines(report))


@pytest.mark.skipif(importlib.util.find_spec("libtpu") is None, reason="extra: tpu")
def test_a_product_compiles_for_a_tpu_that_is_not_there():
    devices = chips.open_topology("v5e:2x2")
    mesh = sharding.make_mesh(devices, fsdp=-1)
    x = sharding.place_shapes(
        jax.ShapeDtypeStruct((512, 512), jnp.bfloat16), sharding.batch_sharding(mesh)
    )
    program = programs.Program(jax.jit(lambda x: x @ x), (x,), {}, mesh, 2 * 512**3)
    report = analysis.compile_for("v5e:2x2", program, program)
    assert report["flops"] == report["model_flops"]
    assert report["memory"]["fits"]
    cube = chips.open_topology("v5p:4x4x4")  # no axis of which is 8 long
    assert sharding.make_mesh(cube, fsdp=8, sequence=8).shape["sequence"] == 8
    with pytest.raises(ValueError, match="libtpu has no topology 'v5e:3x5x7'"):
        chips.open_topology("v5e:3x5x7")


@pytest.mark.skipif(importlib.util.find_spec("libtpu") is None, reason="extra: tpu")
@pytest.mark.parametrize("slices", [2, 4])
def test_slices_exchange_what_is_left_when_each_has_added_up_its_own(slices):
    """The gradient of a matrix, replicated, of a batch over 4 devices in each of the slices."""
    topology, width = "v5e:2x2", 512
    mesh = sharding.make_mesh(chips.open_topology(topology, slices), data=slices, fsdp=4)
    assert [sharding.slice_of(part.flat[0]) for part in mesh.devices] == list(range(slices))
    x = jax.ShapeDtypeStruct((64 * slices, width), jnp.float32)
    w = jax.ShapeDtypeStruct((width, width), jnp.float32)
    x = sharding.place_shapes(x, sharding.batch_sharding(mesh))
    w = sharding.place_shapes(w, sharding.replicated(mesh))
    gradient = jax.grad(lambda w, x: (jnp.tanh(x @ w) ** 2).sum())
    step = jax.jit(gradient, out_shardings=sharding.replicated(mesh))
    report = analysis.compile_for(
        topology, programs.Program(step, (w, x), {}, mesh, None), slices=slices
    )
    share = 4 * width**2 / 4
    assert report["network"]["sent"] == pytest.approx(2 * (slices - 1) / slices * share, rel=0.01)
    rate = chips.CHIPS["v5e"].network
    assert report["bounds"]["network"] == pytest.approx(report["network"]["sent"] / rate)
    assert any(line.startswith("between slices: 1 times") for line in analysis.lines(report))


# What a device that holds a quarter of the rows of its slice sends of an array, as parts of it.
EXCHANGES = {
    "all_gather": (lambda x: jax.lax.all_gather(x, "data", tiled=True), 3),
    "psum_scatter": (lambda x: jax.lax.psum_scatter(x, "data", tiled=True), 3 / 4),
    "all_to_all": (lambda x: jax.lax.all_to_all(x, "data", 0, 1, tiled=True), 3 / 4),
    "ppermute": (lambda x: jax.lax.ppermute(x, "data", [(i, (i + 1) % 4) for i in range(4)]), 1),
    "psum": (lambda x: jax.lax.psum(x, "data"), 2 * 3 / 4),
}


@pytest.mark.skipif(importlib.util.find_spec("libtpu") is None, reason="extra: tpu")
@pytest.mark.parametrize("name", EXCHANGES)
def test_every_way_to_exchange_something_between_slices_is_counted(name):
    exchange, parts = EXCHANGES[name]
    mesh = sharding.make_mesh(chips.open_topology("v5e:2x2", 4), data=4, fsdp=4)
    where = sharding.batch_sharding(mesh)
    x = sharding.place_shapes(jax.ShapeDtypeStruct((1024, 512), jnp.float32), where)
    spec = {"in_specs": where.spec, "out_specs": where.spec, "check_vma": False}
    text = jax.jit(jax.shard_map(exchange, mesh=mesh, **spec)).lower(x).compile().as_text()
    times, sent = hlo.between_slices(text, 4)
    assert (times, sent) == (1, parts * 4 * 1024 * 512 / 16)
    unknown = text.replace("_xla_megascale_transfer_type", "_another")
    with pytest.raises(ValueError, match="between slices, of a kind that is not known: .*send"):
        hlo.between_slices(unknown, 4)


def test_slices_of_which_nobody_knows_the_network_are_refused():
    chips.check_slices("v5p:4x4x4", 2)
    chips.check_slices("v4:2x2x4", 1)
    with pytest.raises(ValueError, match=r"slices=2: the network of v4 .*; of \['v5e', 'v5p'"):
        chips.check_slices("v4:2x2x4", 2)


def test_a_chip_whose_programs_cannot_be_read_is_refused(monkeypatch):
    monkeypatch.setattr(jax, "__version_info__", (0, 10, 2))
    with pytest.raises(ValueError, match=r"cannot read programs for tpu7x; 0\.11 .*can"):
        chips.open_topology("tpu7x:2x2x1")
