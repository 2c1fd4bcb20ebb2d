"""How well a pipeline does what the captions of held-out clips of the synthetic world ask for."""

import json

import numpy as np

from seedance_jax.data import loader, sources
from seedance_jax.data.transforms import middle_clip
from seedance_jax.evaluation import judges
from seedance_jax.evaluation.reconstruction import video_bucket
from seedance_jax.sampling import media


def evaluate_generator(pipeline, split, num_prompts=48, batch_size=16, **settings):
    """Generates the first clips of a split again, from their captions, and judges the results.

    Of a split's clips only those of a single shot, see `read_rows`.

    Args:
      pipeline: a `sampling.pipeline.Pipeline`; its config says where the split is.
      settings: for the pipeline, such as num_inference_steps, guidance_scale and seed.

    Returns:
      (report, sheet). The report holds split, clips, settings and, under `true` (how far the judges
      can be trusted), `text_to_video` and `image_to_video` (the true first frame is given), the
      results of `summarize`. image_to_video also has first_jump, the change from the given frame to
      the next over that of the true clips (1 is right, more is a cut, 0 a still), and
      autoencoder_psnr_first_frame, in dB: the given frame only passes through the autoencoder. The
      sheet is a picture of the clips made from text.

    Raises:
      ValueError: the split is missing or not of the synthetic world, or a setting is illegal.
    """
    data = pipeline.config["data"]
    bucket = video_bucket(data["buckets"])
    rows = read_rows(sources.open_split(data, split), bucket, num_prompts)
    prompts = [row["caption"] for row in rows]
    colors = [json.loads(row["scene"])["objects"][0]["color"] for row in rows]
    true = np.stack([middle_clip(row, bucket.shape, bucket.stride) for row in rows])
    size = dict(zip(("num_frames", "height", "width"), bucket.shape, strict=True))
    settings = {"seed": 0, **size, **settings}
    from_text = generate(pipeline, prompts, None, batch_size, settings)
    from_image = generate(pipeline, prompts, true[:, 0], batch_size, settings)
    verdicts = judge_clips(from_text, colors)
    image_to_video = summarize(judge_clips(from_image, colors))
    image_to_video["first_jump"] = first_change(from_image) / first_change(true)
    image_to_video["autoencoder_psnr_first_frame"] = judges.psnr(from_image[:, 0], true[:, 0])
    report = {
        "split": split,
        "clips": len(rows),
        "settings": settings,
        "true": summarize(judge_clips(true, colors)),
        "text_to_video": summarize(verdicts),
        "image_to_video": image_to_video,
    }
    labels = [label(prompt, verdict) for prompt, verdict in zip(prompts, verdicts, strict=True)]
    return report, media.contact_sheet(list(zip(labels, from_text, strict=True)))


def read_rows(source, bucket, count):
    """The first rows of a single shot that can serve a bucket.

    Clips of several shots are left out: one caption does not tell what they show, and the judges
    follow one object before one camera. Raises ValueError unless the rows describe their scene.
    """
    if count < 1:
        raise ValueError(f"num_prompts={count} must be 1 or more")
    numbers, _ = loader.eligible_rows(source.table, bucket)
    numbers = numbers[loader.num_shots(source.table)[numbers] == 1]
    if not len(numbers):
        raise ValueError("the split has no clips of a single shot to judge")
    rows = [source[int(number)] for number in numbers[:count]]
    if "scene" not in rows[0]:
        raise ValueError("only clips of the synthetic world (data.source='world') can be judged")
    return rows


def generate(pipeline, prompts, images, batch_size, settings):
    """Frames uint8 [N,T,H,W,3]; clip i has seed + i whatever the batch size.

    The last batch is filled up with its last prompt, so that there is one shape to compile.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size={batch_size} must be 1 or more")
    parts = []
    for start in range(0, len(prompts), batch_size):
        numbers = np.minimum(np.arange(start, start + batch_size), len(prompts) - 1)
        image = None if images is None else [images[number] for number in numbers]
        shifted = settings | {"seed": settings["seed"] + start}
        output = pipeline(prompt=[prompts[number] for number in numbers], image=image, **shifted)
        parts.append(output.frames)
    return np.concatenate(parts)[: len(prompts)]


def judge_clips(clips, colors):
    """One verdict per clip: the colour asked for, the colour seen (None: no object), its motion."""
    return [
        {
            "asked": color,
            "seen": judges.main_object_color(clip),
            "motion": judges.motion(clip),
            "frozen": judges.is_frozen(clip),
        }
        for clip, color in zip(clips, colors, strict=True)
    ]


def summarize(verdicts):
    """Shares of clips with the right colour, an object, motion; mean motion in 8-bit levels.

    Only a clip with an object counts as moving: noise does not.
    """
    return {
        "color_accuracy": float(np.mean([v["seen"] == v["asked"] for v in verdicts])),
        "has_object": float(np.mean([v["seen"] is not None for v in verdicts])),
        "moving": float(np.mean([v["seen"] is not None and not v["frozen"] for v in verdicts])),
        "motion": float(np.mean([v["motion"] for v in verdicts])),
    }


def first_change(clips):
    """Mean absolute change from the first frame to the second of uint8 [N,T,H,W,3]."""
    return float(np.abs(clips[:, 1].astype(np.float32) - clips[:, 0]).mean())


def label(prompt, verdict):
    """One line for the sheet."""
    right = "right" if verdict["seen"] == verdict["asked"] else "WRONG"
    moves = "FROZEN" if verdict["frozen"] else "moves"
    return f"{prompt}  [{right}: {verdict['seen']}; {moves}, {verdict['motion']:.0f}]"
