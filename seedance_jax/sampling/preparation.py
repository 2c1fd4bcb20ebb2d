"""From the rows of a user to requests that are checked, rewritten and have their files read."""

import contextlib
import functools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from seedance_jax.sampling import files, rewriting
from seedance_jax.sampling.requests import SIZE, Plan
from seedance_jax.sampling.sizes import rate_note, size_note

# Settings that guide nothing as they are here.
UNGUIDED = {"negative_prompt": "", "guidance_rescale": 0.0, "guidance_interval": (0.0, 1.0)}


class Prepared(NamedTuple):
    """plan: of the checked request; notes: for the sidecar; messages: lines for the user."""

    plan: Plan
    notes: dict
    messages: list


def prepare_all(
    pipeline: Any, rows: Iterable[tuple[str, dict]], rewriter: str | None = None, **settings: Any
) -> Iterator[Prepared]:
    """Prepares row after row; what is said of a size or a frame rate is said once.

    Args:
      pipeline: sampling.pipeline.Pipeline.
      rows: (where it stands, request whose files are paths), see `prompt_files.read_requests`.
      rewriter, settings: see `rewriting.make_rewriter`; None is that of `rewriting.choose`.

    Raises:
      ValueError: a row is wrong; the message says which.
    """
    make = functools.cache(
        functools.partial(rewriting.make_rewriter, pipeline=pipeline, **settings)
    )
    said = {""}  # what need not be said any more
    for where, request in rows:
        with named(where):
            name = rewriter or rewriting.choose(pipeline.config, request["prompt"])
            request, rewritten, messages = rewriting.rewrite_request(request, name, make(name))
            request, loaded = files.load_given(request, pipeline)
            plan = pipeline.prepare(**request)
            check_used(request, plan)
        new = [note for note in untrained(plan, pipeline) if note not in said]
        said.update(new)
        messages = [*messages, *changes(loaded), *new, *describe_shots(plan)]
        yield Prepared(plan, rewritten | loaded, messages)


def changes(notes: Mapping[str, Any]) -> list[str]:
    """What was changed of the files of a request, from the notes of `files.load_given`."""
    files_of = notes.get("files", {}).values()
    return [f"{file['path']}: {change}" for file in files_of for change in file["changes"]]


def untrained(plan: Plan, pipeline: Any) -> list[str]:
    """What is to be said of the size and of the frame rate of the clips, "" if nothing is."""
    settings, metadata = plan.settings[0], pipeline.metadata
    size = size_note([settings[name] for name in SIZE], metadata)
    return [size, rate_note(settings["fps"], pipeline.config, metadata)]


def describe_shots(plan: Plan) -> list[str]:
    """A line for each of several shots."""
    return [
        f"shot {number}: {shot['num_frames']} frames: {shot['prompt']}"
        for number, shot in enumerate(plan.settings[0].get("shots", ()), 1)
    ]


def check_used(request: Mapping[str, Any], plan: Plan) -> None:
    """Raises ValueError for settings of guidance where nothing guides; defaults are no matter."""
    if plan.weights != {"positive": 1.0}:
        return
    for name, value in UNGUIDED.items():
        if request.get(name, value) != value:
            scale = plan.settings[0]["guidance_scale"]
            raise ValueError(
                f"{name}={request[name]!r} does nothing at guidance_scale={scale:g}, which is no "
                "guidance"
            )


@contextlib.contextmanager
def named(where: str) -> Iterator[None]:
    """Says in front of an error where the mistake is."""
    try:
        yield
    except (ValueError, OSError) as error:
        raise ValueError(f"{where}{error}") from error
