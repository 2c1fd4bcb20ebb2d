"""What the entry points share: errors of one line, and the cache of compiled programs."""

import functools
import itertools
import runpy
import sys
from pathlib import Path

import jax
from absl import app, flags, logging

from seedance_jax.training.hooks import NonFiniteError

flags.DEFINE_string(
    "compilation_cache",
    None,
    "Compiled programs are kept here; '' is off. Default: JAX_COMPILATION_CACHE_DIR, or else "
    "~/.cache/seedance_jax.",
)
flags.DEFINE_bool("traceback", False, "Show the traceback of an error, not only its message.")

# Mistakes of the user's, or of the machine: the message says all.
EXPECTED = (ValueError, OSError, NonFiniteError)


def run(main):
    """Parses the flags and runs main(argv), the way every entry point ends."""
    app.run(one_line_errors(main), flags_parser=parse_flags)


def parse_flags(argv):
    """Parses the command line: a --config is required where there is one, and a --config.field that
    does not exist ends with the legal ones."""
    if "config" in flags.FLAGS and flags.FLAGS["config"].default is None:
        flags.mark_flag_as_required("config")
    try:
        return app.parse_flags_with_usage(argv)
    except (AttributeError, KeyError):
        # Both "--config=file" and "--config file" are legal.
        words = [word for argument in argv[1:] for word in argument.split("=", 1)]
        settings = dict(itertools.pairwise(words))
        path, _, size = settings["--config"].partition(":")
        config = runpy.run_path(path)["get_config"](*[size] if size else [])
        for name in settings:
            if name.startswith("--config."):
                check_field(config, name[len("--config.") :])
        raise


def check_field(config, name):
    """Exits with a message if the config has no field of this dotted name."""
    parts = name.split(".")
    for i, part in enumerate(parts):
        if not hasattr(config, "keys") or part not in config:
            where = ".".join(["config", *parts[:i]])
            legal = sorted(config) if hasattr(config, "keys") else "none"
            sys.exit(f"error: --config.{name}: {where} has no field {part!r}; legal: {legal}")
        config = config[part]


def one_line_errors(main):
    """Wraps main: sets up the cache, and ends expected errors with their message."""

    @functools.wraps(main)
    def wrapped(argv):
        if not flags.FLAGS["verbosity"].present:
            logging.set_verbosity(logging.WARNING)  # Orbax and TFDS narrate at INFO
        path = flags.FLAGS.compilation_cache
        if path is None:
            path = jax.config.jax_compilation_cache_dir or "~/.cache/seedance_jax"
        path = str(Path(path).expanduser()) if path else None
        jax.config.update("jax_compilation_cache_dir", path)
        try:
            main(argv)
        except EXPECTED as error:
            if flags.FLAGS.traceback:
                raise
            sys.exit(f"error: {error}")

    return wrapped
