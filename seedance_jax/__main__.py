"""The command line: `python -m seedance_jax COMMAND ...`, or `seedance COMMAND ...`."""

import difflib
import gc
import importlib
import os
import sys
from typing import NamedTuple


class Command(NamedTuple):
    """A module of `seedance_jax.commands`.

    Attributes:
      group: where --help lists it.
      summary: one line.
      many: whether it makes sense as one of several processes.
      operands: whether it takes arguments that are no flags.
    """

    group: str
    summary: str
    many: bool = False
    operands: bool = False


COMMANDS = {
    "build_data": Command("make data", "Build the data set that a config names."),
    "build_pairs": Command("make data", "Build the pairs of clips that rewards are trained on."),
    "inspect_data": Command("make data", "Show what a config trains on."),
    "score": Command("make data", "Score clips, and show what a filter drops."),
    "review": Command("make data", "Serve a page where people keep, drop and relabel clips."),
    "encode": Command("make data", "Precompute latents and text tokens for a config."),
    "train": Command("train", "Train one stage.", many=True),
    "status": Command("train", "Say how a run goes on, from anywhere.", operands=True),
    "merge": Command("train", "Merge adapters into the weights they were trained on."),
    "train_features": Command("train", "Train the feature network of fvd_world and kvd_world."),
    "sample": Command("sample", "Generate clips from prompts, images and clips.", many=True),
    "evaluate": Command(
        "judge", "Judge a finished run on clips it has not seen.", many=True, operands=True
    ),
    "measure": Command("judge", "Compute public metrics of clips against a reference."),
    "vote": Command("judge", "Serve a page where people compare clips, blind.", operands=True),
    "calibrate": Command("judge", "Set the judges' thresholds and test them."),
    "describe": Command("look inside", "Print parameters, FLOPs and memory of a config."),
    "compile": Command("look inside", "Compile a config's programs for TPUs that need not exist."),
    "pods": Command("look inside", "Compile the table of training steps on TPU pods."),
    "benchmark": Command("look inside", "Time models and the input pipeline on this machine."),
    "release": Command("convert", "Turn a finished generator into a small release."),
    "convert": Command("convert", "Import and export Wan 2.2 autoencoder weights."),
}
HELP = ("--help", "-h", "help")
USAGE = "usage: python -m seedance_jax COMMAND [--flag=value ...]"


def format_help() -> str:
    """The commands by group, one a line."""
    lines, width = [USAGE], max(map(len, COMMANDS))
    for group in dict.fromkeys(command.group for command in COMMANDS.values()):
        lines += ["", f"{group}:"]
        lines += [
            f"  {name:{width}}  {command.summary}"
            for name, command in COMMANDS.items()
            if command.group == group
        ]
    return "\n".join([*lines, "", "python -m seedance_jax COMMAND --help shows the flags."])


def find_command(argv: list[str]) -> str:
    """The command of `argv` (program name first); exits where there is none to run."""
    if len(argv) < 2 or argv[1] in HELP:
        print(format_help())
        sys.exit(0 if len(argv) > 1 else 2)
    name = argv[1]
    if name not in COMMANDS:
        near = difflib.get_close_matches(name.replace("-", "_"), COMMANDS, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}? " if near else ""
        sys.exit(f"error: no command {name!r}; {hint}legal commands: {', '.join(COMMANDS)}")
    return name


def main() -> None:
    """Runs the command that the command line names."""
    name = find_command(sys.argv)
    if os.getcwd() not in sys.path:  # a console script, unlike python -m, does not see configs/
        sys.path.insert(0, os.getcwd())
    gc.disable()  # modules stay: looking through them again and again takes a tenth of the time
    module = importlib.import_module(f"seedance_jax.commands.{name}")
    from seedance_jax.commands import cli  # after the command is known: this imports jax

    gc.freeze()
    gc.enable()
    cli.run(module, sys.argv[2:], many=COMMANDS[name].many, operands=COMMANDS[name].operands)


if __name__ == "__main__":
    main()
