"""Prompt rewriting: from what a user types to the kind of caption a model was trained on.

`make_rewriter(name, ...)` gives a function from a prompt to `Rewriting`. A prompt of several shots
("Shot 1: ... Shot 2: ...") keeps its marks.
"""

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from seedance_jax import sharding
from seedance_jax.data import sources
from seedance_jax.data.schema import GLOBAL
from seedance_jax.data.world import vocabulary
from seedance_jax.data.world.language import prompts as world_prompts
from seedance_jax.data.world.language.story import Story, rewrite_shots
from seedance_jax.pretrained import language_model
from seedance_jax.sampling import context
from seedance_jax.sampling.shots import (
    cut_at_marks,
    looks_like_json,
    parse_prompt,
    quote,
    with_captions,
)

INSTRUCTION = """
You rewrite requests for a short video into captions for a video generator. Write one paragraph of
plain, concrete English, {least} to {most} words. Say who or what is seen and how it looks, what it
does from the first moment to the last, where it is and in what light, then the style of the
picture, then what the camera does. Keep everything that the request says: subjects, numbers,
colours, actions, words in quotation marks. Add only what can be seen, and nothing that contradicts
the request. If the request has shots ("Shot 1: ... Shot 2: ..."), write a paragraph for each, keep
its mark in front of it, and describe people and things that return in the same words. Write in
English whatever the language of the request, and write the caption only: no title, no comment.
""".strip()
WORDS = (40, 90)  # of a paragraph, where the model reads as many
SHORTEST = 64  # tokens of the smallest shape that a prompt is padded to
ANSWER = 512  # tokens at most
STATIC = vocabulary.CAMERA_MOVES["static"].sentence


class Rewriting(NamedTuple):
    """A prompt to generate from, and a hint to show the user ("" if there is none)."""

    prompt: str
    hint: str = ""


def make_rewriter(
    name: str,
    *,
    slice_name: str = "full",
    directory: str = "",
    top_p: float = 0.0,
    temperature: float = 1.0,
    seed: int = 0,
    pipeline: Any = None,
) -> Callable[[str], Rewriting]:
    """A function prompt -> Rewriting.

    Args:
      name: "none", "world" (a template of the synthetic world) or "lm" (a language model).
      slice_name: of the world, for "world"; see `vocabulary.find_slice`.
      directory: Hugging Face directory, for "lm"; a chat model such as Qwen2.5-0.5B-Instruct.
      top_p, temperature, seed: of the draws of "lm"; top_p=0 is greedy.
      pipeline: that reads the captions: they become no longer than it can take, if they can.

    Raises:
      ValueError: an unknown name or an illegal setting.
      FileNotFoundError: "lm" without a model in `directory`.
    """
    if name not in REWRITERS:
        raise ValueError(f"rewriter {name!r} is not one of {sorted(REWRITERS)}")
    if name == "world":
        return functools.partial(REWRITERS[name], slice_name=slice_name, pipeline=pipeline)
    if name == "lm":
        if not (0 <= top_p <= 1 and temperature > 0):
            raise ValueError(f"{top_p=}, {temperature=}: must be in [0, 1] and above 0")
        model = language_model.open_language(directory, sharding.spread("fsdp"))
        draws = {"top_p": top_p, "temperature": temperature, "seed": seed}
        return functools.partial(REWRITERS[name], model=model, pipeline=pipeline, **draws)
    return REWRITERS[name]


def choose(config: Mapping[str, Any], prompt: str) -> str:
    """The rewriter of a prompt that nobody named one for: "world" for models of the world alone.

    Empty prompts stay as they are, and so do those for a finished language model.
    """
    of_world = sources.only_world(config["data"]) and config["text"]["mode"] == "joint"
    return "world" if of_world and prompt.strip() else "none"


def keep(prompt: str) -> Rewriting:
    """The prompt as it is."""
    return Rewriting(prompt)


def rewrite_for_world(prompt: str, *, slice_name: str, pipeline: Any = None) -> Rewriting:
    """The captions of the synthetic world that are nearest to the prompt, text or JSON.

    The hint names the words that they do not say, what later shots take over from the first, and
    what a Pipeline had no room for.
    """
    script = parse_prompt(prompt)
    common = script.captions.get(GLOBAL, "")
    texts = [script.captions[number] for number in range(script.num_shots)]
    if len(texts) > 1:
        story = rewrite_shots(common, texts, slice_name)
    else:
        caption, left_out = world_prompts.rewrite(*texts, slice_name)
        story = Story("", [caption], left_out, ())
    story, shortened = shorten(story, pipeline)
    hints = [world_prompts.hint(story.left_out, slice_name)]
    hints += [f"assumed: {'; '.join(story.assumed)}"] if story.assumed else []
    hints += [shortened]
    kept = (common, texts) == (story.common, story.captions)
    rewritten = prompt if kept else with_captions(prompt, story.common, story.captions)
    return Rewriting(rewritten, "\n".join(hint for hint in hints if hint))


def shorten(story: Story, pipeline: Any) -> tuple[Story, str]:
    """A Story of several shots that a Pipeline (or None) can read, and a note on what it lost.

    The last shots are the first to lose their "The camera is static.", which goes without saying.
    """
    captions, shortened = list(story.captions), []
    common = {GLOBAL: story.common} if story.common else {}
    can = pipeline is not None and len(captions) > 1
    static = [i for i, caption in enumerate(captions) if can and caption.endswith(f" {STATIC}")]
    while static and context.excess(common | dict(enumerate(captions)), pipeline):
        last = static.pop()
        captions[last] = captions[last].removesuffix(f" {STATIC}")
        shortened = [str(last + 1), *shortened]
    if not shortened:
        return story, ""
    note = f'left out for the model\'s length: "{STATIC}" of shot {", ".join(shortened)}'
    return story._replace(captions=captions), note


def check_text(prompt: str) -> None:
    """Raises ValueError for a prompt in JSON, which a language model does not rewrite."""
    if looks_like_json(prompt):
        raise ValueError(
            f'rewriter "lm" reads text, such as "Shot 1: ... Shot 2: ...", not JSON: '
            f"{quote(prompt)}"
        )


def rewrite_with_language(
    prompt: str, *, model: language_model.Language, pipeline: Any, **draws: float
) -> Rewriting:
    """What a chat model makes of the prompt; the prompt with a hint if that is of no use."""
    check_text(prompt)
    least, most = caption_words(prompt, pipeline)
    ids = chat_ids(model.tokenizer, INSTRUCTION.format(least=least, most=most), prompt)
    text, ended = complete(model, ids, **draws)
    text = re.sub(r"^.*</think>", "", text, flags=re.DOTALL).strip()
    if wrong := fault(prompt, text, ended, pipeline):
        return Rewriting(prompt, f"the prompt stays as it is: {wrong}")
    return Rewriting(text)


def caption_words(prompt: str, pipeline: Any) -> tuple[int, int]:
    """(least, most) words of each caption of a prompt, as many as a Pipeline (or None) reads."""
    least, most = WORDS
    if pipeline is None:
        return WORDS
    tokens = pipeline.tokenizer.count(INSTRUCTION) / len(INSTRUCTION.split())  # of a word
    room = int(pipeline.metadata["text_length"] / tokens)
    room = min(room, pipeline.max_words or room)  # each caption has a start besides its words
    fitting = max(min(most, room // len(parse_prompt(prompt).captions) - 1), 1)
    return -(-fitting * least // most), fitting


def fault(prompt: str, text: str, ended: bool, pipeline: Any) -> str:
    """What is wrong with the answer to a prompt, or ""."""
    if not text:
        return "the language model wrote nothing"
    if not ended:
        return f"the language model had not ended after {ANSWER} tokens"
    try:
        if marks(text) != marks(prompt):
            return f"the language model turned the shots {marks(prompt)} into {marks(text)}"
        if pipeline is not None:
            context.check_context("its rewriting", parse_prompt(text).captions, pipeline)
    except ValueError as error:
        return str(error)
    return ""


def marks(text: str) -> list[int]:
    """The numbers of the shots of a prompt, in order."""
    return [int(mark[1]) for mark, _ in cut_at_marks(text)[1]]


def chat_ids(tokenizer: Any, instruction: str, request: str) -> list[int]:
    """Token ids of a conversation in ChatML that waits for its answer.

    Models that think first (Qwen3) are given an empty thought.

    Raises:
      ValueError: the tokenizer has no marks of ChatML.
    """
    special = tokenizer.special
    if missing := [name for name in ("<|im_start|>", "<|im_end|>") if name not in special]:
        raise ValueError(f"not a chat model: its tokenizer has no {' and no '.join(missing)}")
    start, end = special["<|im_start|>"], special["<|im_end|>"]
    text = lambda text: list(tokenizer.to_ids(text))  # noqa: E731
    ids = []
    for role, content in (("system", instruction), ("user", request)):
        ids += [start, *text(f"{role}\n{content}"), end, *text("\n")]
    ids += [start, *text("assistant\n")]
    if "<think>" in special:
        ids += [special["<think>"], *text("\n\n"), special["</think>"], *text("\n\n")]
    return ids


def complete(
    model: language_model.Language,
    ids: Sequence[int],
    *,
    top_p: float = 0.0,
    temperature: float = 1.0,
    seed: int = 0,
    new_tokens: int = ANSWER,
) -> tuple[str, bool]:
    """The text with which a language model goes on after `ids`, and whether it came to an end.

    Compiled once per power of two of the number of ids.

    Raises:
      ValueError: ids and answer are longer than the context of the model.
    """
    length = max(SHORTEST, 1 << (len(ids) - 1).bit_length())
    if len(ids) + new_tokens > model.context:
        raise ValueError(
            f"the prompt has {len(ids)} tokens with its instruction, the answer may have "
            f"{new_tokens}: the context of the language model is {model.context}"
        )
    padded = np.full((1, length), model.tokenizer.pad, np.int32)
    padded[0, : len(ids)] = ids
    out, kept = language_model.generate(
        model.model,
        model.params,
        padded,
        np.arange(length)[None] < len(ids),
        language_model.Draws(jax.random.key(seed), temperature, top_p),
        new_tokens=new_tokens,
        end_ids=model.end_ids,
    )
    out, kept = np.asarray(out), np.asarray(kept)
    return model.tokenizer.decode(out[kept]), not kept.all()


def rewrite_request(
    request: Mapping[str, Any], name: str, rewrite: Callable[[str], Rewriting]
) -> tuple[dict, dict, list[str]]:
    """A request with its prompt rewritten: (request, notes for the sidecar, lines for the user).

    Args:
      request: arguments of a Pipeline.
      name, rewrite: of a rewriter, and what `make_rewriter` makes of the name.
    """
    prompt = request["prompt"]
    answer = rewrite(prompt)
    messages = [answer.hint] if answer.hint else []
    messages += [f"prompt: {answer.prompt}"] if answer.prompt != prompt else []
    return {**request, "prompt": answer.prompt}, notes(name, prompt, answer), messages


def notes(name: str, prompt: str, rewriting: Rewriting) -> dict[str, str]:
    """What the sidecar of a clip records of a rewriting: both prompts, and the hint if any."""
    if name == "none":
        return {"prompt": prompt}
    hint = {"rewriter_hint": rewriting.hint} if rewriting.hint else {}
    return {"prompt": rewriting.prompt, "original_prompt": prompt, "rewriter": name, **hint}


REWRITERS = {"none": keep, "world": rewrite_for_world, "lm": rewrite_with_language}
