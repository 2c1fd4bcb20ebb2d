"""What commands share: errors of one line, the cache of compiled programs, and processes."""

import fnmatch
import functools
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import ModuleType

import jax
from absl import app, flags, logging
from ml_collections import ConfigDict

from seedance_jax.commands import flag_errors
from seedance_jax.data.file_names import at_home, printable
from seedance_jax.training import cluster, compiling, places, run_directory, startup
from seedance_jax.training.finiteness import NonFiniteError

# Flags and fields of configs that may be in a bucket, besides those that their command says are.
BUCKETS = {
    *("data.*.path", "data.data_dir", "data_dir", "init_from", "lineage", "lora", "lora.base_run"),
    *("runs", "vae_run", "workdir"),
}


class _PathParser(flags.ArgumentParser):
    def parse(self, argument: str) -> str:
        return at_home(argument)


class _PathsParser(flags.ListParser):
    def parse(self, argument: str | list[str]) -> list[str]:
        return [at_home(path) for path in super().parse(argument)]


def define_path(
    name: str, default: str | None, help: str, required: bool = False, buckets: bool = False
) -> flags.FlagHolder:
    """A flag of a file or a directory; ~ is the home directory, which shells leave behind a =.

    buckets: whether it may be gs://bucket/path.
    """
    if buckets:
        BUCKETS.add(name)
    serializer = flags.ArgumentSerializer()
    return flags.DEFINE(
        _PathParser(), name, default, help, serializer=serializer, required=required
    )


def define_paths(name: str, default: Sequence[str], help: str) -> flags.FlagHolder:
    """A flag of several files, with commas between them, as `define_path`."""
    return flags.DEFINE(_PathsParser(), name, default, help, serializer=flags.ListSerializer(","))


define_path(
    "compilation_cache",
    None,
    "Compiled programs are kept here; '' is off. Default: JAX_COMPILATION_CACHE_DIR, or else "
    "~/.cache/seedance_jax; of several processes that train, WORKDIR/compiled.",
    buckets=True,
)
flags.DEFINE_bool("traceback", False, "Show the traceback of an error, not only its message.")
flags.DEFINE_string(
    "coordinator",
    os.environ.get("JAX_COORDINATOR_ADDRESS"),
    "host:port of process 0, if there are several; TPU pods, GKE and SLURM are found without.",
)
flags.DEFINE_integer(
    "num_processes",
    os.environ.get("JAX_NUM_PROCESSES"),
    "How many there are; 1 never looks for others.",
    1,
)
flags.DEFINE_integer(
    "process_id", os.environ.get("JAX_PROCESS_ID"), "Which of them this is: 0, 1, ...", 0
)
flags.DEFINE_integer("connect_timeout", 300, "Seconds to wait for the other processes.", 1)
flags.DEFINE_integer("heartbeat", 60, "Seconds without life after which a process is dead.", 5)

flags.disclaim_key_flags()  # what `define_path` defines from here on is of its caller

# Mistakes of the user's, or of the machine: the message says all.
EXPECTED = (ValueError, OSError, ImportError, MemoryError, NonFiniteError)
INSTEAD = ("--lineage",)  # flags in the place of --config
# Flags and fields of places that are written by Orbax and TFDS, for which names are UTF-8.
STORES = ("data_dir", "init_from", "lora", "vae_run", "workdir")
# Modules that come with an extra, and its name.
PARITY = ("diffusers", "lpips", "torch", "torchvision", "transformers")
EXTRAS = dict.fromkeys(PARITY, "parity") | dict.fromkeys(("starlette", "uvicorn"), "vote")
# Modules whose errors are those of buckets.
BUCKET_MODULES = ("aiohttp", "gcsfs", "google", "requests")
QUOTING = 'flags begin with --, and text with spaces is quoted, as in --prompt="a red ball rolls"'


def run(
    command: ModuleType, arguments: Sequence[str], many: bool = False, operands: bool = False
) -> None:
    """Parses the flags and runs the `main(argv)` of a command.

    Args:
      command: its module, whose docstring --help shows.
      arguments: what follows its name on the command line.
      many: whether it makes sense as one of several processes.
      operands: whether it takes arguments that are no flags; see `parse_flags`.
    """
    # absl shows the docstring of __main__, and the flags of the module that argv[0] names.
    sys.modules["__main__"].__doc__ = command.__doc__
    sys.argv = [command.__name__, *arguments]
    sys.stdout.reconfigure(errors="backslashreplace")  # names of files may be no text
    parser = functools.partial(parse_flags, operands=operands)
    app.run(one_line_errors(command.main, many), argv=sys.argv, flags_parser=parser)


def parse_flags(argv: list[str], operands: bool = False) -> list[str]:
    """Parses the command line, whose errors end in one line; returns what main gets.

    A --config is required where there is one and none of INSTEAD is given, a --config.field that
    does not exist ends with the legal ones, and arguments that are no flags are refused, unless the
    command takes `operands`, which then follow its name.
    """
    instead = any(part.startswith(INSTEAD) for part in argv)
    if "config" in flags.FLAGS and flags.FLAGS["config"].default is None and not instead:
        flags.mark_flag_as_required("config")
    if operands:
        flags.FLAGS.set_gnu_getopt()  # flags may follow them
    argv = flag_errors.expand_configs(argv)
    flag_errors.check_files(argv[1:])
    try:
        found = flags.FLAGS(argv)[1:]
    except flags.Error as error:
        if "--traceback" in argv:
            raise
        sys.exit(f"error: {flag_errors.explain(error)}")
    except (AttributeError, KeyError):
        flag_errors.check_fields(argv[1:])
        raise
    except SystemExit:
        if any(part.startswith(("--help", "-help", "-?")) for part in argv):
            sys.exit(0)  # what was asked for has been shown, which is no failure
        raise
    if found and not operands:
        sys.exit(f"error: {' '.join(found)!r} belongs to no flag; {QUOTING}")
    return [*argv[:1], *map(at_home, found)]


def needs(uses: Mapping[str, Iterable[str]], mode: str | None = None) -> None:
    """Refuses a flag that was given but would do nothing.

    Args:
      uses: the flags that have a use where a condition holds, by condition: `--lora` (it has a
        value), `--rewriter=lm` (it has this one) or, with `mode`, any words. A flag that stands
        under several needs one of them; flags that stand under none always have a use.
      mode: the only condition that holds; without it, those that the flags fulfil.

    Raises:
      ValueError: with the flag as it was given, and what it needs.
    """
    holds = [condition for condition in uses if (condition == mode if mode else given(condition))]
    useful = {name for condition in holds for name in uses[condition]}
    for name in dict.fromkeys(name for names in uses.values() for name in names):
        flag = flags.FLAGS[name]
        if flag.present and name not in useful:
            needed = " or ".join(condition for condition in uses if name in uses[condition])
            raise ValueError(f"{flag.serialize()} does nothing without {needed}")


def given(condition: str) -> bool:
    """Whether the flag of `--name` has a value, or that of `--name=value` has this one."""
    name, equals, value = condition.removeprefix("--").partition("=")
    found = flags.FLAGS[name].value
    return str(found) == value if equals else bool(found)


def expand_places(config: ConfigDict) -> None:
    """Writes out ~, the home directory, at the start of the fields of a config."""
    for name, value in config.items():
        if isinstance(value, ConfigDict):
            expand_places(value)
        elif isinstance(value, str):
            config[name] = at_home(value)
        elif isinstance(value, list | tuple) and all(isinstance(part, str) for part in value):
            config[name] = type(value)(map(at_home, value))


def check_places() -> None:
    """Raises ValueError if a flag, or a field of a config, is a place that no reader reaches.

    Fields of configs that begin with ~ are paths from the root from then on.
    """
    for name, value in flags.FLAGS.flag_values_dict().items():
        if isinstance(value, ConfigDict):
            expand_places(value)
        fields = value.to_dict() if isinstance(value, ConfigDict) else value
        flat = run_directory.flatten({name: fields})
        for field, part in flat.items():
            for place in part if isinstance(part, list | tuple) else [part]:
                if isinstance(place, str):
                    own = field.removeprefix("config.")
                    known = any(fnmatch.fnmatchcase(own, pattern) for pattern in BUCKETS)
                    places.check_place(f"--{field}", place, known)
                    if field.rpartition(".")[2] in STORES and printable(place) != place:
                        raise ValueError(f"--{field}={printable(place)} must be UTF-8 text")


def join_processes(many: bool) -> None:
    """Meets the other processes, all but the first of which print nothing from then on.

    Raises:
      ValueError: several, of a command that cannot be `many`.
    """
    given = [flags.FLAGS[name].value for name in ("coordinator", "num_processes", "process_id")]
    if many:
        timeouts = {name: flags.FLAGS[name].value for name in ("connect_timeout", "heartbeat")}
        cluster.join(*given, **timeouts)
        if cluster.joined() and not cluster.is_main():
            sys.stdout = open(os.devnull, "w")  # one process speaks
    elif (given[1] or 1) > 1:
        raise ValueError(f"this runs in one process, not in num_processes={given[1]}")


def one_line_errors(
    main: Callable[[list[str]], None], many: bool = False
) -> Callable[[list[str]], None]:
    """Wraps main: sets up cache and processes, and ends expected errors with their message."""

    @functools.wraps(main)
    def wrapped(argv):
        if not flags.FLAGS["verbosity"].present:
            logging.set_verbosity(logging.WARNING)  # Orbax and TFDS narrate at INFO
        startup.begin(of_process=True)
        startup.mark("imports")
        try:
            check_places()
            join_processes(many)
            startup.mark("cluster")
            compiling.use(flags.FLAGS.compilation_cache)
            main(argv)
        except Exception as error:
            expected = is_expected(error) and not flags.FLAGS.traceback
            if cluster.joined():  # an ordinary exit would wait for the others
                if not expected:
                    traceback.print_exc()
                cluster.end(cluster.explain(explain(error)))
            if not expected:
                raise
            sys.exit(f"error: {explain(error)}")

    return wrapped


def is_expected(error: Exception) -> bool:
    """Whether the message of an error says all, so that nobody needs its traceback."""
    return isinstance(error, EXPECTED) or out_of_memory(error) or of_bucket(error)


def of_bucket(error: Exception) -> bool:
    """Whether the storage of buckets refuses, or cannot be reached."""
    return type(error).__module__.partition(".")[0] in BUCKET_MODULES


def out_of_memory(error: Exception) -> bool:
    """Whether the host, or a device, has no memory left."""
    full = isinstance(error, jax.errors.JaxRuntimeError) and "RESOURCE_EXHAUSTED" in str(error)
    return full or isinstance(error, MemoryError)


def explain(error: Exception) -> str:
    """The message of an expected error, and what helps."""
    extra = isinstance(error, ImportError) and EXTRAS.get((error.name or "").split(".")[0])
    if extra:
        return f'{error.name} is not installed; it comes with pip install -e ".[{extra}]"'
    if isinstance(error, UnicodeEncodeError):
        return f"{printable(error.object)!r} is not {error.encoding} text; give it another name"
    if of_bucket(error):
        said = f"{type(error).__name__}: {error}".splitlines()[0]
        return f"a bucket cannot be read or written: {said}; what was saved is safe, start again"
    if out_of_memory(error):
        return f"out of memory: {(str(error).splitlines() or ['none is left'])[0]}"
    # Messages of the data leave open by which config a command was called.
    return str(error).replace(
        "--config=...", flag_errors.config_arguments(sys.argv) or "--config=..."
    )
