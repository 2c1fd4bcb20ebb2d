import pytest

from configs import pretrain
from seedance_jax.performance import cost
from seedance_jax.performance.timed import dit_speed


def test_ours_is_counted_like_any_generator():
    config = pretrain.get_config("smoke").to_dict()
    model = dit_speed.make_dit(128, 6, window=(4, 4)).clone(heads=4)
    text_tokens = config["text"]["max_words"]
    config["text"]["width"] = 128
    rows = cost.count(cost.make_program(config, (2, 4, 4)))
    counted = sum(row.flops for row in rows if row.name != cost.TEXT_MODEL)
    assert dit_speed.our_flops(model, (2, 4, 4), text_tokens) == counted


def test_diffusers_is_counted_by_torch():
    pytest.importorskip("diffusers")
    short, long = (dit_speed.reference_flops(64, 2, (t, 8, 8), text_tokens=8) for t in (1, 2))
    assert 2 * 8 * 64 * 64**2 * 2 < short < long / 1.9


def test_tokens_are_whole_frames():
    dit_speed.check(1024, 64, 2)
    with pytest.raises(ValueError, match="tokens=1000"):
        dit_speed.check(1000, 64, 2)
    with pytest.raises(ValueError, match="layers=3"):
        dit_speed.check(1024, 64, 3)


@pytest.mark.parametrize("attention", ["decoupled", "full"])
def test_a_pass_runs(attention):
    model = dit_speed.make_dit(64, 2, attention, window=(2, 2))
    dit_speed.our_runners(model, (2, 4, 4), text_tokens=4)["forward"]()


def test_ratios_are_of_what_was_counted_and_small_numbers_are_not_rounded_away():
    config = pretrain.get_config("tiny").to_dict()
    report = dit_speed.compare_flops(config, (13, 30, 54))
    ours, full = (report[f"{kind} GFLOP"] for kind in ("decoupled", "full"))
    assert report["FLOP ratio"] == pytest.approx(full / ours, abs=0.006)
    large = dit_speed.compare_flops(pretrain.get_config("7b").to_dict(), (31, 30, 54))
    assert large["full TFLOP"] > large["decoupled TFLOP"] >= 10
