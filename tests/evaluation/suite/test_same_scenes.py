"""Suites of stages at a low resolution or rate: the scenes of the full form, as training has it."""

import json
import re

import numpy as np
import pytest

from configs import pretrain_24fps, pretrain_highres, pretrain_image, pretrain_video
from seedance_jax.data import sources, transforms
from seedance_jax.data.video import encode_mp4
from seedance_jax.data.world import corruptions, generate
from seedance_jax.data.world.spec import CODEC
from seedance_jax.evaluation.judges import forms, true_clips
from seedance_jax.evaluation.judges.forms import Form
from seedance_jax.evaluation.suite import cases

# Suite -> (whose scenes, its form, stride of the bucket, cases).
OTHERS = {
    "world_v2_plain_low": ("world_v2_plain", (13, 64, 64, 6), 2, 224),
    "world_v2_plain_6fps": ("world_v2_plain", (13, 128, 128, 6), 2, 224),
    "world_v2_plain_low_image": ("world_v2_plain_image", (1, 64, 64, 12), 1, 64),
}
# Stage at `released`, whose data are of `plain` and `tiny` -> suites of its clips and pictures.
STAGES = {
    pretrain_image: ("world_v2_plain_low_image", "world_v2_image"),
    pretrain_video: ("world_v2_plain_low", "world_v2_plain_low_image", "world_v2_image"),
    pretrain_highres: ("world_v2_plain_6fps", "world_v2_plain_image"),
    pretrain_24fps: ("world_v2_plain", "world_v2_plain_image"),
}


@pytest.fixture(params=[f"{family}_{kind}" for family in OTHERS for kind in ("dev", "test")])
def pair(request):
    """(a suite, that whose scenes it shows, stride of the bucket)."""
    family, _, kind = request.param.rpartition("_")
    source, _, stride, _ = OTHERS[family]
    return cases.read_suite(request.param), cases.read_suite(f"{source}_{kind}"), stride


def test_a_suite_has_the_scenes_of_the_full_form_that_training_takes(pair):
    suite, full, stride = pair
    sizes, count = OTHERS[suite.name.rpartition("_")[0]][1::2]
    assert suite.form == Form(*sizes, "plain", "2.0.0")
    assert [case.number for case in suite.cases] == list(range(count))
    trained = [
        case
        for case in full.cases
        if 0 in transforms.legal_starts(frames_of(case), suite.form.num_frames, stride)
    ]
    for own, other in zip(suite.cases, trained, strict=True):
        for name in ("group", "split", "index", "prompt"):
            assert getattr(own, name) == getattr(other, name)
        assert own.scene | {"shots": other.scene["shots"]} == other.scene
        assert frames_of(own) == [suite.form.num_frames]


def frames_of(case):
    return [shot["num_frames"] for shot in case.scene["shots"]]


def test_only_clips_with_a_cut_are_left_out(pair):
    suite, full, _ = pair
    groups = [{case.group for case in one.cases} for one in (full, suite)]
    assert groups[0] - groups[1] == ({"two_shot"} if suite.form.num_frames > 1 else set())


def test_given_runs_end_with_a_latent_frame(pair):
    suite, full, _ = pair
    last = suite.form.num_frames - 1
    runs = [{json.dumps(case.given) for case in one.cases} for one in (suite, full)]
    assert runs[0] - runs[1] == ({json.dumps([[0, 0], [last, last]])} if last else set())
    for case in suite.cases:
        assert all(end % 4 == 0 and end <= last for _, end in case.given)


@pytest.mark.parametrize(
    ("run", "taken"), [([0, 4], [0, 4]), ([0, 16], [0, 8]), ([24, 24], [12, 12])]
)
def test_a_run_of_frames_shows_at_least_what_it_did(run, taken):
    assert true_clips.run_of(true_clips.LOW, run) == taken
    assert true_clips.run_of(true_clips.PLAIN, run) == run


def test_true_clips_are_what_training_reads_of_a_stored_row(pair):
    """So they agree with the clips of a data set to the last bit."""
    suite, full, stride = pair
    case = suite.cases[1]
    row = generate(case.split, case.index, true_clips.stored_spec(suite.form))
    row["video"] = encode_mp4(row["frames"], full.form.fps, **CODEC)
    own = suite.clip(case)
    np.testing.assert_array_equal(own, transforms.middle_clip(row, suite.form[:3], stride))
    frames, scene = true_clips.read(suite.form, case.split, case.index)
    np.testing.assert_array_equal(own, frames)
    assert scene == case.scene


def test_a_form_that_is_stored_as_it_is_keeps_every_frame():
    assert [*true_clips.frame_numbers(true_clips.PLAIN)] == list(range(25))
    assert true_clips.shows(true_clips.PLAIN, [13, 12])
    assert not true_clips.shows(true_clips.LOW, [13, 12])
    assert true_clips.shows(true_clips.LOW, [17, 8])
    assert true_clips.shown_indices(true_clips.PLAIN, "validation", 7, 3) == [7, 8, 9]


def test_numbers_of_clips_that_a_form_does_not_show_are_passed_over():
    full, low = (
        true_clips.shown_indices(form, "validation", 9_000_000, 40)
        for form in (true_clips.PLAIN, true_clips.LOW)
    )
    assert len(low) == 40
    assert low[-1] > full[-1]
    assert low == sorted({*low})


@pytest.mark.parametrize("form", [true_clips.LOW, true_clips.SLOW, true_clips.PLAIN])
def test_what_is_made_wrong_is_the_true_clip_of_the_form(form):
    """At severity 0 nothing is wrong: every second frame of the full clip, and its simulation."""
    row = generate("validation", 9_000_027, true_clips.stored_spec(form))
    shot = true_clips.stage(form, "validation", 9_000_027)
    rng = np.random.default_rng(0)
    frames = corruptions.corrupt("jitter", shot, 0.0, rng, form.fps)
    numbers = true_clips.frame_numbers(form)
    np.testing.assert_array_equal(frames, row["frames"][list(numbers)])
    again = corruptions.corrupt("slow_gravity", shot, 0.0, rng, form.fps)
    np.testing.assert_array_equal(again, frames)
    shown = true_clips.stored(form, frames, range(form.num_frames)).astype(float)
    assert np.abs(shown - true_clips.take(form, row["frames"])).mean() < 1


@pytest.mark.parametrize("name", [name for name in cases.SUITES if "v2" in name])
def test_judges_have_thresholds_and_a_report_for_every_suite(name):
    form = cases.SUITES[name][0]
    assert forms.find_bounds(form)
    assert json.loads(forms.REPORTS.read_text())[str(form)]["true"]["clips"] >= 60


@pytest.mark.parametrize("module", STAGES)
def test_every_stage_has_suites_of_its_clips_and_of_its_pictures(module):
    config, metadata = made_by(module)
    every = {name: form for name, (form, _) in cases.SUITES.items()}
    fits = [name for name, form in every.items() if not cases.misfits(name, form, config, metadata)]
    wanted = {f"{family}_{kind}" for family in STAGES[module] for kind in ("dev", "test")}
    assert {*fits} == wanted
    assert cases.test_suite_of(config, metadata) == f"{STAGES[module][0]}_test"


def made_by(module):
    config = module.get_config("released").to_dict()
    made = [bucket[:3] for bucket in config["data"]["buckets"]]
    return config, {"buckets": made, "fps": sources.clip_fps(config["data"])}


@pytest.mark.parametrize(
    ("module", "name", "reason"),
    [
        (pretrain_video, "world_v2_plain_6fps_dev", "13x128x128 .* trained on 13x64x64, 1x64x64"),
        (pretrain_highres, "world_v2_plain_low_dev", "13x64x64 .* on 13x128x128, 1x128x128"),
        (pretrain_24fps, "world_v2_plain_6fps_dev", "13x128x128 .* trained on 25x128x128"),
        (pretrain_image, "world_v2_plain_low_test", "13x64x64 .* was trained on 1x64x64"),
    ],
)
def test_a_run_of_another_stage_is_refused(module, name, reason):
    with pytest.raises(ValueError, match=f"{name} is of clips of {reason}"):
        cases.check_model(cases.read_suite(name), *made_by(module))


def test_a_rate_is_of_clips_alone():
    config, metadata = made_by(pretrain_video)
    cases.check_model(cases.read_suite("world_v2_plain_low_image_dev"), config, metadata)
    with pytest.raises(ValueError, match="low_dev is of 6 frames a second, the run of 12"):
        cases.check_model(
            cases.read_suite("world_v2_plain_low_dev"), config, metadata | {"fps": 12}
        )


@pytest.mark.parametrize("family", OTHERS)
def test_what_chooses_sees_no_test_suite_of_other_forms_either(family):
    assert cases.read_dev_suite(f"{family}_dev").name in cases.dev_suites()
    assert cases.is_test(cases.read_suite(f"{family}_test"))
    with pytest.raises(ValueError, match=re.escape(f"suite='{family}_test' is for tables alone")):
        cases.read_dev_suite(f"{family}_test")
