"""Wrong flags, and flags of config files, each said in one line before anything is done."""

import difflib
import itertools
import re
import runpy
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from absl import flags
from ml_collections import ConfigDict

from seedance_jax.data.file_names import at_home
from seedance_jax.data.rows import did_you_mean

CONFIGS = Path("configs")
NO_STAGES = ("__init__", "base")


def config_names() -> list[str]:
    """The flags that take a config file."""
    return [name for name in flags.FLAGS if flags.FLAGS[name].flag_type() == "config object"]


def settings_of(arguments: Sequence[str]) -> dict[str, str]:
    """{--flag: value} of arguments; both "--config=file" and "--config file" are legal."""
    parts = [part for argument in arguments for part in argument.split("=", 1)]
    return dict(itertools.pairwise(parts))


def expand_configs(arguments: Sequence[str]) -> list[str]:
    """The arguments with --config=~/file.py, of any config file, as a path from the root."""
    starts = tuple(f"--{name}=~" for name in config_names())
    cut = [
        argument.partition("=") if argument.startswith(starts) else (argument, "", "")
        for argument in arguments
    ]
    return [name + equals + at_home(path) for name, equals, path in cut]


def config_arguments(arguments: Sequence[str]) -> str:
    """The arguments that say the config of a command, for a shell; "" if there are none."""
    return shlex.join(part for part in arguments if part.startswith(("--config=", "--config.")))


def check_files(arguments: Sequence[str]) -> None:
    """Exits with a message if a config file that a flag names is not there."""
    settings = settings_of(arguments)
    for name in config_names():
        value = settings.get(f"--{name}")
        if value is None or Path(value.partition(":")[0]).is_file():
            continue
        there = {one.stem: str(one) for one in sorted(CONFIGS.glob("*.py"))}
        there = {stem: one for stem, one in there.items() if stem not in NO_STAGES}
        near = difflib.get_close_matches(Path(value.partition(":")[0]).stem, there, n=1)
        hint = f"did you mean {there[near[0]]}? " if near else ""
        legal = ", ".join(there.values()) or f"none, for there is no {CONFIGS}/ here"
        sys.exit(f"error: --{name}={value}: there is no such file; {hint}configs: {legal}")


def explain(error: flags.Error) -> str:
    """The message of an illegal flag in one line; of a config that cannot be made, the reason."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if missing := re.fullmatch(
        r"flag --(\w+)=None: .* must have a value other than None.", lines[0]
    ):
        return f"--{missing[1]} is missing (--helpshort shows the flags)"
    if len(lines) == 1:
        return f"{lines[0]} (--helpshort shows the flags)"
    return f"{lines[0].partition(': Error')[0]}: {lines[-1].removeprefix('ValueError: ')}"


def check_fields(arguments: Sequence[str]) -> None:
    """Exits with a message if one, --FLAG.field, is of no field of the config file of --FLAG."""
    settings = settings_of(arguments)
    for name in settings:
        flag, _, field = name.removeprefix("--").partition(".")
        if field and flag in flags.FLAGS and f"--{flag}" in settings:
            path, _, size = settings[f"--{flag}"].partition(":")
            config = runpy.run_path(path)["get_config"](*[size] if size else [])
            check_field(config, flag, field)


def check_field(config: ConfigDict, flag: str, name: str) -> None:
    """Exits with a message if the config of a flag has no field of this dotted name."""
    parts = name.split(".")
    for i, part in enumerate(parts):
        if not hasattr(config, "keys") or part not in config:
            where = ".".join([flag, *parts[:i]])
            legal = sorted(config) if hasattr(config, "keys") else []
            text = f"{did_you_mean(part, legal)}legal: {', '.join(legal) or 'none'}"
            sys.exit(f"error: --{flag}.{name}: {where} has no field {part!r}; {text}")
        config = config[part]
