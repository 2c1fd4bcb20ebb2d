"""What a config may say is checked before there are data or devices."""

import jax
import pytest

from configs import lora, pretrain, vae
from seedance_jax.pretrained import runs
from seedance_jax.stages import settings
from seedance_jax.training import run_directory


def generator(**changes):
    """A config of a generator; double underscores descend into sections."""
    config = pretrain.get_config("smoke").unlock()
    config.vae_run = "runs/vae"
    flat = {name.replace("__", "."): value for name, value in changes.items()}
    config.update_from_flattened_dict(flat)
    return config


@pytest.mark.parametrize("size", ["smoke", "7b"])
def test_shipped_configs_are_legal(size):
    for module in (pretrain, lora):
        config = module.get_config(size)
        config.vae_run = "runs/vae"
        settings.check_values(config)
    settings.check_values(vae.get_config("base"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model__depth": 0}, "model.depth=0: must be at least 1"),
        ({"model__window": (3,)}, r"model.window=\(3,\) must be \(rows, columns\)"),
        ({"model__heads": 5}, "model.width=128 is not a multiple of heads=5"),
        ({"model__remat": "all"}, "model.remat='all'; legal values: .*none"),
        ({"model__kernel": "flash"}, "model.kernel='flash'; legal values: .*auto"),
        ({"model__dtype": "float23"}, "model.dtype='float23'; legal types: .*bfloat16"),
        ({"text__mode": "frozen", "text__dtype": "auto"}, "text.dtype='auto'; legal types: "),
        ({"text__heads": 0}, "text.heads=0: must be at least 1"),
        ({"optimizer__warmup_steps": -1}, "optimizer.warmup_steps=-1: must be at least 0"),
        ({"motion_captions": 0.5, "tasks__image_to_video": 0.0}, "=0.5 is of the task image_to_v"),
        ({"motion_captions": 0.5, "text__mode": "precomputed"}, "=0.5: .*text.mode=frozen"),
        ({"seed": -1}, "seed=-1: must be at least 0"),
        ({"data__num_workers": -2}, "data.num_workers=-2: must be at least 0"),
        ({"vae_run": ""}, "^vae_run is not set: --config.vae_run=RUN$"),
    ],
)
def test_illegal_values_of_a_generator_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        settings.check_values(generator(**changes))


def test_automatic_types_are_those_of_the_machine_or_of_the_run_that_goes_on(monkeypatch, capsys):
    monkeypatch.setattr(settings.products, "_has_short_products", lambda: True)
    monkeypatch.setattr(jax, "device_count", lambda: 1)
    config = generator(model__dtype="auto", text__dtype="float16")
    settings.check_values(config)
    settings.settle_types(config, None)
    assert (config.model.dtype, config.text.dtype) == ("bfloat16", "float16")
    assert capsys.readouterr().out == "model.dtype: auto is bfloat16\n"
    earlier = generator(model__dtype="float32").to_dict()
    config = generator(model__dtype="auto")
    settings.settle_types(config, earlier)
    assert config.model.dtype == "float32"
    assert capsys.readouterr().out == "model.dtype: auto is float32, as before\n"


def test_illegal_values_of_other_stages_are_named():
    config = vae.get_config("smoke")
    for name, value in (("loss.kl", -1e-6), ("loss.frames", 0), ("vae.latent_channels", 0)):
        changed = config.copy_and_resolve_references()
        changed.update_from_flattened_dict({name: value})
        with pytest.raises(ValueError, match=f"{name}={value}: must be at least"):
            settings.check_values(changed)
    config = lora.get_config("smoke")
    config.lora.rank = 0
    with pytest.raises(ValueError, match="lora.rank=0: must be at least 1"):
        settings.check_values(config)


@pytest.mark.parametrize("name", settings.SHARES)
def test_shares_are_from_0_to_below_1(name):
    settings.check_values(generator(**{name: 0.0}))
    for value in (-0.1, 1.0, float("nan")):
        with pytest.raises(ValueError, match=f"{name}={value}: must be at least 0 and below 1"):
            settings.check_values(generator(**{name: value}))


FINISHED = dict.fromkeys(runs.GENERATOR)


def test_a_run_starts_from_what_it_makes_itself(tmp_path):
    config = generator(init_from=str(tmp_path))
    with pytest.raises(FileNotFoundError, match="init_from: .*nothere' does not exist"):
        settings.check_source(generator(init_from=str(tmp_path / "nothere")))
    for found, message in (
        ({"stage": "vae"}, "makes an autoencoder; init_from wants a generator"),
        ({"stage": "flow_matching", "lora": {}}, "makes adapters; init_from wants a generator"),
    ):
        run_directory.write_json(tmp_path, "config.json", found)
        with pytest.raises(ValueError, match=message):
            settings.check_source(config)
    run_directory.write_json(tmp_path, "config.json", {"stage": "flow_matching"})
    with pytest.raises(FileNotFoundError, match="is not a finished run: it has no metadata.json"):
        settings.check_source(config)
    run_directory.write_json(tmp_path, "metadata.json", FINISHED)
    settings.check_source(config)
    # Of another objective, which makes the same.
    run_directory.write_json(tmp_path, "config.json", {"stage": "rlhf"})
    run_directory.write_json(tmp_path, "metadata.json", FINISHED | {"makes": "generator"})
    settings.check_source(config)
    run_directory.write_json(tmp_path, "metadata.json", {"makes": "reward"})
    with pytest.raises(ValueError, match="makes a reward; init_from wants a generator$"):
        settings.check_source(config)


def test_a_refiner_starts_from_a_refiner_or_by_its_config_from_a_generator(tmp_path):
    run_directory.write_json(tmp_path, "config.json", {"stage": "flow_matching"})
    run_directory.write_json(tmp_path, "metadata.json", FINISHED)
    config = generator(init_from=str(tmp_path), makes="refiner")
    with pytest.raises(ValueError, match="makes a generator; init_from wants a refiner$"):
        settings.check_source(config)
    config.init_makes = "generator"
    settings.check_source(config)
    config.init_makes = "picture"
    with pytest.raises(ValueError, match="init_makes='picture'; legal are .*'refiner'"):
        settings.check_source(config)
    del config.init_makes
    own = {"stage": "flow_matching", "makes": "refiner"}
    run_directory.write_json(tmp_path, "config.json", own)
    settings.check_source(config)


ZERO = (
    *("seed", "keep_every", "data.num_threads", "data.num_workers", "optimizer.warmup_steps"),
    "discriminator_optimizer.warmup_steps",
)


SECTIONS = {"vae": vae, "loss": vae, "discriminator_optimizer": vae, "lora": lora}


@pytest.mark.parametrize("name", sorted(settings.LEAST))
def test_the_least_value_is_legal_and_one_less_is_not(name):
    config = SECTIONS.get(name.split(".")[0], pretrain).get_config("smoke").unlock()
    if "vae_run" in config:
        config.vae_run = "runs/vae"
    least = 0 if name in ZERO else 1
    config.update_from_flattened_dict({name: least})
    settings.check_values(config)
    config.update_from_flattened_dict({name: least - 1})
    with pytest.raises(ValueError, match=f"{name}={least - 1}: must be at least {least}"):
        settings.check_values(config)
