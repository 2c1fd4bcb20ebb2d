"""Releases: made out of runs, read as runs, and the one that comes with the package."""

import json
import re
import shutil

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from seedance_jax import sharding
from seedance_jax.data import sources
from seedance_jax.evaluation import judgement
from seedance_jax.evaluation.judges import detection, forms, quality
from seedance_jax.evaluation.judges.colors import lab_of
from seedance_jax.pretrained import card, exchange, runs
from seedance_jax.sampling.pipeline import Pipeline
from seedance_jax.training import checkpoint, release, run_directory

SPLIT = "held_out_combinations"


def fields(module, names):
    return run_directory.as_json({name: getattr(module, name) for name in names})


@pytest.fixture(scope="module")
def run(parts, tmp_path_factory):
    """A generator with random weights as a finished run, its autoencoder somewhere else."""
    root = tmp_path_factory.mktemp("runs")
    generator, params, vae, weights, config, metadata = parts
    own = [name for name in vae.__dataclass_fields__ if name not in ("parent", "name", "dtype")]
    statistics = {name: weights[name].tolist() for name in ("mean", "std")}
    for workdir, tree, written in (
        (root / "vae", weights["params"], {"stage": "vae", "vae": fields(vae, own), "data": {}}),
        (root / "flow", params, {"stage": "flow_matching"}),
    ):
        workdir.mkdir()
        checkpoint.save_weights(workdir, tree)
        run_directory.write_json(workdir, "config.json", written)
        run_directory.write_json(workdir, "metadata.json", statistics | {"step": 0})
    text = {"mode": "joint", "tokenizer": "bytes", **config["text"]}
    model = {name: generator.dit[name] for name in ("width", "depth", "heads", "window")}
    folder = {"source": "folder", "folder": {"path": "/somewhere/films"}}
    written = {"stage": "flow_matching", "size": "smoke", "text": text, "model": model}
    written |= {"data": folder}
    run_directory.write_json(root / "flow", "config.json", run_directory.as_json(written))
    _, weights = runs.load_autoencoder(runs.open_run(root / "vae"))
    metadata |= {"latent_channels": 4, "autoencoder": runs.latent_fingerprint(weights)}
    metadata |= {"vae_run": str(root / "vae"), "step": 0}
    run_directory.write_json(root / "flow", "metadata.json", metadata)
    return root / "flow"


@pytest.fixture(scope="module")
def released(run, tmp_path_factory):
    output = tmp_path_factory.mktemp("releases") / "moved"
    opened = runs.open_run(run)
    exchange.release_run(opened, exchange.check_release(opened, output), output)
    return output


def rounded(tree):
    return jax.tree.map(lambda leaf: np.asarray(leaf.astype(ml_dtypes.bfloat16), np.float32), tree)


def test_a_release_is_the_run_rounded_to_bfloat16(run, released):
    params = checkpoint.load(released)
    expected = rounded(checkpoint.load(run))
    assert jax.tree.structure(params) == jax.tree.structure(expected)
    jax.tree.map(np.testing.assert_array_equal, params, expected)
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {np.dtype(np.float32)}
    assert (released / "weights.safetensors").stat().st_size < 0.7 * 4 * sum(
        leaf.size for leaf in jax.tree.leaves(params)
    )


def test_a_release_makes_clips_wherever_it_lies(run, released, tmp_path):
    moved = released.rename(tmp_path / "elsewhere")
    request = {"prompt": "a", "num_frames": 5, "num_inference_steps": 2, "output_type": "latent"}
    ours = Pipeline.from_run(moved)(**request)
    theirs = Pipeline.from_run(run)(**request)
    assert ours.settings[0]["vae_run"] == str(moved / "autoencoder")
    np.testing.assert_allclose(ours.frames, theirs.frames, atol=0.1)
    moved.rename(released)


def test_releases_hold_no_paths_of_the_machine_they_were_made_on(released):
    for path in released.rglob("metadata.json"):
        assert not any(
            str(value).startswith("/") for value in json.loads(path.read_text()).values()
        )


def test_weights_are_read_as_asked_for(released):
    tree = checkpoint.stored_tree(released)
    name = next(iter(tree))
    assert list(checkpoint.load(released, parts=(name,))) == [name]
    mesh = sharding.make_mesh(fsdp=-1)
    like = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(
            leaf.shape, jnp.bfloat16, sharding=sharding.replicated(mesh)
        ),
        tree,
    )
    placed = checkpoint.load(released, like=like)
    host = checkpoint.load(released)
    for ours, wanted in zip(jax.tree.leaves(placed), jax.tree.leaves(host), strict=True):
        assert ours.sharding == sharding.replicated(mesh)
        np.testing.assert_array_equal(np.asarray(ours, np.float32), wanted)


def test_a_run_starts_from_a_release(released):
    tree = checkpoint.stored_tree(released)
    checkpoint.check_fits({}, released, tree)
    assert run_directory.latest_step(released) == 0


def test_what_cannot_be_released_is_refused(run, released, tmp_path):
    with pytest.raises(ValueError, match="is not empty"):
        exchange.check_release(runs.open_run(run), released)
    config = run_directory.read_json(run, "config.json")
    frozen = runs.open_run(run)._replace(config=config | {"text": {"mode": "frozen"}})
    with pytest.raises(ValueError, match="a text model of its own"):
        exchange.check_release(frozen, tmp_path / "new")


def test_what_was_trained_on_a_folder_is_released_without_judges(run_command, run, tmp_path):
    arguments = (f"--workdir={run}", f"--output={tmp_path}/new")
    with pytest.raises(ValueError, match="--num_prompts is for the judges"):
        run_command("release", *arguments, "--num_prompts=2")
    run_command("release", *arguments)
    assert [path.name for path in tmp_path.iterdir()] == ["new"]
    told = (tmp_path / "new" / "README.md").read_text()
    assert "the judges know the clips of the synthetic world only" in told
    assert "the clips of a folder, films" in told
    assert ".sh" not in told
    assert not (tmp_path / "new" / "evaluation.json").exists()
    assert release.exists(tmp_path / "new")


@pytest.fixture(scope="module")
def world_run(run, tmp_path_factory):
    """The same run, trained on a world of few and small clips that is not built yet."""
    root = tmp_path_factory.mktemp("world")
    size = {"slice": "tiny", "num_frames": 9, "height": 32, "width": 32, "fps": 8}
    splits = {"train": 5, "validation": 1, "held_out_combinations": 3, "out_of_range": 1}
    data = {"source": "world", "data_dir": str(root / "data"), "world": size | splits}
    data |= {"buckets": [[9, 32, 32, 2, 1.0]], "num_processes": 1, "text_length": 64}
    shutil.copytree(run.parent, root / "runs")
    perceptual = {"name": "gradients"}
    for name in ("vae", "flow"):
        config = run_directory.read_json(root / "runs" / name, "config.json")
        config |= {"data": data, "perceptual": perceptual}
        config["text"] = config.get("text", {}) | {"max_words": 40}
        run_directory.write_json(root / "runs" / name, "config.json", config)
    metadata = run_directory.read_json(root / "runs/flow", "metadata.json")
    metadata |= {"vae_run": "../vae", "text_length": 200, "fps": 8.0, "buckets": [[9, 32, 32]]}
    run_directory.write_json(root / "runs/flow", "metadata.json", metadata)
    return root / "runs/flow"


def test_what_was_trained_on_the_world_is_judged(run_command, world_run, tmp_path, monkeypatch):
    arguments = (f"--workdir={world_run}", f"--output={tmp_path}/new", "--num_prompts=2")
    with pytest.raises(ValueError, match="build_data"):
        run_command("release", *arguments)
    assert not list(tmp_path.iterdir())
    sources.build(run_directory.read_json(world_run, "config.json")["data"])
    with pytest.raises(ValueError, match="no thresholds for clips of tiny 1.3.0, 9x32x32"):
        run_command("release", *arguments)
    assert not list(tmp_path.iterdir())
    known = forms.read_thresholds()
    known["tiny 1.3.0, 9x32x32 at 8 fps"] = known["tiny 1.3.0, 17x64x64 at 12 fps"]
    monkeypatch.setattr(forms, "read_thresholds", lambda: known)
    run_command("release", *arguments)
    assert {path.name for path in tmp_path.iterdir()} == {"new", "new_sheet.png"}
    report = run_directory.read_json(tmp_path / "new", "evaluation.json")
    assert (report["suite"], report["groups"]["text_to_video"]["clips"]) == (SPLIT, 2)
    told = (tmp_path / "new" / "README.md").read_text()
    assert judgement.write_table(report) in told
    assert "| trained by | `bash launch/chain.sh smoke` |" in told
    with pytest.raises(ValueError, match="is not empty"):
        run_command("release", *arguments)


def test_the_table_of_a_card_has_all_measures():
    share = lambda value: [value, 0.0, 1.0]  # noqa: E731
    report = {
        "clips": 4,
        "passed": share(0.5),
        "axes": {"motion_quality": {"passed": share(0.75)}},
        "gates": {"flicker": {"passed": share(0.25)}},
        "groups": {
            "some": {
                "clips": 2,
                "passed": share(1.0),
                "axes": {"motion_quality": None},
                "gates": {"flicker": share(0.0)},
                "moving_camera": share(0.5),
                "given_frames": {"16": 31.26},
                "jump": {"made": 1.5, "autoencoder": 1.25},
            }
        },
        "reference": {
            "true": {
                "passed": share(1.0),
                "axes": {"motion_quality": share(1.0)},
                "gates": {"flicker": None},
            }
        },
    }
    assert judgement.write_table(report) == (
        "|  | all | some | true |\n"
        "| --- | --- | --- | --- |\n"
        "| clips | 4 | 2 |  |\n"
        "| all gates | 0.50 | 1.00 | 1.00 |\n"
        "| motion quality | 0.75 |  | 1.00 |\n"
        "| flicker | 0.25 | 0.00 |  |\n"
        "| camera, where it moves |  | 0.50 |  |\n"
        "| given frame 16, dB |  | 31.3 |  |\n"
        "| change after them |  | 1.50 |  |\n"
        "| the same of the autoencoder |  | 1.25 |  |"
    )


def test_a_card_names_the_command_that_makes_the_release():
    world = {"data": {"source": "world"}}
    assert "launch/release.sh" in card.describe_training(world | {"size": "released"})
    assert card.describe_training(world | {"size": "tiny"}) == "`bash launch/chain.sh tiny`"


WORLD = {"slice": "tiny", "train": 3000, "num_frames": 17, "height": 64, "width": 64, "fps": 12}


@pytest.mark.parametrize(
    ("source", "parts"),
    [
        ("world:2", ("the synthetic world", "slice tiny: 3,000", "per second; no footage")),
        ("folder:1", ("the clips of a folder, films",)),
        ("birds:1", ("the clips of a folder, birds",)),
        (
            "world:3,birds:1",
            ("75% of steps: the synthetic world", "25% of steps: the clips of a folder, birds"),
        ),
    ],
)
def test_a_card_describes_every_source(source, parts):
    data = {
        "source": source,
        "world": WORLD,
        "folder": {"path": "a/films"},
        "birds": {"source": "folder", "path": "a/birds"},
    }
    told = card.describe_data(data)
    assert all(part in told for part in parts)
    of_world = source == "world:2"
    assert ("no footage" in told) == of_world == card.of_world({"data": data})
    assert ("folder" in told) != of_world
    assert ("world" in told) == ("world" in source)


def test_the_chain_does_not_make_a_release_of_several_worlds():
    data = {"source": "world,easy", "easy": {"source": "world"}}
    assert "config.json" in card.describe_training({"data": data, "size": "tiny"})


def test_the_card_of_the_released_weights_is_that_of_its_report():
    told = (runs.RELEASED / "README.md").read_text()
    commit = re.search(r"`, at commit (\w+) \|", told)[1]
    report = run_directory.read_json(runs.RELEASED, "evaluation.json")
    assert told == card.write_card(runs.RELEASED, judgement.describe(report), commit)


def test_the_released_weights_are_small_and_have_a_card():
    files = [path for path in runs.RELEASED.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 20e6
    assert {"README.md", "evaluation.json", "weights.safetensors"} <= {path.name for path in files}
    assert release.exists(runs.RELEASED / "autoencoder")
    judged = run_directory.read_json(runs.RELEASED, "evaluation.json")
    for task, frames in (("image_to_video", ["0"]), ("first_and_last", ["0", "16"])):
        for frame in frames:  # images that were given come back
            assert judged["groups"][task]["given_frames"][frame] >= 30


def test_the_released_weights_draw_what_the_prompt_says():
    pipeline = Pipeline.from_run()
    colors = ("red", "blue", "green", "yellow")
    caption = "A {} ball rolls to the left on a grey floor. The camera is static."
    prompts = [caption.format(color) for color in colors]
    clips = pipeline(prompt=prompts, num_inference_steps=10, guidance_scale=3).frames
    seen = [detection.find_tracks(lab_of(clip))[0].color for clip in clips]
    assert sum(map(str.__eq__, colors, map(str, seen))) >= 3
    assert not any(quality.dynamics(clip) < 5 for clip in clips)
