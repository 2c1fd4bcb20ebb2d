"""From prompts, and images if any, to frames: one pipeline for all tasks, with diffusers' names."""

import dataclasses
import functools
import math
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from seedance_jax.diffusion import guidance, solvers, tasks, times
from seedance_jax.models.dit import Condition
from seedance_jax.sampling import codec, encoders, runs
from seedance_jax.training import checkpoint


@dataclasses.dataclass(frozen=True)
class Output:
    """frames: uint8 [N, T, H, W, 3]; settings: what they were made with, one dict a clip."""

    frames: np.ndarray
    settings: list


class Pipeline:
    """Generates clips with a finished run of the generator.

    pipeline = Pipeline.from_run("runs/tiny/pretrain")
    frames = pipeline(prompt="A red ball rolls to the left on a grey floor.").frames[0]
    """

    def __init__(self, generator, params, autoencoder, weights, config, metadata):
        """See `from_run`; weights are those of `runs.load_autoencoder`."""
        self.config, self.metadata = config, metadata
        self._autoencoder, self._weights, self._params = autoencoder, weights, params
        self._tokenizer = runs.open_tokenizer(config["text"])
        self._max_words = generator.max_words
        self._generate = jax.jit(
            functools.partial(generate, generator, autoencoder),
            static_argnames=("shape", "steps", "guidance_scale", "solver"),
        )
        self._encode = jax.jit(functools.partial(codec.encode, autoencoder))

    @classmethod
    def from_run(cls, workdir, vae_run=""):
        """Loads the newest checkpoint of a run and the autoencoder it was trained with.

        Args:
          vae_run: where that autoencoder is now; by default where it was at training.

        Raises:
          FileNotFoundError: a run is missing or not finished.
          ValueError: another stage, or another autoencoder than the one of the training.
        """
        generator, params, config, metadata = runs.load_generator(workdir)
        vae_run = vae_run or metadata["vae_run"]
        autoencoder, weights = runs.load_autoencoder(vae_run)
        found, wanted = runs.latent_fingerprint(weights), metadata["autoencoder"]
        if found != wanted:
            raise ValueError(
                f"{workdir} was trained with autoencoder {wanted}, but {vae_run} is {found}"
            )
        decoder = checkpoint.fingerprint(weights["params"]["decoder"])
        metadata |= {"vae_run": str(Path(vae_run).resolve()), "decoder": decoder}
        return cls(generator, params, autoencoder, weights, config, metadata)

    def __call__(self, prompt, image=None, negative_prompt="", **settings):
        """Generates one clip per prompt; the arguments are those of `prepare`."""
        arguments, settings = self.prepare(prompt, image, negative_prompt, **settings)
        arrays, static = arguments
        video = self._generate(self._params, self._weights, *arrays, **static)
        frames = codec.to_bytes(video)
        return Output(frames, settings)

    def prepare(
        self,
        prompt,
        image=None,
        negative_prompt="",
        *,
        height=None,
        width=None,
        num_frames=None,
        num_inference_steps=30,
        guidance_scale=4.0,
        seed=0,
        solver="euler",
    ):
        """Checks a request without generating anything.

        Args:
          prompt: text or list of N texts.
          image: first frame, uint8 [H, W, 3] of the size of the clip, or a list of N of them.
          negative_prompt: what to move away from, one for all; the default is the empty caption.
          height, width: pixels, multiples of 16; num_frames: 4n+1, 1 makes an image. The defaults
            are those of the first bucket the model was trained on.
          num_inference_steps: steps of the solver (`heun` evaluates twice per step).
          guidance_scale: 1 is no guidance.
          seed: of the first clip; clip i uses seed + i, whatever else is in the batch.

        Returns:
          (arrays, static arguments) of `generate`, and one dict of settings per clip.

        Raises:
          ValueError: any argument is out of range; the message names the value and the legal ones.
        """
        prompts = [prompt] if isinstance(prompt, str) else list(prompt)
        size = self.size({"num_frames": num_frames, "height": height, "width": width})
        shape = self._autoencoder.latent_shape(*size)
        check_sampling(num_inference_steps, guidance_scale, seed, solver)
        text = self._tokenize(prompts, "prompt")
        negative = self._tokenize([negative_prompt] * len(prompts), "negative_prompt")
        images = self._check_images(image, len(prompts), size)
        latents, mask = self._conditions(images, len(prompts), shape)
        seeds = seed + np.arange(len(prompts), dtype=np.uint32)
        static = {
            "shape": shape,
            "steps": num_inference_steps,
            "guidance_scale": float(guidance_scale),
            "solver": solver,
        }
        shared = {
            "negative_prompt": negative_prompt,
            "num_frames": size[0],
            "height": size[1],
            "width": size[2],
            "num_inference_steps": num_inference_steps,
            "guidance_scale": guidance_scale,
            "solver": solver,
            **{name: self.metadata.get(name) for name in ("vae_run", "decoder")},
            "trained_size": list(size) in [list(bucket) for bucket in self.metadata["buckets"]],
        }
        settings = [{"prompt": p, "seed": seed + i, **shared} for i, p in enumerate(prompts)]
        return ((text, negative, latents, mask, seeds), static), settings

    def size(self, request):
        """(num_frames, height, width) of a request; what it leaves out is as in training."""
        names = ("num_frames", "height", "width")
        defaults = dict(zip(names, self.metadata["buckets"][0], strict=True))
        return tuple(
            defaults[name] if request.get(name) is None else request[name] for name in names
        )

    def _tokenize(self, texts, name):
        length, words = self.metadata["text_length"], self._max_words
        for text in texts:
            if name == "prompt" and not text.strip():
                raise ValueError("prompt is empty; write what the clip shows")
            if words and encoders.word_count(text) > words:
                raise ValueError(
                    f"{name} has {encoders.word_count(text) - 1} words, the model reads at most "
                    f"{words - 1}: {text!r}"
                )
        ids, mask = zip(*(self._tokenizer.encode(text, length) for text in texts), strict=True)
        return np.stack(ids), np.stack(mask), np.zeros_like(ids)

    def _check_images(self, image, count, size):
        if image is None:
            return None
        images = [image] if isinstance(image, np.ndarray) and image.ndim == 3 else list(image)
        if len(images) != count:
            raise ValueError(f"{len(images)} images for {count} prompts; give one each or none")
        for array in images:
            if array.shape != (*size[1:], 3) or array.dtype != np.uint8:
                raise ValueError(
                    f"image is {array.dtype} {array.shape}; must be uint8 {(*size[1:], 3)}, see "
                    "seedance_jax.sampling.media.read_image"
                )
        if size[0] == 1:
            raise ValueError("num_frames=1 with an image leaves nothing to generate; use 5 or more")
        return np.stack(images)

    def _conditions(self, images, count, shape):
        latents = jnp.zeros((count, *shape))
        if images is None:
            return latents, jnp.broadcast_to(tasks.none_given(shape[0]), (count, shape[0]))
        first = self._encode(self._weights, codec.from_bytes(images[:, None]))
        mask = jnp.broadcast_to(tasks.first_frame(shape[0]), (count, shape[0]))
        return latents.at[:, :1].set(first), mask


def check_sampling(steps, guidance_scale, seed, solver):
    """Raises ValueError unless the settings of the sampler are legal."""
    if not (isinstance(steps, int) and 1 <= steps <= 1000):
        raise ValueError(f"num_inference_steps={steps}: must be an integer from 1 to 1000")
    if not (math.isfinite(guidance_scale) and guidance_scale >= 0):
        raise ValueError(f"guidance_scale={guidance_scale}: must be a number >= 0")
    if not (isinstance(seed, int) and 0 <= seed < 2**31):
        raise ValueError(f"seed={seed}: must be an integer from 0 to 2^31 - 1")
    if solver not in solvers.SOLVERS:
        raise ValueError(f"solver={solver!r}; legal solvers: {sorted(solvers.SOLVERS)}")


def generate(
    generator,
    autoencoder,
    params,
    weights,
    text,
    negative,
    condition_latents,
    condition_mask,
    seeds,
    *,
    shape,
    steps,
    guidance_scale,
    solver,
):
    """Solves from noise to latents and decodes them: video [B, T, H, W, 3] in [-1, 1].

    The noise of a clip depends on its seed and the latent `shape` only. Given frames come back as
    they were given, up to the autoencoder.
    """

    def velocity_fn(x, t, condition):
        times_ = jnp.full(x.shape[0], t)
        return generator.apply({"params": params}, x, times_, condition, method="velocity")

    def condition(text):
        tokens = generator.apply({"params": params}, *text, method="encode_text")
        frame_shot = jnp.zeros(condition_mask.shape, int)
        return Condition(*tokens, frame_shot, condition_latents, condition_mask)

    guided = guidance.classifier_free(
        velocity_fn, condition(text), condition(negative), guidance_scale
    )
    noise = jax.vmap(lambda seed: jax.random.normal(jax.random.key(seed), shape))(seeds)
    grid = times.sampling_grid(steps, times.resolution_shift(math.prod(shape[:3])))
    given = condition_mask[:, :, None, None, None] > 0

    def velocity(x, t):
        # Given frames go the straight way that training has shown them on, and end as given.
        return jnp.where(given, noise - condition_latents, guided(x, t))

    latents = solvers.SOLVERS[solver](velocity, noise, grid)
    return codec.decode(autoencoder, weights, latents)
