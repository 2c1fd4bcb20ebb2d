"""A pipeline that makes no clips but shows true ones, changed, and a judge that takes no time."""

import contextlib
from types import SimpleNamespace

import numpy as np
import pytest

from seedance_jax.evaluation.judges import verdict
from seedance_jax.evaluation.judges.findings import Finding
from seedance_jax.evaluation.suite import cases

SETTINGS = {
    "negative_prompt": "",
    "num_inference_steps": 30,
    "guidance_scale": 4.0,
    "image_guidance_scale": 1.0,
    "guidance_rescale": 0.0,
    "guidance_interval": [0.0, 1.0],
    "solver": "euler",
}


class Fake:
    """What a suite asks of a pipeline. `show(case)` makes the clip of a case, uint8 [T,H,W,3]."""

    def __init__(self, suite, show, name):
        self.config = {"data": {"source": "world", "world": {"slice": "tiny"}}}
        self.metadata = {"buckets": [[17, 64, 64], [1, 64, 64]], "fps": 12.0}
        self.suite, self.show, self.name, self.batches = suite, show, name, []

    def fingerprint(self):
        return self.name

    def prepare(self, prompt, seed, num_frames, height, width, **given):
        unknown = given.keys() - SETTINGS
        if unknown:
            raise ValueError(f"{unknown}")
        return SimpleNamespace(settings=[SETTINGS | given])

    def __call__(self, prompt, frames, seed, **settings):
        self.batches.append((prompt, frames, seed))
        own = {"given_frames": [], "num_frames": 17, "height": 64, "width": 64}
        told = [own | {"prompt": p, "seed": seed + k} for k, p in enumerate(prompt)]
        found = [self.case(seed % 1000 + k, p) for k, p in enumerate(prompt)]
        return SimpleNamespace(frames=np.stack([self.show(c) for c in found]), settings=told)

    def reconstruct(self, frames, batch_size):
        """An autoencoder that darkens by one what it is given."""
        assert len(frames) == batch_size
        return frames - 1

    def case(self, number, prompt):
        """The case of a place in a batch; those that fill it up are the last one again."""
        while self.suite.cases[number].prompt != prompt:
            number -= 1
        return self.suite.cases[number]


@pytest.fixture(scope="session")
def suite():
    return cases.read_suite("world_v1_dev")


@pytest.fixture(scope="session")
def bright(suite):
    """The suite with true clips that are as bright as their number, and need no rendering."""
    return suite._replace(clip=number)


@pytest.fixture(scope="session")
def fake(suite):
    """Function (show, name, suite) -> a pipeline."""
    return lambda show=number, name="fake", suite=suite: Fake(suite, show, name)


def number(case):
    """A clip as bright as the number of its case."""
    return np.full((17, 64, 64, 3), 10 + case.number, np.uint8)


@pytest.fixture(scope="session", name="number")
def give_number():
    """Function that shows a case as a clip as bright as its number."""
    return number


@pytest.fixture(scope="session")
def quick():
    """Context with a judge by the brightness of the first pixel: even ones pass."""

    def judge_clip(frames, fps, scene):
        value = float(frames[0, 0, 0, 0])
        finding = Finding(value, True, {"tracks": {}, "drawn": []})
        gates = dict.fromkeys(verdict.GATES, value % 2 == 0) | {"permanence": None}
        return verdict.Verdict(dict.fromkeys(verdict.GATES, finding), gates)

    @contextlib.contextmanager
    def replaced():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(verdict, "judge_clip", judge_clip)
            yield

    return replaced
