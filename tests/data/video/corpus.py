"""Damages small films of every container and reads them: `python -m tests.data.video.corpus`.

Every film must be read or lost by name (ClipError), and read with equal pixels where its packets
are whole. Prints the share that is read, by container and by kind of damage; fails, with how to
make them again, where films break a rule.
"""

import argparse
import collections
import functools
import io
import itertools
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import av
import numpy as np

from seedance_jax.data.builders.processes import ordered_map
from seedance_jax.data.video import ClipError, VideoReader
from tests import films

TITLE = "A film of grey, brighter and brighter"
# What is written, by its name on the report: container, codec and other settings of films.written.
WAYS = {
    "mp4, H.264": ("mp4", "libx264", {}),
    "mp4, H.265": ("mp4", "libx265", {}),
    "mov, H.264": ("mov", "libx264", {}),
    "mov, ProRes": ("mov", "prores_ks", {"pixels": "yuv422p10le"}),
    "mkv, H.264": ("matroska", "libx264", {}),
    "webm, VP9": ("webm", "libvpx-vp9", {}),
    "avi, MPEG-4": ("avi", "mpeg4", {}),
    "ts, H.264": ("mpegts", "libx264", {}),
    "mpg, MPEG-2": ("mpeg", "mpeg2video", {"rate": 25}),
    "flv, H.264": ("flv", "libx264", {}),
    "wmv": ("asf", "wmv2", {}),
    "3gp, MPEG-4": ("3gp", "mpeg4", {}),
    "gif": ("gif", "gif", {"pixels": "rgb8"}),
    "mxf, MPEG-2": ("mxf", "mpeg2video", {"rate": 25}),
}


class Damaged(NamedTuple):
    """A film to read: how it was written, what was done to it, with which seed."""

    way: str
    damage: str
    seed: int


@functools.cache
def whole(way: str) -> bytes:
    """The film before it is damaged: greys under a moving square, with a title."""
    container, codec, settings = WAYS[way]
    frames = np.array(films.greys(24))
    for number, frame in enumerate(frames):
        frame[20:40, 2 * number : 2 * number + 20] = (200, 60, 20)
    return films.written(frames, container, codec, tags={"title": TITLE}, **settings)


def flip_bits(data: bytearray, rng: np.random.Generator) -> bytearray:
    """One to eight bits, anywhere."""
    for place in rng.integers(len(data), size=rng.integers(1, 9)):
        data[place] ^= 1 << rng.integers(8)
    return data


def cut(data: bytearray, rng: np.random.Generator) -> bytearray:
    """The end is missing, as of a download that broke off."""
    return data[: rng.integers(len(data))]


def zero(data: bytearray, rng: np.random.Generator) -> bytearray:
    """A stretch that a disk gave back as zeros."""
    start, length = rng.integers(len(data)), rng.integers(1, 200)
    return data[:start] + bytes(len(data[start : start + length])) + data[start + length :]


def swap(data: bytearray, rng: np.random.Generator) -> bytearray:
    """Two neighbours of the outermost atoms change places; of other containers two stretches."""
    cuts = [*atoms(data), len(data)]
    if len(cuts) < 3:
        cuts = sorted({0, *map(int, rng.integers(len(data), size=4)), len(data)})
    first = rng.integers(len(cuts) - 2)
    start, middle, end = cuts[first : first + 3]
    return data[:start] + data[middle:end] + data[start:middle] + data[end:]


def atoms(data: bytearray) -> Iterator[int]:
    """Where the outermost atoms of an mp4 begin; nothing of other containers."""
    place = 0
    while data[4:8] == b"ftyp" and place + 8 <= len(data):
        yield place
        place += max(8, int.from_bytes(data[place : place + 4], "big"))


def retitle(data: bytearray, rng: np.random.Generator) -> bytearray:
    """Other bytes for the title, as of another encoding."""
    place = data.find(TITLE.encode())
    if place >= 0:
        length = len(TITLE)
        data[place : place + length] = rng.integers(1, 256, length).astype(np.uint8).tobytes()
    return data


def append(data: bytearray, rng: np.random.Generator) -> bytearray:
    """Bytes behind the end that do not belong there."""
    return data + rng.integers(256, size=rng.integers(1, 500)).astype(np.uint8).tobytes()


class Damage(NamedTuple):
    """apply: (bytes, generator) -> bytes; least: share of films that must be read."""

    apply: Callable[[bytearray, np.random.Generator], bytearray]
    least: float


DAMAGES: Mapping[str, Damage] = {
    "bits": Damage(flip_bits, 0.3),
    "cut": Damage(cut, 0.1),
    "zeros": Damage(zero, 0.35),
    "swap": Damage(swap, 0.2),
    "title": Damage(retitle, 1.0),
    "appended": Damage(append, 0.98),
}


def damaged(film: Damaged) -> bytes:
    """The bytes of a damaged film."""
    rng = np.random.default_rng([film.seed, *film.damage.encode(), *film.way.encode()])
    return bytes(DAMAGES[film.damage].apply(bytearray(whole(film.way)), rng))


def read(data: bytes) -> tuple[np.ndarray, list[str]]:
    """(frames, notes) of a film."""
    with VideoReader(data) as reader:
        return reader.read(), reader.notes


def packets(data: bytes) -> list | None:
    """What decides the pixels of a film before it is decoded; None where it cannot be told."""
    try:
        with av.open(io.BytesIO(data), options={}) as container:
            stream = container.streams.video[0]
            context = stream.codec_context
            form = (context.name, context.width, context.height, context.pix_fmt)
            shown = (stream.sample_aspect_ratio, context.colorspace, context.color_range)
            shown += (context.color_trc, context.color_primaries, context.extradata)
            first = next(container.decode(stream))
            sides = sorted((key.name, bytes(first.side_data[key])) for key in keys(first))
        with av.open(io.BytesIO(data)) as container:
            stream = container.streams.video[0]
            bodies = [describe(packet) for packet in container.demux(stream)]
        return [form, shown, sides, bodies]
    except (av.FFmpegError, UnicodeDecodeError, AttributeError, IndexError, StopIteration):
        return None


def describe(packet: av.Packet) -> tuple:
    """What a packet holds, when it is shown and whether it is."""
    return bytes(packet), packet.pts, packet.is_corrupt, packet.is_discard


def keys(frame: av.VideoFrame) -> list:
    """The kinds of side data of a frame."""
    return [getattr(key, "type", key) for key in frame.side_data]


def outcome(film: Damaged) -> str:
    """ "read", "lost", or which rule a film breaks."""
    av.logging.set_level(av.logging.PANIC)
    data = damaged(film)
    same = packets(data)
    same = same is not None and same == packets(whole(film.way))
    try:
        frames, _ = read(data)
    except ClipError as error:
        return f"broken: packets are whole, and lost: {error}" if same else "lost"
    except Exception as error:  # that is what is looked for
        return f"broken: {type(error).__name__}: {error}"
    if same and not np.array_equal(frames, read(whole(film.way))[0]):
        return "broken: packets are whole, and the pixels are others"
    return "read"


def run(count: int, seed: int, num_processes: int = 1) -> dict[Damaged, str]:
    """The outcome of `count` films, as many of each container and each damage."""
    kinds = list(itertools.product(WAYS, DAMAGES))
    rounds = -(-count // len(kinds))
    corpus = [Damaged(*kind, seed + number) for number in range(rounds) for kind in kinds][:count]
    found = ordered_map(outcome, corpus, num_processes, lambda film: "broken: killed its reader")
    return dict(zip(corpus, found, strict=True))


def broken(outcomes: Mapping[Damaged, str]) -> list[str]:
    """Films that break a rule, and damages of which too few films are read."""
    said = [f"{film}: {told}" for film, told in outcomes.items() if told.startswith("broken")]
    for name, damage in DAMAGES.items():
        own = [told == "read" for film, told in outcomes.items() if film.damage == name]
        if own and np.mean(own) < damage.least:
            said.append(f"{name}: {np.mean(own):.1%} are read, fewer than {damage.least:.0%}")
    return said


def table(outcomes: Mapping[Damaged, str]) -> str:
    """The share that is read, as a table: a row for each container, a column for each damage."""
    own = collections.defaultdict(list)
    for film, told in outcomes.items():
        for way in (film.way, "all"):
            own[way, film.damage].append(told == "read")
    lines = [f"| | {' | '.join(DAMAGES)} |", "|---" * (len(DAMAGES) + 1) + "|"]
    for way in (*WAYS, "all"):
        shares = (f"{np.mean(own[way, name]):.0%}" if own[way, name] else "" for name in DAMAGES)
        lines.append(f"| {way} | {' | '.join(shares)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=4200, help="films")
    parser.add_argument("--seed", type=int, default=0, help="of the damage")
    parser.add_argument("--num_processes", type=int, default=2)
    options = parser.parse_args()
    outcomes = run(options.count, options.seed, options.num_processes)
    print(table(outcomes))
    if said := broken(outcomes):
        sys.exit("\n".join([f"{len(said)} break a rule:", *said[:40]]))


if __name__ == "__main__":
    main()
