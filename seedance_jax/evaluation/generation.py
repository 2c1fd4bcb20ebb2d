"""How well a pipeline does what the captions of held-out clips of the synthetic world ask for."""

import json
from typing import Any, NamedTuple

import numpy as np

from seedance_jax.data import loader, schema, sources, transforms
from seedance_jax.evaluation import fidelity
from seedance_jax.evaluation.judges import summary
from seedance_jax.evaluation.judges.verdict import asked_of
from seedance_jax.evaluation.reconstruction import video_bucket
from seedance_jax.sampling import media

# A given frame only passes through the autoencoder, and a few clips show how.
FIRST_AND_LAST_CLIPS = 16
NUM_PROMPTS = 48


class Clips(NamedTuple):
    """Clips of a split as a pipeline is asked for them.

    Attributes:
      prompts: texts; of several shots the JSON form with durations.
      asked: `judges.verdict.asked_of` each.
      lengths: frames of the shots of each.
      frames: the true clips, uint8 [N,T,H,W,3].
      fps: frames a second.
    """

    prompts: list
    asked: list
    lengths: list
    frames: Any
    fps: float


def evaluate_generator(pipeline, split, num_prompts=None, batch_size=16, data=None, **settings):
    """Generates the first clips of a split again, from their captions, and judges the results.

    Args:
      pipeline: a `sampling.pipeline.Pipeline`; its config says where the split is.
      num_prompts: clips of a single shot, and of several shots, at most; the latter are rare.
        None is NUM_PROMPTS, or all that there are.
      data: the section of a config that says where the split is; None is the pipeline's own.
      settings: for the pipeline, such as num_inference_steps, guidance_scale and seed.

    Returns:
      (report, sheet). The report holds split, clips, settings and
        true: `summary.summarize` of the true clips, how far the judges can be trusted;
        chance: the same when every true clip is judged by the caption of another;
        text_to_video, image_to_video (the true first frame is given), first_and_last (so is the
          last, for a few of the clips): `summary.summarize` of the generated clips;
        two_shots: of the clips of several shots, clips, and `summary.summarize_shots` of true and
          text_to_video; these two are absent if there are no such clips.
      image_to_video also has first_jump, the change from the given frame to the next over that of
      the true clips (1 is right, more is a cut, 0 a still). autoencoder_psnr_first_frame and
      ..._last_frame are in dB: given frames only pass through the autoencoder. The sheet is a
      picture of the clips made from text, then of several shots, then between two frames.

    Raises:
      ValueError: the split is missing, not of the synthetic world or has fewer clips than asked
        for, or a setting is illegal.
    """
    data = data or pipeline.config["data"]
    bucket = video_bucket(data["buckets"])
    source, fps = sources.open_split(data, split), pipeline.metadata["fps"]
    check_count(source, bucket, split, num_prompts)
    num_prompts = NUM_PROMPTS if num_prompts is None else num_prompts
    clips = read_clips(source, bucket, num_prompts, fps, several=False)
    if clips is None:
        raise ValueError("the split has no clips of a single shot to judge")
    cuts = read_clips(source, bucket, num_prompts, fps, several=True)
    size = dict(zip(("num_frames", "height", "width"), bucket.shape, strict=True))
    settings = {"seed": 0, **size, **settings}
    true = summary.judge_clips(clips.frames, fps, clips.asked)
    report = {
        "split": split,
        "clips": len(clips.prompts),
        "settings": settings,
        "true": summary.summarize(true, clips.asked),
        "chance": summary.chance(clips.frames, fps, clips.asked),
    }
    rows = []
    for task in (text_to_video, image_to_video, first_and_last):
        report[task.__name__], shown = task(pipeline, clips, batch_size, settings)
        rows.append(shown)
    report["two_shots"], shown = two_shots(pipeline, cuts, batch_size, settings)
    return report, media.contact_sheet(rows[0] + shown + rows[2])


def text_to_video(pipeline, clips, batch_size, settings):
    """(results, rows of the sheet)."""
    made = generate(pipeline, clips.prompts, {}, batch_size, settings)
    return judged(clips, made)


def image_to_video(pipeline, clips, batch_size, settings):
    """(results, rows of the sheet) with the true first frame given."""
    first = clips.frames[:, 0]
    made = generate(pipeline, clips.prompts, {"image": first}, batch_size, settings)
    results, rows = judged(clips, made)
    results["first_jump"] = first_change(made) / first_change(clips.frames)
    coded = pipeline.reconstruct(clips.frames, batch_size)
    results["autoencoder_first_jump"] = first_change(coded) / first_change(clips.frames)
    results["autoencoder_psnr_first_frame"] = fidelity.psnr(made[:, 0], first)
    return results, rows


def first_and_last(pipeline, clips, batch_size, settings):
    """(results, rows of the sheet) of the first clips, with the true first and last frame given."""
    clips = Clips(*(part[:FIRST_AND_LAST_CLIPS] for part in clips[:-1]), clips.fps)
    first, last = clips.frames[:, 0], clips.frames[:, -1]
    given = {"image": first, "last_image": last}
    made = generate(pipeline, clips.prompts, given, batch_size, settings)
    results, rows = judged(clips, made)
    results["autoencoder_psnr_first_frame"] = fidelity.psnr(made[:, 0], first)
    results["autoencoder_psnr_last_frame"] = fidelity.psnr(made[:, -1], last)
    return {"clips": len(made)} | results, rows


def two_shots(pipeline, clips, batch_size, settings):
    """(results, rows of the sheet) of clips of several shots, which may be None."""
    if clips is None:
        return {"clips": 0}, []
    made = generate(pipeline, clips.prompts, {}, batch_size, settings)
    results, verdicts = {"clips": len(made)}, []
    for name, frames in (("true", clips.frames), ("text_to_video", made)):
        verdicts = summary.judge_clips(frames, clips.fps, clips.asked)
        results[name] = summary.summarize_shots(verdicts)
    told = [json.loads(prompt)["global"] for prompt in clips.prompts]
    labels = [label(*parts) for parts in zip(told, verdicts, strict=True)]
    return results, list(zip(labels, made, strict=True))


def judged(clips, made):
    """(results, rows of the sheet) of generated clips of a single shot."""
    verdicts = summary.judge_clips(made, clips.fps, clips.asked)
    labels = [label(*parts) for parts in zip(clips.prompts, verdicts, strict=True)]
    return summary.summarize(verdicts, clips.asked), list(zip(labels, made, strict=True))


def check_count(source, bucket, split, num_prompts):
    """Raises ValueError if more clips are asked for than a split has; None asks for none."""
    numbers, _ = loader.eligible_rows(source.table, bucket)
    count = int((loader.num_shots(source.table)[numbers] == 1).sum())
    if num_prompts is not None and not 1 <= num_prompts <= count:
        raise ValueError(
            f"num_prompts={num_prompts} must be from 1 to {count}: so many clips of a single shot "
            f"has the split {split!r}"
        )


def read_clips(source, bucket, count, fps, several):
    """The first clips of a single shot, or of several, that can serve a bucket; None without any.

    Raises ValueError unless the rows describe their scene.
    """
    numbers, _ = loader.eligible_rows(source.table, bucket)
    numbers = numbers[(loader.num_shots(source.table)[numbers] > 1) == several]
    rows = [source[int(number)] for number in numbers[:count]]
    if rows and "scene" not in rows[0]:
        raise ValueError("only clips of the synthetic world (data.source='world') can be judged")
    parts = [read_clip(row, bucket, fps) for row in rows]
    parts = [part for part in parts if (len(part[2]) > 1) == several]
    if not parts:
        return None
    prompts, asked, lengths, frames = zip(*parts, strict=True)
    return Clips(list(prompts), list(asked), list(lengths), np.stack(frames), fps)


def read_clip(row, bucket, fps):
    """(prompt, asked, lengths of the shots, frames) of the middle of a row, see `Clips`."""
    frames = transforms.choose_frames(row, bucket.frames, bucket.stride, None)
    shots = schema.read_shots(row)
    shot_of = np.repeat(np.arange(len(shots)), [shot.num_frames for shot in shots])
    seen, lengths = np.unique(shot_of[frames], return_counts=True)
    prompt = shots[seen[0]].caption
    if len(seen) > 1:
        captions = [shots[number].caption for number in seen]
        prompt = write_prompt(row["caption"], captions, lengths.tolist(), fps)
    video = transforms.middle_clip(row, bucket.shape, bucket.stride)
    return prompt, asked_of(row, frames), lengths.tolist(), video


def write_prompt(common, captions, lengths, fps):
    """The JSON form (see `sampling.shots`) of a clip with shots of those lengths in frames."""
    groups = [lengths[0] - 1, *lengths[1:]]
    shots = [
        {"prompt": caption, "duration": count / fps}
        for caption, count in zip(captions, groups, strict=True)
    ]
    return json.dumps({"global": common, "shots": shots})


def generate(pipeline, prompts, given, batch_size, settings):
    """Frames uint8 [N,T,H,W,3]; clip i has seed + i whatever the batch size.

    Args:
      given: images [N,H,W,3] by their names in a request.

    The last batch is filled up with its last prompt, so that there is one shape to compile.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size={batch_size} must be 1 or more")
    parts = []
    for start in range(0, len(prompts), batch_size):
        numbers = np.minimum(np.arange(start, start + batch_size), len(prompts) - 1)
        images = {name: [array[number] for number in numbers] for name, array in given.items()}
        shifted = settings | {"seed": settings["seed"] + start}
        output = pipeline(prompt=[prompts[number] for number in numbers], **images, **shifted)
        parts.append(output.frames)
    return np.concatenate(parts)[: len(prompts)]


def first_change(clips):
    """Mean absolute change from the first frame to the second of uint8 [N,T,H,W,3]."""
    return float(np.abs(clips[:, 1].astype(np.float32) - clips[:, 0]).mean())


def label(prompt, judged):
    """One line for the sheet: the gates that are shut, and how much moves."""
    wrong = f"WRONG: {', '.join(judged.failed)}" if judged.failed else "right"
    return f"{prompt}  [{wrong}; moves {judged.findings['dynamics'].value:.0f}]"
