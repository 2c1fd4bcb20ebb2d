"""Commands that run one after another in a process of their own, which is started once.

Each is what `python -m seedance_jax COMMAND ...` is, but for the seconds of starting Python and of
compiling what the one before has compiled. A notebook and a folder in the place of a command are
what `python -m tests.notebook_cells` is.
"""

import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import traceback

import pytest

from tests import notebook_cells, xla

ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture(scope="session")
def command():
    """Function (*arguments) -> the CompletedProcess of a command, on one device."""
    environment = os.environ | {"XLA_FLAGS": xla.write(), "PYTHONPATH": str(ROOT)}
    environment["JAX_NUM_PROCESSES"] = "1"  # it looks for no others
    call = (sys.executable, "-m", "tests.one_process")
    pipe = subprocess.PIPE
    process = subprocess.Popen(call, cwd=ROOT, env=environment, stdin=pipe, stdout=pipe, text=True)

    def run(*arguments):
        print(json.dumps(list(map(str, arguments))), file=process.stdin, flush=True)
        return subprocess.CompletedProcess(arguments, **json.loads(process.stdout.readline()))

    yield run
    process.stdin.close()
    process.wait()


def serve():
    """Answers every line of standard input, arguments in JSON."""
    import jax

    # These, or what they import, define flags that are to stay.
    from seedance_jax.commands import cli  # noqa: F401
    from seedance_jax.data import loader  # noqa: F401
    from seedance_jax.training import checkpoint  # noqa: F401

    jax.devices()  # the flags of XLA are read, and no other compiler shall read them
    os.environ.pop("XLA_FLAGS")
    with os.fdopen(os.dup(1), "w") as replies:
        for line in sys.stdin:
            print(json.dumps(capture(json.loads(line))), file=replies, flush=True)


def capture(argv):
    """Runs a command; its exit status and all that it, and what it starts, wrote."""
    names = ("stdout", "stderr")
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(tempfile.TemporaryFile("w+")) for _ in names]
        for number, file in enumerate(files, 1):
            os.dup2(file.fileno(), number)
        status = call(argv)
        for stream, file in zip((sys.stdout, sys.stderr), files, strict=True):
            stream.flush()
            file.seek(0)
        printed = {name: file.read() for name, file in zip(names, files, strict=True)}
    return {"returncode": status, **printed}


def call(argv):
    """The exit status of `python -m seedance_jax`, or of a notebook, with these arguments."""
    from absl.testing import flagsaver

    from seedance_jax import __main__

    notebook = argv[0].endswith(".ipynb")
    sys.argv = ["seedance_jax", *argv]
    sys.modules.pop(f"seedance_jax.commands.{argv[0]}", None)
    with flagsaver.flagsaver():  # commands define flags of the same names
        try:
            notebook_cells.keep(*argv) if notebook else __main__.main()
        except SystemExit as end:
            if isinstance(end.code, str):
                print(end.code, file=sys.stderr)
                return 1
            return end.code or 0
        except Exception:
            traceback.print_exc()
            return 1
    return 0


if __name__ == "__main__":
    serve()
