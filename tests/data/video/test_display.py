import io
from fractions import Fraction

import av
import films
import numpy as np
import pytest

from seedance_jax.data.video import ClipError, VideoReader, decode_mp4

TURNED, MIRRORED = "turned upright as the file says", "mirrored as the file says"
SCREEN = [
    (200, 60, 60),
    (60, 180, 60),
    (60, 60, 200),
    (180, 180, 180),
    (16, 16, 16),
    (235, 235, 235),
]


def shown(data):
    """(first frame, notes) of a film."""
    with VideoReader(data) as reader:
        frames = list(reader.frames())
        return reader.show(frames[0]), reader.notes


@pytest.mark.parametrize(
    ("matrix", "corners", "note"),
    [
        ((1, 0, 0, 1), "RGBW", []),
        ((0, 1, -1, 0), "BRWG", [TURNED]),  # a quarter, clockwise
        ((-1, 0, 0, -1), "WBGR", [TURNED]),
        ((0, -1, 1, 0), "GWRB", [TURNED]),
        ((-1, 0, 0, 1), "GRWB", [MIRRORED]),
        ((1, 0, 0, -1), "BWRG", [MIRRORED]),
        ((0, 1, 1, 0), "RBGW", [MIRRORED]),
        ((0, -1, -1, 0), "WGBR", [MIRRORED]),
        ((0, 0, 0, 0), "RGBW", []),
        ((2, 0, 0, 2), "RGBW", []),
    ],
)
def test_a_matrix_turns_and_mirrors(matrix, corners, note):
    data = films.with_matrix(films.written(films.quarters()), *matrix)
    image, notes = shown(data)
    assert films.corners(image) == corners
    assert image.shape == ((96, 64, 3) if matrix[1] else (64, 96, 3))
    assert notes == note
    frames, _ = decode_mp4(data, size=(32, 16))
    assert frames.shape == (5, 32, 16, 3)
    assert films.corners(frames[0].repeat(4, 0).repeat(4, 1)) == corners


def test_a_turn_that_is_no_right_angle_is_named():
    data = films.with_matrix(films.written(films.quarters()), 0.8, 0.6, -0.6, 0.8)
    with pytest.raises(ClipError, match="no right-angled turn"):
        decode_mp4(data)


@pytest.mark.parametrize(("aspect", "width"), [((4, 3), 128), ((8, 9), 85), ((1, 1), 96)])
def test_pixels_become_square(aspect, width):
    data = films.written(films.quarters(), sample_aspect_ratio=Fraction(*aspect))
    image, notes = shown(data)
    assert image.shape == (64, width, 3)
    assert len(notes) == (width != 96)
    turned, _ = shown(films.with_matrix(data, 0, 1, -1, 0))
    assert turned.shape == (width, 64, 3)
    with VideoReader(data) as reader:
        height, stored = reader.storage_size(next(reader.frames()), 32)
    assert height % 2 == stored % 2 == 0
    assert stored / height == pytest.approx(width / 64, rel=0.05)


def test_pixels_that_nobody_means_are_named():
    data = films.written(films.quarters(), sample_aspect_ratio=Fraction(1, 20))
    with pytest.raises(ClipError, match="1/20 times as wide as high"):
        decode_mp4(data)


@pytest.mark.parametrize("order", ["tff", "bff"])
def test_two_fields_become_one_picture(order):
    moving = [np.roll(films.quarters(), 4 * i, axis=2)[0] for i in range(24)]
    woven = np.stack(
        [
            np.where(np.arange(64)[:, None, None] % 2, b, a)
            for a, b in zip(moving[::2], moving[1::2], strict=True)
        ]
    )
    flags = {"flags": "+ildct+ilme", "x264-params": f"{order}=1:log-level=none"}
    data = films.written(woven, pixels="yuv444p", options=flags)
    with VideoReader(data) as reader:
        frames = [(frame.time, reader.show(frame).astype(int)) for frame in reader.frames()]
        assert reader.notes == ["deinterlaced"]
    assert [time for time, _ in frames] == pytest.approx(np.arange(12) / 12, abs=1e-3)
    half = [frame[:30] for _, frame in frames]
    assert max(np.abs(np.diff(image, axis=0)).mean() for image in half) < 2
    assert np.abs(np.diff(woven[:, :30].astype(int), axis=1)).mean() > 8


def test_fields_of_a_film_that_changes_its_size_are_read():
    flags = {"flags": "+ildct+ilme"}
    small, large = (
        films.written(films.greys(12, height, 96), "mpegts", "mpeg2video", 25, options=flags)
        for height in (64, 96)
    )
    with VideoReader(small + large) as reader:
        frames = reader.read()
        assert frames.shape[0] in (23, 24)  # the decoder may drop one where the size changes
        assert frames.shape[1:] == (64, 96, 3)
        assert "frames of other sizes brought to that of the first" in reader.notes


def hdr(curve):
    """Patches that are SCREEN on a display of 203 cd/m2, in BT.2020 of 10 bits, limited range."""
    display = np.array(SCREEN) / 255
    light = np.where(display > 0.04045, ((display + 0.055) / 1.055) ** 2.4, display / 12.92) * 203
    wide = light @ np.array(
        [[0.6274, 0.0691, 0.0164], [0.3293, 0.9195, 0.0880], [0.0433, 0.0114, 0.8956]]
    )
    red, green, blue = curve(wide).T
    luma = 0.2627 * red + 0.6780 * green + 0.0593 * blue
    planes = (
        64 + 876 * luma,
        512 + 896 * (blue - luma) / 1.8814,
        512 + 896 * (red - luma) / 1.4746,
    )
    grid = [np.round(plane).reshape(2, 3).repeat(32, 0).repeat(32, 1) for plane in planes]
    return np.broadcast_to(np.stack(grid).astype(np.uint16), (2, 3, 64, 96))


def pq(light):
    power = (light / 10_000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375


def hlg(light):
    """Of a display of 1,000 cd/m2."""
    luma = light @ np.array([0.2627, 0.6780, 0.0593])
    scene = light / 1000 * (luma[:, None] / 1000) ** (1 / 1.2 - 1)
    logarithm = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), logarithm)


@pytest.mark.parametrize(("curve", "code", "name"), [(pq, 16, "PQ"), (hlg, 18, "HLG")])
def test_hdr_is_mapped_to_sdr(curve, code, name):
    colours = {"color_trc": code, "color_primaries": 9, "colorspace": 9, "color_range": 1}
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="matroska") as container:
        stream = container.add_stream("ffv1", rate=12)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv444p10le"
        for setting, value in colours.items():
            setattr(stream.codec_context, setting, value)
        for planes in hdr(curve):
            frame = av.VideoFrame(96, 64, "yuv444p10le")
            for plane, values in zip(frame.planes, planes, strict=True):
                lines = np.zeros((64, plane.line_size // 2), np.uint16)
                lines[:, :96] = values
                plane.update(lines.tobytes())
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    image, notes = shown(buffer.getvalue())
    patches = image[16::32, 16::32].reshape(6, 3).astype(int)
    assert notes == [f"HDR ({name}, BT.2020) mapped to SDR"]
    assert np.abs(patches - np.array(SCREEN)).max() <= {"PQ": 5, "HLG": 32}[name]
    assert patches[5].min() >= 220


def test_wide_colours_are_converted_and_unusual_ones_named():
    frames = np.full((2, 64, 96, 3), (60, 200, 60), np.uint8)
    usual, _ = shown(films.written(frames))
    image, notes = shown(films.written(frames, color_primaries=12, color_trc=1, colorspace=6))
    assert notes == ["Display P3 colours converted to BT.709"]
    assert image[32, 48, 0] < usual[32, 48, 0] - 20  # this green is outside of BT.709
    inside = np.full((2, 64, 96, 3), (30, 30, 200), np.uint8)
    blue, _ = shown(films.written(inside, color_primaries=12, color_trc=1, colorspace=6))
    assert np.abs(blue[32, 48].astype(int) - (29, 30, 209)).max() <= 5
    with pytest.raises(ClipError, match="constant luminance"):
        shown(films.written(frames, colorspace=10))
    with pytest.raises(ClipError, match="YCgCo"):
        shown(films.written(frames, colorspace=8))
    with pytest.raises(ClipError, match="log curve"):
        shown(films.written(frames, color_trc=9))


def test_transparency_is_laid_over_white():
    frames = np.zeros((3, 64, 96, 4), np.uint8)
    frames[:, :, :48] = (255, 0, 0, 255)
    data = films.written(frames, "mov", "qtrle", pixels="argb", source="rgba")
    image, notes = shown(data)
    assert notes == ["transparency laid over white"]
    np.testing.assert_array_equal(image[32, [10, 80]], [(255, 0, 0), (255, 255, 255)])
    hidden = films.written(frames, "webm", "libvpx-vp9", pixels="yuva420p", source="rgba")
    image, notes = shown(hidden)
    assert notes == ["transparency laid over white"]
    assert np.abs(image[32, 80].astype(int) - 255).max() <= 3
    opaque, notes = shown(films.written(films.quarters(), "gif", "gif", pixels="rgb8"))
    assert notes == []
    assert films.corners(opaque) == "RGBW"
