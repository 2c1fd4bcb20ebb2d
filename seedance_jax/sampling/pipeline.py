"""From prompts, images and clips to frames: one pipeline for all tasks, with diffusers' names."""

import contextlib
import copy
import dataclasses
import functools
import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
import tqdm

from seedance_jax import sharding
from seedance_jax.data import schema
from seedance_jax.diffusion import solvers, times
from seedance_jax.models.conditioning import Condition
from seedance_jax.models.generator import example_inputs
from seedance_jax.pretrained import adapters, codec, generators, runs
from seedance_jax.pretrained.executables import KeptProgram
from seedance_jax.sampling import sampler
from seedance_jax.sampling.given import encode_given
from seedance_jax.sampling.nonfinite import NonFiniteClip, find_fault
from seedance_jax.sampling.requests import Plan, Request, make_plan
from seedance_jax.training import checkpoint, run_directory
from seedance_jax.training.finiteness import NonFiniteError
from seedance_jax.training.places import Place

# Latent frames from which on a clip is decoded piece by piece, at constant memory.
STREAM_FRAMES = 16


@dataclasses.dataclass(frozen=True)
class Output:
    """frames: uint8 [N, T, H, W, 3] (or latents); settings: what made them, one dict a clip."""

    frames: np.ndarray
    settings: list


class Pipeline:
    """Generates clips with a finished run of the generator, by default the released tiny weights.

    pipeline = Pipeline.from_run()
    frames = pipeline(prompt="A red ball rolls to the left on a grey floor.").frames[0]
    """

    def __init__(
        self,
        generator: Any,
        params: Any,
        autoencoder: Any,
        weights: Mapping[str, Any],
        config: Mapping[str, Any],
        metadata: Mapping[str, Any],
        mesh: Any = None,
    ):
        """See `from_run`; weights are those of `runs.load_autoencoder`."""
        self.config, self.metadata, self.mesh = config, metadata, mesh
        schema.check_compression(*autoencoder.compression)
        self.autoencoder = autoencoder
        self.tokenizer, self.max_words = (
            generators.open_tokenizer(config["text"]),
            generator.max_words,
        )
        self.conditions = generator.dit.get("conditions", ())  # that it knows
        self._finished = generator.finished  # its language model
        if mesh is None:
            self._params, self.weights = jax.device_put((params, weights))
        else:
            example = example_inputs(autoencoder.latent_channels, metadata["text_length"])
            boxed = jax.eval_shape(generator.init, jax.random.key(0), *example)["params"]
            self._params = jax.device_put(params, sharding.layout(boxed, mesh))
            self.weights = jax.device_put(weights, sharding.replicated(mesh))
        self._begin = KeptProgram(functools.partial(sampler.begin, generator), static=("names",))
        self._start = KeptProgram(solvers.start)
        self._step = KeptProgram(functools.partial(sampler.step, generator), static=("settings",))
        self._loss = KeptProgram(functools.partial(sampler.denoising_loss, generator))
        self._decode = KeptProgram(functools.partial(codec.decode_bytes, autoencoder))
        self._finite = KeptProgram(codec.all_finite)
        self._compiled = set()

    @classmethod
    def from_run(
        cls,
        workdir: str | Place | runs.Run = runs.RELEASED,
        vae_run: str | Place = "",
        mesh: Any = None,
        lora: str | Place = "",
        lora_scale: float = 1.0,
    ) -> "Pipeline":
        """Loads the newest checkpoint of a run and the autoencoder it was trained with.

        Args:
          workdir: the run, or where it is.
          vae_run: where that autoencoder is now; by default where it was at training.
          mesh: of `sharding.make_mesh`, to sample on all of its devices.
          lora, lora_scale: run of adapters to add, and how much of them; 1 is as trained.

        Raises:
          FileNotFoundError: a run is missing or not finished.
          ValueError: a run makes something else, or other latents than those of the training.
        """
        adapters.check_scale(lora_scale)
        added = runs.open_run(lora, "adapters", "--lora") if lora else None
        run = workdir if isinstance(workdir, runs.Run) else runs.open_run(workdir, "generator")
        params = checkpoint.load(run.path)
        if added:
            params = adapters.add_lora(params, run.metadata, added, lora_scale)
        return cls.of_params(run, params, vae_run, mesh)

    @classmethod
    def of_params(
        cls, run: runs.Run, params: Any, vae_run: str | Place = "", mesh: Any = None
    ) -> "Pipeline":
        """`from_run` with other weights than those of its checkpoint, which need not be there."""
        generator, params, run = generators.complete(run, params)
        opened, autoencoder, weights = runs.autoencoder_of(run, vae_run)
        decoder = run_directory.fingerprint(weights["params"]["decoder"])
        metadata = run.metadata | {"vae_run": str(opened.path), "decoder": decoder}
        return cls(generator, params, autoencoder, weights, run.config, metadata, mesh)

    def with_params(self, params: Any) -> "Pipeline":
        """The same pipeline, with its compiled programs, of other weights of the generator.

        params: those that a run trains; a finished language model stays as it is.
        """
        kept = {"text": self._params["text"]} if self._finished else {}
        layout = jax.tree.map(lambda leaf: leaf.sharding, self._params)
        other = copy.copy(self)
        other._params = jax.device_put({**kept, **params}, layout)
        return other

    def fingerprint(self) -> str:
        """Hash (16 hex digits) of all weights, see `run_directory.fingerprint`."""
        return run_directory.fingerprint({"generator": self._params, "autoencoder": self.weights})

    def __call__(
        self,
        prompt: Any,
        *,
        callback_on_step_end: Any = None,
        output_type: str = "np",
        **request: Any,
    ) -> Output:
        """Generates the clips of a request.

        Args:
          prompt, request: see `requests.Request`.
          callback_on_step_end: called as f(pipeline, step, t, {"latents": [N, T, h, w, C]}) after
            every step; what it returns as "latents", if it does, takes their place.
          output_type: "np" for frames, "latent" for the normalised latents, float32.
        """
        if output_type not in ("np", "latent"):
            raise ValueError(f"output_type={output_type!r}; legal types: np, latent")
        plan = self.prepare(prompt, **request)
        return Output(self.run(plan, callback_on_step_end, output_type), plan.settings)

    def prepare(self, prompt: Any, **request: Any) -> Plan:
        """Checks a request without computing anything; returns what `run` needs, or ValueError."""
        plan = make_plan(Request(prompt, **request), self)
        if self.metadata.get("guidance_distilled") and plan.weights != {"positive": 1.0}:
            warnings.warn(
                "guidance is distilled into this checkpoint, more of it on top makes clips worse: "
                "use guidance_scale=1 and image_guidance_scale=1",
                stacklevel=3,
            )
        return plan

    def warm_up(self, plan: Plan) -> None:
        """Compiles all programs of a prepared request, by one step of it."""
        self.run(plan._replace(num_steps=1))

    def run(
        self, plan: Plan, callback_on_step_end: Any = None, output_type: str = "np"
    ) -> np.ndarray:
        """Frames uint8 [N, F, H, W, 3], or latents, of a prepared request.

        Raises NonFiniteClip if those of a clip are not finite.
        """
        self._announce(plan)
        with jax.set_mesh(self.mesh) if self.mesh else contextlib.nullcontext():
            latents, bad = self._solve(plan, callback_on_step_end)
            whole = latents if bad is None else latents[: bad[0]]
            if output_type == "latent" or not len(whole):
                clips, finite = np.asarray(whole), np.ones(len(whole), bool)
            else:
                clips, finite = self._frames(whole)
        if not finite.all():
            first = int(finite.argmin())
            clips, bad = clips[:first], (first, "frames are not finite, of finite latents")
        if bad is not None:
            raise NonFiniteClip(clips, bad[1], plan.settings)
        return clips

    def time_shift(self, shape: Sequence[int]) -> float:
        """The shift of the times of latents of shape (T, H, W, ...), as in training."""
        reference = self.config.get("reference_tokens", times.REFERENCE_TOKENS)  # older runs
        return times.resolution_shift(math.prod(shape[:3]), reference)

    def _solve(self, plan, callback):
        """The solver step by step: one program serves all steps, any number of them and all tasks.

        A scan over the steps would be a program for each number of steps, and save 1 to 3 ms a
        step. Returns (latents, None or the first clip that is not finite and what of it).
        """
        encode = functools.partial(encode_given, self.autoencoder, self.weights)
        given = [encode(frames, plan.shape) for frames in plan.given]
        latents, mask = (np.stack(parts) for parts in zip(*given, strict=True))
        condition, negative = (
            Condition(**text, **plan.shared, given=latents, given_mask=mask)
            for text in (plan.text, plan.negative)
        )
        names = ("positive", *(name for name in plan.weights if name != "positive"))
        noise, conditions = self._begin(self._params, condition, negative, plan.seeds, names=names)
        grid = times.sampling_grid(plan.num_steps, self.time_shift(plan.shape))
        coefficients = solvers.SOLVERS[plan.solver].prepare(grid)
        state = self._start(noise)
        settings = sampler.StepSettings(plan.solver, plan.rescale, plan.interval)
        finite = [codec.all_finite(latents)]  # of every step, which are fetched if need be
        for i in tqdm.trange(plan.num_steps, desc="sample", unit="step", disable=None):
            now = jax.tree.map(lambda array, i=i: array[i], coefficients)
            start = (noise, conditions, plan.weights)
            state = self._step(self._params, state=state, now=now, start=start, settings=settings)
            if callback is not None:
                changed = callback(self, i, float(grid[i]), {"latents": state[0]}) or {}
                state = (changed.get("latents", state[0]), state[1])
            finite.append(self._finite(state[0]))
        made = np.where(mask[:, :, None, None, None] > 0, latents, sharding.fetch(state[0]))
        if codec.all_finite(made).all():
            return made, None
        return made, find_fault(made, sharding.fetch(finite))

    def _frames(self, latents):
        """(clips uint8, whether each is finite)."""
        if latents.shape[1] < STREAM_FRAMES:
            return sharding.fetch(self._decode(self.weights, latents))
        parts, finite = [], np.ones(len(latents), bool)
        for part in codec.decode_stream(self.autoencoder, self.weights, latents):
            whole = codec.all_finite(part)
            finite &= whole
            parts.append(codec.to_bytes(part if whole.all() else np.nan_to_num(part)))
        return np.concatenate(parts, axis=1), finite

    def reconstruct(self, frames: np.ndarray, batch_size: int = 16) -> np.ndarray:
        """Clips uint8 [N, F, H, W, 3] as they come back from the autoencoder."""
        parts = []
        for start in range(0, len(frames), batch_size):
            clips = frames[start : start + batch_size]
            encoded = codec.encode_stream(self.autoencoder, self.weights, clips)
            decoded, finite = self._frames(np.concatenate(list(encoded), axis=1))
            if not finite.all():
                raise NonFiniteError(
                    f"clip {start + finite.argmin()} is not finite as the autoencoder returns it"
                )
            parts.append(decoded)
        return np.concatenate(parts)

    def denoising_loss(
        self, frames: np.ndarray, prompt: Any, grid: Any, seeds: np.ndarray
    ) -> np.ndarray:
        """How well the generator denoises clips that are there: float32 [N, times].

        A bound on their likelihood but for its weights over time (arXiv:2107.00630): of two clips
        with the same seed and prompt the likelier has the lower loss.

        Args:
          frames: uint8 [N, F, H, W, 3].
          prompt: a list of N texts; None is no caption.
          grid: times of the path, in (0, 1].
          seeds: of the noise, uint32 [N].

        Raises ValueError for a size or a prompt that the model cannot take.
        """
        size = dict(zip(("num_frames", "height", "width"), frames.shape[1:4], strict=True))
        captions = ["."] * len(frames) if prompt is None else prompt
        plan = self.prepare(captions, guidance_scale=1.0, **size)
        text = plan.negative if prompt is None else plan.text  # the negative prompt is no caption
        with jax.set_mesh(self.mesh) if self.mesh else contextlib.nullcontext():
            parts = list(codec.encode_stream(self.autoencoder, self.weights, frames))
            inputs = np.concatenate(parts, axis=1), Condition(**text, **plan.shared)
            losses = [self._loss(self._params, *inputs, np.float32(t), seeds) for t in grid]
            return np.stack([sharding.fetch(loss) for loss in losses], axis=1)

    def _announce(self, plan):
        """Prints, once for each, what will be compiled, or fetched from the cache of programs."""
        size = "x".join(str(plan.settings[0][name]) for name in ("num_frames", "height", "width"))
        passes = len(plan.weights)
        key = (size, len(plan.seeds), passes, plan.solver, plan.rescale, plan.interval)
        if key not in self._compiled:
            self._compiled.add(key)
            counts = (len(plan.seeds), "clip"), (passes, "prediction")
            clips, predictions = (f"{n} {what}{'s' * (n > 1)}" for n, what in counts)
            print(
                f"compiling, unless the cache has it: {size}, {clips}, {predictions} a step, "
                f"{plan.solver}"
            )
