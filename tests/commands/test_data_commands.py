import json

import pytest
import tokenizers
from clips import moving_square

from seedance_jax.data.video import encode_mp4

CONFIG = """
from ml_collections import ConfigDict

def get_config():
    folder = dict(path={films!r}, num_frames=9, fps=12.0, storage_size=32, validation_fraction=0.0)
    return ConfigDict(dict(seed=0, tasks=dict(image_to_video=1.0), condition_dropout=0.0, text=dict(
        mode="joint", tokenizer={words!r}, max_words=0), data=dict(
        source="folder", data_dir={data_dir!r}, num_processes=1, text_length=12, folder=folder,
        buckets=((9, 32, 32, 2, 1.0), (1, 16, 16, 2, 1.0)),
        filter="", labels=dict(bright="exposure > 1"))))
"""


def write_words(directory):
    """A tokenizer of words, by which captions are shorter than in bytes."""
    directory.mkdir()
    vocabulary = {word: i for i, word in enumerate(("[pad]", "a", "square", "moves"))}
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, "[pad]"))
    words.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    words.save(str(directory / "tokenizer.json"))
    (directory / "tokenizer_config.json").write_text(json.dumps({"pad_token": "[pad]"}))


def test_a_config_is_asked_for(command):
    done = command("build_data")
    assert done.returncode != 0
    assert done.stderr.endswith("error: --config is missing (--helpshort shows the flags)\n")
    assert "Traceback" not in done.stderr


def test_inspecting_asks_for_a_build_and_then_shows_it(tmp_path, command):
    films = tmp_path / "films"
    films.mkdir()
    for index in range(2):
        (films / f"{index}.mp4").write_bytes(encode_mp4(moving_square(index, 20), 12))
        (films / f"{index}.txt").write_text("a square moves")
    (films / "lone.txt").write_text("a square moves")
    config = tmp_path / "config.py"
    write_words(tmp_path / "words")
    places = {"films": films, "data_dir": tmp_path / "data", "words": tmp_path / "words"}
    config.write_text(CONFIG.format(**{name: str(path) for name, path in places.items()}))
    flags = [f"--config={config}", f"--output={tmp_path / 'sheet.png'}", "--num_batches=2"]
    early = command("inspect_data", *flags)
    assert early.returncode != 0
    assert f"python -m seedance_jax build_data {flags[0]}\n" in early.stderr
    for name in ("build_data", "inspect_data"):
        unset = command(name, flags[0], "--config.data.folder.path=")
        assert unset.stderr.endswith("is not set: --config.data.folder.path=FOLDER\n"), unset.stderr
        nowhere = command(name, flags[0], f"--config.data.folder.path={tmp_path}/x")
        assert "x: there is no such folder" in nowhere.stderr
    none = command("build_data", flags[0], "--config.data.folder.fps=0")
    assert none.stderr.endswith("error: data.folder.fps=0.0: must be above 0\n")
    built = command("build_data", flags[0])
    assert built.returncode == 0, built.stderr
    assert "{'train': 4} rows, 0 files lost" in built.stdout
    assert "1 files or folders left out:\n  lone.txt: a text beside no video" in built.stdout
    shown = command("inspect_data", *flags)
    assert shown.returncode == 0, shown.stderr
    assert "lone.txt: a text beside no video" in shown.stdout
    assert (tmp_path / "sheet.png").exists()
    report = json.loads((tmp_path / "sheet.json").read_text())
    assert report["sources"]["folder"]["rows"] == 4
    assert report["sources"]["folder"]["caption_tokens"] == {
        "1 to 2": 0,
        "3 to 4": 4,
    }  # a start and three words
    check_scoring(command, flags[0], tmp_path)


def check_scoring(command, config, folder):
    """Scores the built clips of a config, and shows what its filter drops."""
    flags = [config, f"--output={folder / 'dropped.png'}", "--config.data.filter=clipped < 2"]
    early = command("inspect_data", *flags)
    assert "\n  python -m seedance_jax score --config=" in early.stderr
    assert early.stderr.endswith(" '--config.data.filter=clipped < 2' --split=train\n")
    scored = command("score", *flags)
    assert scored.returncode == 0, scored.stderr
    assert "folder, train: 4 of 4 rows kept by the filter" in scored.stdout
    assert not (folder / "dropped.png").exists()  # nothing is dropped
    flags[-1] = "--config.data.filter=bright and num_frames == 9"
    dropped = command("score", *flags)
    assert "folder, train: 0 of 4 rows kept by the filter" in dropped.stdout
    assert "not bright: 4 (4 by nothing else)" in dropped.stdout
    assert (folder / "dropped.png").exists()
    reports = json.loads((folder / "dropped.json").read_text())
    assert reports["folder"]["reasons"]["not bright"] == {"rows": 4, "alone": 4}
    unknown = command("score", *flags, "--scorers=reward")
    assert unknown.stderr.endswith(
        "no scorer 'reward'; legal scorers: motion, aesthetic, known_camera, scene\n"
    )


def test_pairs_are_built_once_and_told_of(tmp_path, command):
    pytest.importorskip("mujoco")
    pytest.importorskip("numba")
    world = {"train": 3, "validation": 1, "held_out_combinations": 0, "out_of_range": 0}
    world |= {"num_frames": 13, "height": 32, "width": 32}
    flags = ["--config=configs/vae.py:smoke", "--config.data.num_processes=1"]
    flags += [f"--config.data.world.{name}={value}" for name, value in world.items()]
    flags += [f"--config.data.data_dir={tmp_path}"]
    built = command("build_pairs", *flags)
    assert built.returncode == 0, built.stderr
    assert "clips, {'train': 0, 'validation': 0} scenes left out" in built.stdout
    assert "train: 3 scenes with " in built.stdout
    assert "train: 12 wrong captions (6 hard): " in built.stdout
    again = command("build_pairs", *flags)
    assert again.stdout == built.stdout
    assert "scene/s" in built.stderr
    assert "scene/s" not in again.stderr
