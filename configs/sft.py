"""Supervised fine-tuning of one specialist by category, or of one model on all categories.

    python -m seedance_jax score --config=configs/sft.py:tiny
    python -m seedance_jax train --config=configs/sft.py:tiny,falls --config.vae_run=runs/vae \\
        --config.init_from=runs/continue_train --workdir=runs/sft_falls
    python -m seedance_jax merge --runs=runs/sft_falls,runs/sft_cuts,... --output=runs/merged

As in Seedance 1.0 (Section 2.5 of arXiv:2506.09113): a small set of good clips that is balanced by
category, small learning rates, an end before the model follows prompts worse (`--suite_patience`),
and one model that is merged of the specialists. Categories stand in taxonomy.txt; the numbers are
our choice. `--config=configs/sft.py:tiny` has all of them at once.
"""

from ml_collections import ConfigDict

from configs import base, continue_train

FILE = f"{__file__.removesuffix('sft.py')}taxonomy.txt"
# The worlds of smaller sizes than `released` have a single object.
OF_SEVERAL_OBJECTS = ("meetings",)


def read_taxonomy(path: str = FILE) -> dict[str, str]:
    """{category: filter} of a file; ValueError for a line that is none."""
    with open(path, encoding="utf-8") as file:
        lines = [line.strip() for line in file if line.strip() and not line.startswith("#")]
    found = {}
    for line in lines:
        name, colon, text = (part.strip() for part in line.partition(":"))
        if not (colon and name.isidentifier() and text) or name in found:
            raise ValueError(f"{path}: {line!r} is not `category: filter`, with a name of its own")
        found[name] = text
    return found


def categories(size: str) -> dict[str, str]:
    """{category: filter} of those that the data of a size have."""
    absent = base.choose(size, smoke=OF_SEVERAL_OBJECTS, released=())
    return {name: text for name, text in read_taxonomy().items() if name not in absent}


def get_config(size: str = "base") -> ConfigDict:
    """`size` is smoke, tiny, released, small, base or 7b; "tiny,falls" has one category alone."""
    size, comma, category = size.partition(",")
    config = continue_train.get_config(size).unlock()
    config.name = "sft"
    named = categories(size)
    if comma and category not in named:
        legal = ", ".join(named)
        raise ValueError(f"no category {category!r} at size {size}; legal categories: {legal}")
    config.category = category
    config.data.labels.update(named)
    chosen = category or f"({' or '.join(named)})"
    config.data.filter = f"{config.data.filter} and {chosen}"
    # The second source of `released` has no scenes of several objects.
    config.data.source = "world"
    choose = base.choose
    config.num_steps = choose(size, smoke=4, tiny=100, released=600, small=4000, base=10_000)
    config.optimizer.peak_lr = config.optimizer.peak_lr / 2
    config.optimizer.warmup_steps = config.num_steps // 10
    return config.lock()
