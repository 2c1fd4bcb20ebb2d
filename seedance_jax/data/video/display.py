"""How a decoded frame is shown: what a file says of turns, mirrors, pixels, fields and colours.

FFmpeg's libraries decode and leave this to the player. Here it is done once, for every reader, and
every change has a note that a user understands.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import av
import numpy as np
from av.filter import Graph
from av.sidedata.sidedata import Type as SideData
from av.video.reformatter import (
    ColorPrimaries,
    ColorRange,
    Colorspace,
    ColorTrc,
    VideoReformatter,
)

# The code points of H.273 that the scaler knows under another number.
COLORSPACES = {
    1: Colorspace.ITU709,
    4: Colorspace.FCC,
    5: Colorspace.ITU601,
    6: Colorspace.ITU601,
    7: Colorspace.SMPTE240M,
    9: Colorspace.BT2020,
}
OTHER_MATRICES = {
    8: "YCgCo",
    10: "BT.2020 of constant luminance",
    11: "YDZDX",
    12: "chroma-derived",
    13: "chroma-derived",
    14: "ICtCp",
    15: "IPT-C2",
    16: "YCgCo-Re",
    17: "YCgCo-Ro",
}
HDR = {ColorTrc.SMPTE2084: "PQ", ColorTrc.ARIB_STD_B67: "HLG"}
# Curves that are no display's: shown as they are they look flat, dark or bright.
SCENE = {
    ColorTrc.LINEAR: "linear",
    ColorTrc.LOG: "log",
    ColorTrc.LOG_SQRT: "log",
    ColorTrc.SMPTE428: "SMPTE 428",
}
WIDE = {
    ColorPrimaries.BT2020: "BT.2020",
    ColorPrimaries.SMPTE431: "DCI-P3",
    ColorPrimaries.SMPTE432: "Display P3",
}
FIELDS = "mode=send_frame:deint=interlaced"
SQUARE = 0.02  # relative: pixels that are wider or narrower by less are square to everyone
NARROWEST, WIDEST = 1 / 8, 8.0  # ratios of a pixel's width to its height that are no mistake


class ClipError(ValueError):
    """A video file that cannot be used; the message says why."""


class Turn(NamedTuple):
    """A right-angled turn or mirror: transposed first, then flipped."""

    transpose: bool = False
    flip_x: bool = False
    flip_y: bool = False

    def apply(self, image: np.ndarray) -> np.ndarray:
        """Turns [H,W,C]."""
        image = image.swapaxes(0, 1) if self.transpose else image
        return np.ascontiguousarray(image[:: -1 if self.flip_y else 1, :: -1 if self.flip_x else 1])

    def swap(self, size: tuple[int, int]) -> tuple[int, int]:
        """(height, width) after the turn of one before it, and the other way round."""
        return (size[1], size[0]) if self.transpose else size

    @property
    def note(self) -> str:
        """What is done, in words; "" if nothing is."""
        if self == Turn():
            return ""
        mirrored = (self.transpose + self.flip_x + self.flip_y) % 2
        return f"{'mirrored' if mirrored else 'turned upright'} as the file says"


def turn_of(frame: av.VideoFrame) -> Turn:
    """The turn that the display matrix of a frame asks for.

    A point (x, y) of the picture is shown at (a x + c y, b x + d y). Raises ClipError for other
    than right angles.
    """
    matrix = frame.side_data.get(SideData.DISPLAYMATRIX)
    if matrix is None:
        return Turn()
    a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32)[:5] / 65536.0
    straight, crossed = min(abs(a), abs(d)), min(abs(b), abs(c))
    if max(map(abs, (a, b, c, d))) == 0:  # written by tools that mean nothing by it
        return Turn()
    if max(abs(b), abs(c)) < 0.02 * straight:
        return Turn(False, bool(a < 0), bool(d < 0))
    if max(abs(a), abs(d)) < 0.02 * crossed:
        return Turn(True, bool(c < 0), bool(b < 0))
    raise ClipError(f"display matrix [{a:.3g} {b:.3g} {c:.3g} {d:.3g}] is no right-angled turn")


def pixel_aspect(stream: av.VideoStream) -> float:
    """The width of a pixel over its height; ClipError where nobody can mean it."""
    aspect = float(stream.sample_aspect_ratio or 1)
    if not NARROWEST <= aspect <= WIDEST:
        raise ClipError(f"pixels {stream.sample_aspect_ratio} times as wide as high")
    return 1.0 if abs(aspect - 1.0) < SQUARE else aspect


def deinterlaced(
    frames: Iterable[av.VideoFrame], stream: av.VideoStream, note: Callable[[str], None]
) -> Iterator[av.VideoFrame]:
    """Yields as many frames: of those that are two fields one, and what lies between its rows."""
    graph, form = None, None
    for frame in frames:
        if graph is not None and form != _form(frame):
            yield from _ready(graph, last=True)
            graph = None
        if graph is None and frame.interlaced_frame:
            graph, form = _graph(stream, frame, ("bwdif", FIELDS)), _form(frame)
            note("deinterlaced")
        if graph is None:
            yield frame
            continue
        graph.push(frame)
        yield from _ready(graph)
    if graph is not None:
        yield from _ready(graph, last=True)


def _form(frame):
    return frame.width, frame.height, frame.format.name


def _ready(graph: Graph, last: bool = False) -> Iterator[av.VideoFrame]:
    if last:
        graph.push(None)
    while True:
        try:
            yield graph.pull()
        except (av.BlockingIOError, av.EOFError):
            return


def _graph(stream: av.VideoStream, frame: av.VideoFrame, *filters: tuple[str, str]) -> Graph:
    """A chain of filters for frames of one form; stream: for the times of the frames."""
    graph = Graph()
    form = {"width": frame.width, "height": frame.height, "format": frame.format}
    nodes = [graph.add_buffer(**form, time_base=stream.time_base)]
    nodes += [graph.add(name, arguments) for name, arguments in filters]
    nodes.append(graph.add("buffersink"))
    for first, second in itertools.pairwise(nodes):
        first.link_to(second)
    graph.configure()
    return graph


class Converter:
    """Makes pictures of the frames of one film; `notes` says what that changes.

    The first frame decides for all, though a film may change its resolution or its matrix.
    """

    def __init__(self, stream: av.VideoStream, first: av.VideoFrame):
        self.turn, aspect = turn_of(first), pixel_aspect(stream)
        self.size = self.turn.swap((first.height, max(1, round(first.width * aspect))))
        self._stream, self._stored = stream, (first.height, first.width)
        self._reformatter, self._graphs = VideoReformatter(), {}
        self._filter, self._colours = colour_filter(first)
        self._alpha = any(component.is_alpha for component in first.format.components)
        squared = "" if aspect == 1.0 else f"made square of pixels {stream.sample_aspect_ratio}"
        self.notes = [note for note in (self.turn.note, squared, self._colours) if note]

    def storage_size(self, short_side: int) -> tuple[int, int]:
        """Even (height, width) to store the film in: its short side <= short_side."""
        return even_size(self.size, short_side)

    def __call__(self, frame: av.VideoFrame, size: tuple[int, int] | None = None) -> np.ndarray:
        """Converts a frame to uint8 [H,W,3] of `size` (height, width), by default as shown."""
        height, width = self.turn.swap(size or self.size)
        if (frame.height, frame.width) != self._stored:
            self._note("frames of other sizes brought to that of the first")
        convert = self._filtered if self._filter else self._reformatted
        image = convert(frame, height, width)
        if self._alpha:
            if image[..., 3].min() < 255:
                self._note("transparency laid over white")
            image = over_white(image)
        return self.turn.apply(image)

    def _note(self, note: str) -> None:
        if note not in self.notes:
            self.notes.append(note)

    def _reformatted(self, frame: av.VideoFrame, height: int, width: int) -> np.ndarray:
        # Files that do not name their matrix follow the custom: BT.601 below high definition.
        custom = Colorspace.ITU709 if frame.height >= 720 else Colorspace.ITU601
        full_range = frame.color_range == ColorRange.JPEG or frame.format.name.startswith("yuvj")
        # The reformatter keeps the scaler's tables.
        return self._reformatter.reformat(
            frame,
            width=width,
            height=height,
            format="rgba" if self._alpha else "rgb24",
            src_colorspace=COLORSPACES.get(frame.colorspace, custom),
            src_color_range=ColorRange.JPEG if full_range else ColorRange.MPEG,
            dst_color_range=ColorRange.JPEG,
            interpolation="BICUBIC",
            threads=1,
        ).to_ndarray()

    def _filtered(self, frame: av.VideoFrame, height: int, width: int) -> np.ndarray:
        key = (height, width, *_form(frame))
        if key not in self._graphs:
            # To RGB first: in one step FFmpeg gets all but greys wrong.
            exact = "gbrap16" if self._alpha else "gbrp16"
            scale = f"w={width}:h={height}:flags=bicubic:{self._filter}"
            chain = [
                ("scale", ""),
                ("format", exact),
                ("scale", scale),
                ("format", "rgba" if self._alpha else "rgb24"),
            ]
            try:
                graph = _graph(self._stream, frame, *chain)
            except (av.FFmpegError, ValueError) as error:
                raise ClipError(
                    f"{self._colours}: this FFmpeg cannot; convert the file to BT.709 first"
                ) from error
            self._graphs[key] = graph
        graph = self._graphs[key]
        graph.push(frame)
        return graph.pull().to_ndarray()


def even_size(size: tuple[int, int], short_side: int) -> tuple[int, int]:
    """Even sides, in the order they come, of about this aspect, the short one <= short_side."""
    scale = min(1.0, short_side / min(size))
    first, second = (max(2, 2 * round(side * scale / 2)) for side in size)
    return first, second


def over_white(image: np.ndarray) -> np.ndarray:
    """[H,W,4] with transparency to [H,W,3]."""
    alpha = image[..., 3:].astype(np.uint16)
    return ((image[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def colour_filter(frame: av.VideoFrame) -> tuple[str, str]:
    """(options of FFmpeg's scale filter, note) where colours are not those of a usual display.

    Both are "" for BT.601, BT.709, sRGB and films that say nothing, whose numbers are shown as they
    are. HDR is mapped by relative colorimetry: diffuse white, 203 cd/m2, becomes white, and what is
    brighter is cut off. Raises ClipError for colours that are converted by nobody.
    """
    if frame.colorspace in OTHER_MATRICES:
        raise ClipError(f"colours in {OTHER_MATRICES[frame.colorspace]}: convert them to BT.709")
    curve, primaries = frame.color_trc, frame.color_primaries
    if curve in SCENE:
        raise ClipError(f"colours of a {SCENE[curve]} curve: convert them to BT.709")
    if curve not in HDR and primaries not in WIDE:
        return "", ""
    target = "iec61966-2-1" if curve in {*HDR, ColorTrc.IEC61966_2_1} else "bt709"
    options = f"out_primaries=bt709:out_transfer={target}:intent=relative_colorimetric"
    gamut = WIDE.get(primaries, "")
    if curve in HDR:
        return options, f"HDR ({', '.join(filter(None, (HDR[curve], gamut)))}) mapped to SDR"
    return options, f"{gamut} colours converted to BT.709"
