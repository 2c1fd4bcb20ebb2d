"""What the entry points share: errors of one line, and the cache of compiled programs."""

import functools
import sys
from pathlib import Path

import jax
from absl import flags, logging

from seedance_jax.training.hooks import NonFiniteError

flags.DEFINE_string(
    "compilation_cache", "~/.cache/seedance_jax", "Compiled programs are kept here; '' is off."
)
flags.DEFINE_bool("traceback", False, "Show the traceback of an error, not only its message.")

# Mistakes of the user's, or of the machine: the message says all.
EXPECTED = (ValueError, OSError, NonFiniteError)


def one_line_errors(main):
    """Wraps an entry point: sets up the cache, and ends expected errors with their message."""

    @functools.wraps(main)
    def wrapped(argv):
        if not flags.FLAGS["verbosity"].present:
            logging.set_verbosity(logging.WARNING)  # Orbax and TFDS narrate at INFO
        if flags.FLAGS.compilation_cache:
            path = str(Path(flags.FLAGS.compilation_cache).expanduser())
            jax.config.update("jax_compilation_cache_dir", path)
        try:
            main(argv)
        except EXPECTED as error:
            if flags.FLAGS.traceback:
                raise
            sys.exit(f"error: {error}")

    return wrapped
