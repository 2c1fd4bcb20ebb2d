import json

import numpy as np
import pytest
from golden import make_lpips
from safetensors.numpy import save_file

from seedance_jax.evaluation import fidelity
from seedance_jax.evaluation.metrics import paired


@pytest.fixture
def clips():
    """uint8 [5, 9, 16, 16, 3], in which no pixel is black or white."""
    return np.random.default_rng(0).integers(20, 236, (5, 9, 16, 16, 3)).astype(np.uint8)


def test_scores_are_those_of_the_frames(clips):
    made = clips + np.array([0, 4, 8, 8, 8], np.uint8)[:, None, None, None, None]
    found = paired.summarize(clips, made)
    errors = [fidelity.MOST, *(20 * np.log10(255 / change) for change in (4, 8, 8, 8))]
    assert found["psnr"].value == pytest.approx(np.mean(errors))
    assert found["psnr"].low < found["psnr"].value < found["psnr"].high
    assert found["psnr"].count == found["ssim"].count == 5
    assert "lpips" not in found
    equal = paired.summarize(clips, clips)
    assert equal["psnr"][:3] == (fidelity.MOST,) * 3
    assert equal["ssim"].value == pytest.approx(1.0)
    assert found["ssim"].value < 1.0


def test_a_distance_is_asked_of_every_frame_once_and_in_one_shape(clips):
    shapes = set()

    def brightness(x, y):
        shapes.add(x.shape)
        return np.abs(x - y).mean((1, 2, 3))

    made = clips.copy()
    made[:, 8] += 9
    found = paired.summarize(clips, made, brightness)
    assert found["lpips"].value == pytest.approx(9 / 127.5 / 9, rel=1e-5)
    assert shapes == {(paired.BATCH, 16, 16, 3)}


def test_lpips_is_opened_from_files_of_public_weights(clips, tmp_path):
    """The distances of the `lpips` package for the weights of its golden file."""
    save_file(make_lpips.vgg_weights(), tmp_path / "vgg.safetensors")
    distance = paired.open_lpips(tmp_path / "vgg.safetensors", make_lpips.HEADS)
    expected = json.loads(make_lpips.DISTANCES.read_text())["16x16"]
    found = distance(*make_lpips.image_pairs(16, 16))
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_small_clips_are_refused():
    with pytest.raises(ValueError, match="clips of 14x32 pixels: pairs need sides of 16 or more"):
        paired.check_size((5, 9, 14, 32, 3))
