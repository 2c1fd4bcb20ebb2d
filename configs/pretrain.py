"""Pretraining of the generator on images and clips, on all tasks at once.

    python -m seedance_jax train --config=configs/pretrain.py:tiny --workdir=runs/pretrain \\
        --config.vae_run=runs/vae

needs a trained autoencoder (`vae_run`) and the latents that `seedance_jax encode` computes with it.
"""

from ml_collections import ConfigDict

from configs import base


def get_config(size: str = "base") -> ConfigDict:
    """`size` is smoke, tiny, released, small, base or 7b."""
    config = base.get_base("pretrain", size)
    choose = base.choose
    clips = choose(
        size,
        smoke=((17, 64, 64, 16, 3.0), (1, 64, 64, 32, 1.0)),
        released=((25, 128, 128, 8, 3.0), (1, 128, 128, 32, 1.0)),
        small=((49, 128, 128, 128, 4.0), (1, 128, 128, 512, 1.0)),
        base=((49, 256, 256, 512, 4.0), (1, 256, 256, 2048, 1.0)),
        # 480p, 16:9, five seconds
        **{"7b": ((121, 480, 864, 256, 4.0), (1, 480, 864, 2048, 1.0))},
    )
    config.update(
        {
            "stage": "flow_matching",
            "num_steps": choose(
                size, smoke=12, tiny=2200, released=11_500, small=100_000, base=400_000
            ),
            "ema_decay": choose(size, smoke=0.99, tiny=0.998, small=0.9999),
            # The parts of a batch stay in the cache of a CPU: a step of tiny takes an eighth less.
            "accumulate": choose(size, smoke=1, tiny=2, small=1, **{"7b": 2}),
            "vae_run": "",
            "data": base.data(
                size, clips, latents=choose(size, smoke=True, small=False, **{"7b": True})
            ),
            # "joint" trains a byte-level language model with the generator; "frozen" and
            # "precomputed" take a pretrained one from `path`: a Hugging Face directory (Qwen2.5 or
            # Qwen3) or a run.
            "text": {
                "mode": "joint",
                "path": "",
                "tokenizer": "bytes",
                "layers": (-1,),
                "width": choose(size, smoke=64, small=512, base=1024, **{"7b": 2048}),
                "depth": choose(size, smoke=2, small=8, base=12, **{"7b": 16}),
                "heads": choose(size, smoke=4, small=8, base=16),
                "dtype": choose(size, smoke="float32", small="bfloat16"),
                "gradients": choose(size, smoke="float32", small="bfloat16"),
                # Most words of a caption, each of which becomes one text token; 0: one per id.
                "max_words": choose(size, smoke=52, released=56),
            },
            "model": {
                "width": choose(
                    size, smoke=128, released=192, small=576, base=1920, **{"7b": 3584}
                ),
                "depth": choose(size, smoke=3, small=8, base=16),
                "heads": choose(size, smoke=4, released=6, small=9, base=15, **{"7b": 28}),
                # A frame of 480p is 18 windows of 10x10 in either orientation, 16 if square.
                "window": choose(size, smoke=(4, 4), base=(8, 8), **{"7b": (10, 10)}),
                # Equal for all sizes, to be set on the command line. shift: of the windows of every
                # second pair. attention: "full" is the ablation in which every block attends to all
                # frames, with equal parameters. kernel: fused, xla, blocks, splash, cudnn; "auto"
                # depends on the platform. dtype: "auto" is settled at the start: configs/README.md.
                "shift": (0, 0),
                "attention": "decoupled",
                "kernel": "auto",
                # What the model knows of a clip besides text and given frames: "fps", its frame
                # rate, which sources of several rates need; "camera", "gravity", "states" of
                # objects, which the world has: configs/README.md.
                "conditions": (),
                "remat": choose(size, smoke="save_products", small="full"),
                "dtype": choose(size, smoke="float32", small="bfloat16"),
                # Type in which devices add up the gradients of kernels, and of `dtype` if that is
                # the same: "float32" is more exact and twice the bytes.
                "gradients": choose(size, smoke="float32", small="bfloat16"),
            },
            # One fifth is image to video (as in arXiv:2506.09113); the others with given frames are
            # similar and need less. See `seedance_jax.diffusion.tasks`.
            "tasks": {
                "text_to_video": 0.55,
                "image_to_video": 0.2,
                "last_frame": 0.04,
                "first_and_last": 0.06,
                "extension_forward": 0.06,
                "extension_backward": 0.03,
                "in_between": 0.03,
                "any_frames": 0.03,
            },
            # Tokens of a clip whose times of training and sampling are not shifted; more tokens get
            # more noise. It is an image of the first stage; one of 256x256 in the paper's stages.
            "reference_tokens": choose(size, smoke=4, released=16, base=256),
            "caption_dropout": 0.1,
            # Share of image to video with captions that tell what moves, not what the image shows.
            "motion_captions": 0.0,
            "condition_dropout": 0.1,
            # Share of clips with a time per latent frame. Sampling mostly uses one time for all, so
            # short trainings have few of them.
            "frame_times": choose(size, smoke=0.1, small=0.2),
            # "adafactor" needs almost no memory for its second moment, "muon" fewer steps.
            "optimizer": {
                "name": choose(
                    size, smoke="adamw", released="muon", small="adamw", **{"7b": "adamw_bf16"}
                ),
                "peak_lr": choose(size, smoke=2e-3, released=1e-2, small=4e-4, base=1e-4),
                "warmup_steps": choose(size, smoke=2, tiny=200, small=2000),
                "weight_decay": 0.01,
                "clip_norm": 1.0,
                "decay_to": 0.0,  # share of the rate that is left at the end
            },
        }
    )
    return config.lock()
