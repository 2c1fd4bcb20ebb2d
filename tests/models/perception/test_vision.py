import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seedance_jax.models.perception import patches as squares
from seedance_jax.models.perception.vision import VisionTower

SETTINGS = {"width": 12, "depth": 2, "heads": 2, "hidden": 20, "patch_size": 2, "image_size": 8}
FIXED = VisionTower(**SETTINGS)
NAFLEX = VisionTower(**SETTINGS, naflex=True)


def video(height, width, frames=2, seed=0):
    shape = (2, frames, height, width, 3)
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


@pytest.fixture(scope="module")
def variables(random_params):
    return random_params(FIXED.init, FIXED.read(video(8, 8)), method="pool")


@pytest.fixture(scope="module")
def run(variables):
    apply = jax.jit(NAFLEX.apply, static_argnames="method")
    return lambda patches, **method: np.asarray(apply(variables, patches, **method))


def pad(patches, count, value):
    """More patches than the images have, that hold `value` and are at places where none is."""
    pixels, places, shape, mask = patches
    width = ((0, 0), (0, 0), (0, count), (0, 0))
    return squares.Patches(
        *(np.pad(array, width, constant_values=value) for array in (pixels, places)),
        *(shape, np.pad(mask, width[:3])),
    )


def test_padding_patches_change_nothing(run):
    patches = NAFLEX.read(video(6, 4))
    padded = pad(patches, 5, 9)
    np.testing.assert_allclose(run(padded)[:, :, :6], run(patches), atol=2e-6)
    pooled = [run(each, method="pool") for each in (padded, patches, pad(patches, 5, -3))]
    np.testing.assert_allclose(pooled[0], pooled[1], atol=2e-6)
    np.testing.assert_array_equal(pooled[0], pooled[2])


def test_an_image_knows_nothing_of_the_others(run):
    clip, other = video(6, 4), video(6, 4)
    other[:, 1] = 0.5
    before, after = run(NAFLEX.read(clip)), run(NAFLEX.read(other))
    np.testing.assert_array_equal(before[:, 0], after[:, 0])
    assert np.abs(before - after)[:, 1].max() > 1e-3


def test_both_forms_see_the_square_image_alike(run, variables):
    square = video(8, 8)
    fixed = FIXED.apply(variables, FIXED.read(square))
    np.testing.assert_allclose(fixed, run(NAFLEX.read(square)), atol=2e-6)


def test_tokens_do_not_depend_on_the_order_of_patches(run):
    plain, blocks = NAFLEX.read(video(8, 4)), NAFLEX.read(video(8, 4), block=2)
    row, column = blocks.places[0, 0].T
    np.testing.assert_array_equal(plain.pixels[:, :, row * 2 + column], blocks.pixels)
    np.testing.assert_allclose(run(blocks), run(plain)[:, :, row * 2 + column], atol=2e-6)


def test_patches_of_a_block_are_neighbours():
    patches = squares.cut(video(12, 16), 2, block=2)
    blocks = np.asarray(patches.places[0, 0]).reshape(-1, 4, 2)
    corners = blocks[:, :1] % 2
    assert not corners.any()
    assert (blocks - blocks[:, :1] == [[0, 0], [0, 1], [1, 0], [1, 1]]).all()
    assert len({tuple(place) for place in blocks.reshape(-1, 2)}) == 6 * 8


def test_a_patch_holds_the_pixels_of_its_place():
    clip = video(6, 8)
    patches = squares.cut(clip, 2)
    for number, (row, column) in enumerate(patches.places[0, 0]):
        square = clip[1, 0, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
        np.testing.assert_array_equal(patches.pixels[1, 0, number], square.reshape(-1))


def test_positions_of_the_grid_itself_are_exact():
    table = jax.random.normal(jax.random.key(0), (16, 3))
    found = squares.interpolate(table, squares.cut(video(8, 8), 2))
    np.testing.assert_array_equal(found[1, 1], table)


@pytest.mark.parametrize("shape", [(3, 9), (1, 4), (6, 2)])
def test_interpolated_positions_of_a_ramp_are_a_ramp(shape):
    """Away from the edges, where the filter is cut off."""
    rows, columns = jnp.indices((4, 4)) + 0.5
    table = jnp.stack([rows.ravel(), columns.ravel()], -1)
    found = squares.interpolate(table, squares.cut(video(2 * shape[0], 2 * shape[1]), 2))[0, 0]
    places = np.asarray(np.indices(shape)).reshape(2, -1).T + 0.5
    expected = places * 4 / np.array(shape)
    support = np.maximum(4 / np.array(shape), 1)
    inner = (expected >= support) & (expected <= 4 - support)
    assert inner.any()
    np.testing.assert_allclose(np.asarray(found)[inner], expected[inner], atol=1e-5)


@pytest.mark.parametrize(
    ("tower", "size", "block", "said"),
    [
        (FIXED, (8, 16), 1, r"8 x 16 pixels: this tower takes 8 x 8 alone; resize"),
        (FIXED, (6, 6), 1, r"6 x 6 pixels: this tower takes 8 x 8"),
        (FIXED, (8, 8), 3, r"4 x 4 patches of 2, which blocks of 3 x 3 do not divide"),
        (NAFLEX, (7, 8), 1, r"7 x 8 pixels: both must be multiples of 2, such as 8 x 8 "),
        (NAFLEX, (6, 8), 2, r"6 x 8 pixels: both must be multiples of 4, such as 8 x 8 "),
    ],
)
def test_a_size_that_does_not_fit_is_named(tower, size, block, said):
    with pytest.raises(ValueError, match=said):
        tower.read(video(*size), block)


@pytest.mark.parametrize("size", [(64, 64), (288, 512), (720, 480), (10, 1000), (3, 2)])
@pytest.mark.parametrize("block", [1, 2])
def test_the_size_that_a_tower_asks_for_fits_it(size, block):
    tower = VisionTower(12, 2, 2, naflex=True)
    height, width = tower.size_for(*size, block)
    tower.check_size(height, width, block)
    assert height * width <= 256**2
    assert height * width >= 0.6 * 256**2 or max(size) > 50 * min(size)
    assert FIXED.size_for(*size) == (8, 8)
    height, width = tower.size_for(*size, block, max_patches=70)
    tower.check_size(height, width, block)
    assert height * width <= 70 * 16**2


def test_pixels_that_no_patch_holds_are_cut_off():
    tower = VisionTower(**SETTINGS | {"image_size": 9})
    assert tower.check_size(9, 9) == (8, 8)
    np.testing.assert_array_equal(
        tower.read(video(9, 9)).pixels, FIXED.read(video(9, 9)[:, :, :8, :8]).pixels
    )


def test_images_of_another_size_are_resized_with_a_gradient():
    clip = jnp.asarray(video(6, 6))
    assert squares.resize(clip, (6, 6)) is clip
    flat = squares.resize(jnp.full((1, 1, 6, 6, 3), 0.25), (8, 4))
    np.testing.assert_allclose(flat, 0.25 * np.ones((1, 1, 8, 4, 3)), atol=1e-6)
    slopes = jax.grad(lambda clip: (squares.resize(clip, (4, 8)) ** 2).sum())(clip)
    assert (slopes != 0).all()


def test_every_block_has_weights_of_its_own():
    params = jax.jit(FIXED.init)(jax.random.key(0), FIXED.read(video(8, 8)))["params"]
    up = params["blocks"]["mlp"]["up"]["kernel"]
    assert up.names == ("layers", "embed", "mlp")
    assert np.all(up.value[0] != up.value[1])
    assert "head" not in params


def test_size_is_that_of_the_installed_reference():
    """Where transformers is installed: sizes of the NaFlex form."""
    pytest.importorskip("torchvision")
    reference = pytest.importorskip("transformers.models.siglip2.image_processing_siglip2")
    for size in [(480, 832), (64, 64), (1080, 1920), (17, 300), (1, 1)]:
        theirs = reference.get_image_size_for_max_num_patches(*size, 16, 256)
        assert squares.fit_size(*size, 16, 256) == theirs
