"""What is checked of requests before anything is generated."""

import numpy as np
import pytest

from seedance_jax.sampling import preparation, sizes


def test_errors_say_in_which_row_they_are():
    with (
        pytest.raises(ValueError, match="a.csv line 3: num_frames=6"),
        preparation.named("a.csv line 3: "),
    ):
        raise ValueError("num_frames=6")


def test_a_frame_rate_that_was_not_trained_on_is_named():
    world, folder = {"fps": 12}, {"fps": 24.0}
    data = {"source": "world,folder", "buckets": [[17, 64, 64, 2, 1.0], [1, 64, 64, 8, 1.0]]}
    config = {"data": data | {"world": world, "folder": folder}}
    note = lambda fps: sizes.rate_note(fps, config, {"fps": 12})  # noqa: E731
    assert (note(12), note(24)) == ("", "")
    assert note(100) == "fps=100 is no frame rate that the weights were trained on: 12, 24"


@pytest.mark.parametrize(
    "setting",
    [{"negative_prompt": "a"}, {"guidance_rescale": 0.5}, {"guidance_interval": (0.2, 0.9)}],
)
def test_settings_of_guidance_need_guidance(pipeline, setting):
    def check(**scales):
        request = {"prompt": "a ball", **setting, **scales}
        preparation.check_used(request, pipeline.prepare(**request))

    check(guidance_scale=2.0)
    check(guidance_scale=1.0, image=np.zeros((32, 32, 3), np.uint8), image_guidance_scale=2.0)
    (name,) = setting
    with pytest.raises(ValueError, match=f"{name}=.* does nothing at guidance_scale=1"):
        check(guidance_scale=1.0)
    usual = {"negative_prompt": "", "guidance_rescale": 0.0, "guidance_interval": (0.0, 1.0)}
    setting = {name: usual[name]}
    check(guidance_scale=1.0)  # as sidecars have it
