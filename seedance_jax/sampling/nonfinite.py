"""Clips that are not finite: what is said of them, and where in sampling that began."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from seedance_jax.pretrained import codec
from seedance_jax.sampling.shots import quote
from seedance_jax.training.finiteness import NonFiniteError

SAID = ("seed", "guidance_scale", "image_guidance_scale", "solver")


class NonFiniteClip(NonFiniteError):
    """A clip of a request is not finite, and so is not shown to anyone.

    Attributes:
      before: the clips of the request that come before it, as they were asked for.
      settings: of those, see `requests.Plan`.
    """

    def __init__(self, before: np.ndarray, what: str, settings: Sequence[Mapping[str, Any]]):
        """what: of the clip is not finite; settings: of all clips of the request."""
        self.before, self.settings, self._what = before, settings[: len(before)], what
        own = settings[len(before)]
        said = {"prompt": quote(own["prompt"]), **{name: own[name] for name in SAID}}
        self._made = ", ".join(f"{name}={value}" for name, value in said.items())
        super().__init__(self.named(len(before)))

    def named(self, number: int) -> str:
        """The message, with another number of the clip than that in its request."""
        return f"clip {number}: the {self._what} ({self._made})"


def find_fault(latents: np.ndarray, finite: Sequence[np.ndarray]) -> tuple[int, str]:
    """(the first clip whose latents [N, T, h, w, C] are not finite, what of it is not).

    finite: bool [N] of the latents of given frames, and then of those after each step.
    """
    clip = int(codec.all_finite(latents).argmin())
    flags = [bool(step[clip]) for step in finite]
    if not flags[0]:
        return clip, "latents of the given frames are not finite"
    return clip, f"latents are not finite after {flags.index(False)} of {len(flags) - 1} steps"
