import json

import numpy as np
import pytest

from seedance_jax.data.buckets import Bucket
from seedance_jax.performance.timed import input_speed
from seedance_jax.performance.timed.input_speed import Step

BUCKET = Bucket(5, 32, 48, batch_size=1)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("input")
    clips, latents = folder / "clips/set", folder / "latents/set"
    input_speed.write_throw_away(clips, latents, BUCKET)
    return input_speed.make_inputs(BUCKET, 64, clips, latents)


def test_batches_are_those_of_training(inputs):
    video, latents = (inputs[name].dataset[0] for name in ("mp4", "latents"))
    assert video["video"].shape == (1, 5, 32, 48, 3)
    film = input_speed.film(5, 32, 48)
    assert np.abs(video["video"][0].astype(float) - film).mean() < 20  # colour at half resolution
    assert latents["latents"].shape == latents["stills"].shape == (1, 2, 2, 3, 48)
    assert video["text"].shape == latents["text"].shape == (1, 64)
    more = inputs["latents"].stored - inputs["mp4"].stored
    assert more >= 2 * 2 * 2 * 3 * 48 * 2  # two arrays of bfloat16


def test_a_report_holds_together(inputs):
    found = list(input_speed.in_turns(inputs, 1, [0], seconds=0.1, repeats=2))
    assert [pair[:2] for pair in found] == [("mp4", 0), ("latents", 0)]
    for name, _, report in found:
        assert all(np.isfinite(value) and value > 0 for value in report.values())
        size = sum(array.nbytes for array in inputs[name].dataset[0].values())
        assert report["batch MB/s"] == pytest.approx(report["clips/s"] * size / 1e6)
        assert report["stored MB/s"] == pytest.approx(report["clips/s"] * inputs[name].stored / 1e6)


def test_the_time_of_workers_counts(inputs):
    report = input_speed.measure(inputs["mp4"].dataset, threads=1, workers=1, seconds=0.5)
    own = input_speed.measure(inputs["mp4"].dataset, threads=1, workers=0, seconds=0.5)
    assert 0.05 < report["clips/s per core"] / own["clips/s per core"] < 5


def test_the_share_of_a_step_is_of_the_clips_of_one_host():
    step = Step(seconds=5.0, batch=64, hosts=8)
    report = input_speed.share(0.8, step, cores=4)  # 8 clips in 5 s are 2 cores' work
    assert report["cores needed per host"] == pytest.approx(2)
    assert report["share of a step"] == pytest.approx(0.5)
    half = input_speed.share(0.8, step._replace(hosts=16), cores=4)
    assert half["share of a step"] == pytest.approx(0.25)


def test_steps_are_those_that_were_compiled_for_such_clips(tmp_path):
    one = {"program": "train", "clip": [5, 32, 48], "batch": 64, "devices": 64}
    one |= {"mesh": {"data": 2, "fsdp": 4, "sequence": 8, "tensor": 1}}
    one |= {"bounds": {"compute": 2.0, "links": 3.0}}
    no_bounds = {key: value for key, value in one.items() if key != "bounds"}
    others = [one | {"program": "sample"}, one | {"clip": [1, 32, 48]}, no_bounds]
    path = tmp_path / "reports.json"
    path.write_text("".join(json.dumps(report) + "\n" for report in (*others, one)))
    assert input_speed.read_steps(path, BUCKET.shape, 16) == [Step(3.0, 64, 8)]
    assert input_speed.read_steps(path, BUCKET.shape, 4) == [Step(3.0, 64, 4)]
    with pytest.raises(ValueError, match=r"no training step for clips of \(9, 32, 48\)"):
        input_speed.read_steps(path, (9, 32, 48), 4)


def test_the_command_tells_what_a_step_would_need(run_command, capsys):
    flags = ["--what=input", "--generator=configs/pretrain.py:smoke", "--workers=0", "--repeats=1"]
    step = ["--step_seconds=2", "--batch=64", "--hosts=4", "--cores=8"]
    run_command("benchmark", *flags, *step, "--window=0.1")
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["input"] for line in lines] == ["mp4", "mp4", "latents", "latents"]
    speed, told = lines[:2]
    assert told["cores needed per host"] == pytest.approx(8 / speed["clips/s per core"])
    with pytest.raises(ValueError, match="--step_seconds and --batch"):
        run_command("benchmark", *flags, "--step_seconds=2")
    with pytest.raises(ValueError, match="hosts=3 does not divide batch=64"):
        run_command("benchmark", *flags, *step, "--hosts=3")
    with pytest.raises(ValueError, match="--what=input needs --generator"):
        run_command("benchmark", "--what=input")
