"""A look at what the loader delivers: a sheet of examples and the figures behind it."""

import collections
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from seedance_jax.data import loader, schema, sources
from seedance_jax.data.buckets import Bucket, eligible_rows, num_shots
from seedance_jax.data.builders import storage
from seedance_jax.data.curation import selection
from seedance_jax.data.examples import Wanted
from seedance_jax.data.loader import bucket_schedule
from seedance_jax.data.rows import listed
from seedance_jax.data.tokenizer import BYTES, Tokenizer

FRAME_HEIGHT = 96  # pixels on the sheet
MAX_FRAMES = 9  # per example
LIMIT = 12  # examples of a sheet
GAP = 4
SHEET_WIDTH = 900


class Shown(NamedTuple):
    """One example on the sheet."""

    title: str
    video: np.ndarray  # uint8 [T,H,W,3]
    mask: np.ndarray | None  # [n+1], 1 on the latent frames that are given
    frame_shot: np.ndarray  # [n+1], the shot of every latent frame


def inspect(
    data: Mapping[str, Any],
    split: str,
    num_batches: int,
    seed: int = 0,
    tokenizer: Tokenizer | None = None,
    draw_mask: Callable[[Mapping[str, np.ndarray], int], np.ndarray] | None = None,
) -> tuple[Image.Image, dict[str, Any]]:
    """(sheet of examples, report) of a split as the loader delivers it.

    Of several sources the report has {name with weight: `make_report`} in "sources", and the sheet
    a few examples of each; splits but "train" are those of the first.

    Args:
      data: section of a config.
      tokenizer: of the captions; None, of a config without text, shows them whole.
      draw_mask: (batch, step) -> [B, n+1], 1 on the latent frames that are given; None, of a
        config without tasks, shows no marks.
    """
    names = [entry.strip() for entry in data["source"].split(",")]
    looks = []
    for number, own in enumerate(sources.sources_of(data)):
        own_seed = loader.child_seed(seed, number) if number else seed
        if split == "train" or number == 0:
            looks.append(_look(own.data, split, num_batches, own_seed, tokenizer, draw_mask))
    limit = max(LIMIT // len(looks), 2)
    examples = [
        one._replace(title=f"{name}, {one.title}" if len(names) > 1 else one.title)
        for name, (shown, _) in zip(names, looks, strict=False)
        for one in shown[:limit]
    ]
    reports = {name: report for name, (_, report) in zip(names, looks, strict=False)}
    return draw_sheet(examples), {"sources": reports, "left_out": names[len(looks) :]}


def _look(data, split, num_batches, seed, tokenizer, draw_mask):
    """(examples, report) of the data part of a config that has one source; see `inspect`."""
    directory = sources.locate(data)
    # Of other splits nothing is dropped.
    source = sources.open_chosen(data) if split == "train" else storage.open_split(directory, split)
    buckets, encoder = sources.make_buckets(data["buckets"]), tokenizer or BYTES
    tokens = loader.count_tokens(source, encoder)
    text_length = data["text_length"] if tokenizer else int(tokens.max())
    dataset = loader.make_dataset(
        source, buckets, seed=seed, text_length=text_length, wanted=Wanted(encoder)
    )
    batches = [dataset[step] for step in range(num_batches)]
    if draw_mask:
        drawn = [draw_mask(batch, step) for step, batch in enumerate(batches)]
        batches = [batch | {"given_mask": m} for batch, m in zip(batches, drawn, strict=True)]
    ids = {int(row): source[int(row)]["id"] for batch in batches for row in batch["index"][:2]}
    built = storage.read_report(directory)
    chosen = source.selection
    report = make_report(source.table, buckets, tokens, text_length, built, chosen=chosen)
    return pick_examples(batches, ids, encoder), report


def pick_examples(
    batches: Iterable[Mapping[str, np.ndarray]],
    ids: Sequence[str] | Any,
    tokenizer: Tokenizer = BYTES,
    limit: int = LIMIT,
) -> list[Shown]:
    """Takes the first two examples of every batch, `limit` in all.

    Args:
      batches: as the loader makes them, with `given_mask` [B,n+1] if there are tasks.
      ids: names of the rows, by row number.
      tokenizer: of their captions.
    """
    shown = []
    for step, batch in enumerate(batches):
        for i in range(min(2, len(batch["index"]))):
            video = batch["video"][i]
            shape = "x".join(map(str, video.shape[:3]))
            name = ids[int(batch["index"][i])]
            text = (batch[part][i] for part in ("text", "text_mask", "text_shot"))
            captions = read_captions(*text, tokenizer)
            mask = batch["given_mask"][i] if "given_mask" in batch else None
            title = f"step {step}, {shape}, row {name}: {captions}"
            shown.append(Shown(title, video, mask, batch["frame_shot"][i]))
    return shown[:limit]


def read_captions(
    text: np.ndarray, mask: np.ndarray, shot: np.ndarray, tokenizer: Tokenizer
) -> str:
    """The captions of one example ([S] each) in words; where there are several, a line for each."""
    captions = {
        number: tokenizer.decode(text[mask & (shot == number)]) for number in np.unique(shot[mask])
    }
    if len(captions) == 1:
        return next(iter(captions.values()))
    names = {number: f"shot {number}" for number in captions} | {schema.GLOBAL: "all"}
    return "".join(f"\n  {names[number]}: {caption}" for number, caption in captions.items())


def draw_sheet(examples: Sequence[Shown]) -> Image.Image:
    """One strip of frames per example, under its title.

    Given frames have a green bar above; a red bar stands before the first frame of a new shot.
    """
    strips = [_draw_strip(example) for example in examples]
    sheet = Image.new("RGB", (SHEET_WIDTH, sum(strip.height for strip in strips)), "white")
    top = 0
    for strip in strips:
        sheet.paste(strip, (0, top))
        top += strip.height
    return sheet


def _draw_strip(example: Shown) -> Image.Image:
    paragraphs = (textwrap.wrap(text, SHEET_WIDTH // 7) for text in example.title.split("\n"))
    lines = [line for paragraph in paragraphs for line in paragraph]
    frames, height, width, _ = example.video.shape
    numbers = np.unique(np.linspace(0, frames - 1, min(frames, MAX_FRAMES)).round().astype(int))
    shown_width = min(round(width * FRAME_HEIGHT / height), SHEET_WIDTH // len(numbers) - GAP)
    shown_height = round(height * shown_width / width)
    text_height = 14 * len(lines) + GAP
    strip = Image.new("RGB", (SHEET_WIDTH, text_height + shown_height + 4 * GAP), "white")
    draw = ImageDraw.Draw(strip)
    draw.text((GAP, 0), "\n".join(lines), fill="black")
    shot = example.frame_shot[0]
    for column, number in enumerate(numbers):
        left = GAP + column * (shown_width + GAP)
        frame = Image.fromarray(example.video[number])
        frame = frame.resize((shown_width, shown_height), Image.Resampling.NEAREST)
        strip.paste(frame, (left, text_height + 2 * GAP))
        # Latent frame 0 is the first frame, k the four frames up to number 4k.
        latent = -(-number // schema.FRAME_STRIDE)
        if example.mask is not None and example.mask[latent]:
            bar = (left, text_height, left + shown_width - 1, text_height + GAP)
            draw.rectangle(bar, fill="green")
        if example.frame_shot[latent] != shot:
            draw.rectangle((left - GAP, text_height, left - 1, strip.height), fill="red")
            shot = example.frame_shot[latent]
    return strip


def make_report(
    table: Mapping[str, np.ndarray],
    buckets: Sequence[Bucket],
    tokens: np.ndarray,
    text_length: int,
    build_report: Mapping[str, Any],
    num_steps: int = 1000,
    chosen: selection.Selection | None = None,
) -> dict[str, Any]:
    """Figures of a split and its buckets, ready for JSON.

    Says how often each bucket comes in the first num_steps, which rows it cannot use and why, how
    long the captions of a clip are in tokens, how many shots clips have, and what was lost when
    the data set was built. `tokens` [rows] are those of `loader.count_tokens`, `chosen` is the
    filter of the config.
    """
    schedule, shots = bucket_schedule(buckets, num_steps), num_shots(table)
    total = sum(bucket.weight for bucket in buckets)
    described = []
    for number, bucket in enumerate(buckets):
        rows, excluded = eligible_rows(table, bucket)
        if chosen:
            kept = chosen.among(rows, f"of {bucket}")
            if dropped := len(rows) - len(kept):
                excluded["dropped by data.filter"] = dropped
            rows = kept
        described.append(
            {
                "bucket": str(bucket),
                "share_wanted": bucket.weight / total,
                "share_of_steps": float(np.mean(schedule == number)),
                "rows": len(rows),
                "rows_excluded": excluded,
            }
        )
    step = -(-text_length // 8)
    counts = np.bincount((tokens - 1) // step)
    return {
        "rows": len(tokens),
        "rows_by_shots": {int(n): int((shots == n).sum()) for n in np.unique(shots)},
        "num_steps": num_steps,
        "buckets": described,
        "text_length": text_length,
        "caption_tokens": {
            f"{span * step + 1} to {(span + 1) * step}": int(count)
            for span, count in enumerate(counts)
        },
        "built": dict(build_report),
    }


def format_reports(report: Mapping[str, Any]) -> str:
    """The report of `inspect` as text."""
    parts, left_out = report["sources"], report["left_out"]
    lines = [f"splits but train go by the first source; left out: {', '.join(left_out)}"]
    lines = lines if left_out else []
    for name, part in parts.items():
        lines += [f"of the source {name}:"] if len(parts) + len(left_out) > 1 else []
        lines.append(format_report(part))
    return "\n".join(lines)


def format_report(report: Mapping[str, Any]) -> str:
    """A report of `make_report` as text."""
    lines = [f"rows with {n} shots: {count}" for n, count in report["rows_by_shots"].items()]
    lines.append(f"{report['rows']} rows; first {report['num_steps']} steps:")
    for entry in report["buckets"]:
        lines.append(
            f"  {entry['bucket']}: {entry['share_of_steps']:.1%} of steps "
            f"(wanted {entry['share_wanted']:.1%}), {entry['rows']} rows"
        )
        lines += [
            f"    excluded, {reason}: {count}" for reason, count in entry["rows_excluded"].items()
        ]
    lines.append(f"tokens of captions (text_length {report['text_length']}):")
    lines += [f"  {span}: {count}" for span, count in report["caption_tokens"].items()]
    lost = report["built"]["lost"]
    lines.append(f"files lost when the data set was built: {len(lost)}")
    lines += [f"  {entry['file']}: {entry['reason']}" for entry in lost]
    return "\n".join(lines + format_built(report["built"]))


def format_built(build_report: Mapping[str, Any], buckets: Sequence[Bucket] = ()) -> list[str]:
    """Lines that say what of a folder is changed or left out, also for want of a bucket."""
    left_out, lines = build_report.get("left_out", {}), []
    if left_out:
        named = [f"{name}: {reason}" for name, reason in left_out.items()]
        lines.append(f"{len(left_out)} files or folders left out:{listed(named)}")
    lines += [f"note: {note}" for note in build_report.get("notes", ())]
    changed = build_report.get("changed", ())
    counts = collections.Counter(note for entry in changed for note in entry["changes"])
    lines += [f"{note}: {count} files" for note, count in counts.items()]
    for reason, clips in build_report.get("clips_left_out", {}).items():
        said = [f"{name}: {count}" for name, count in clips.items()]
        lines.append(f"{sum(clips.values())} clips left out, {reason}:{listed(said)}")
    pictures = build_report.get("pictures", 0)
    if pictures and buckets and all(bucket.frames > 1 for bucket in buckets):
        lines.append(f"{pictures} pictures left out: no bucket of the config has one frame")
    return lines
