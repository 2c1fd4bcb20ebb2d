"""Runs the code blocks of the pages (README.md and those in the folders) and says which were run.

    python -m tests.pages                       all pages, at size smoke, in a scratch directory
    python -m tests.pages README.md             one page
    python -m tests.pages --list                what would be run, and what would not and why

Blocks run in the order of the page and share a directory, so a block may use the run of an earlier
one; the pages come in the order of `PAGES`. In commands and paths `tiny` becomes `smoke`, so that a
training takes seconds. A block after the comment `<!-- not run: REASON -->` is listed, not run.
"""

import argparse
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
# The chain of README.md comes first: the other pages go on from its runs.
PAGES = (
    "README.md",
    "configs/README.md",
    "seedance_jax/data/README.md",
    "seedance_jax/models/README.md",
    "seedance_jax/sampling/README.md",
    "seedance_jax/evaluation/README.md",
    "seedance_jax/performance/README.md",
    "launch/README.md",
    "tests/README.md",
    "tests/mutation/README.md",
)
LANGUAGES = ("bash", "python")
BLOCK = re.compile(
    r"(?:<!-- not run: (?P<reason>[^\n]+?) -->\n+)?^```(?P<language>\w+)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
# Programs that a dry run prints instead of running them.
PROGRAMS = ("python", "python3", "pip", "git", "bash", "seedance", "ruff", "gcloud", "kubectl")
LINKED = ("configs", "launch", "seedance_jax", "notebooks", "tests", "setup.py", "README.md")


class Block(NamedTuple):
    """A fenced block of code of a page; `reason` says why it is not run, if it is not."""

    page: str
    line: int
    language: str
    text: str
    reason: str | None

    @property
    def name(self) -> str:
        """Where it stands."""
        return f"{self.page}:{self.line}"


def read_blocks(page: str) -> list[Block]:
    """The bash and python blocks of a page, in order."""
    text = (ROOT / page).read_text()
    return [
        Block(
            page,
            text[: match.start("text")].count("\n"),
            *match.group("language", "text", "reason"),
        )
        for match in BLOCK.finditer(text)
        if match["language"] in LANGUAGES
    ]


def dry_run(block: Block) -> list[list[str]]:
    """The commands that a bash block would run, as lists of arguments, variables expanded.

    Raises subprocess.CalledProcessError if it is no bash.
    """
    subprocess.run(["bash", "-n"], input=block.text, text=True, check=True)
    show = 'printf "%q " "${FUNCNAME[0]}" "$@"; echo'
    stubs = [f"{program}() {{ {show}; }}" for program in PROGRAMS]
    stubs += [f"{name}() {{ :; }}" for name in (".", "source", "cd", "mkdir")]
    with tempfile.TemporaryDirectory() as scratch:  # for redirections
        script = "\n".join([*stubs, block.text])
        done = subprocess.run(["bash"], input=script, cwd=scratch, capture_output=True, text=True)
    return [shlex.split(line) for line in done.stdout.splitlines() if line.strip()]


def at_smoke_size(text: str) -> str:
    """A block with `tiny`, but for the released weights of that name, as `smoke`."""
    return re.sub(r"(?<!weights/)\btiny\b", "smoke", text)


def run(block: Block, folder: Path) -> str | None:
    """Runs a block in a folder; returns the end of its output if it failed."""
    program = ["bash", "-euo", "pipefail"] if block.language == "bash" else [sys.executable, "-"]
    here = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        program,
        input=at_smoke_size(block.text),
        cwd=folder,
        env=os.environ | {"PATH": here},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return "\n".join(done.stdout.splitlines()[-15:]) if done.returncode else None


def run_pages(pages: list[str]) -> Iterator[tuple[Block, str, float]]:
    """Yields (block, "ran", "failed: ..." or "not run: ...", seconds) of all blocks."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for name in LINKED:
            (folder / name).symlink_to(ROOT / name)
        for block in (block for page in pages for block in read_blocks(page)):
            start = time.perf_counter()
            failure = None if block.reason else run(block, folder)
            outcome = f"failed:\n{failure}" if failure is not None else "ran"
            outcome = f"not run: {block.reason}" if block.reason else outcome
            yield block, outcome, time.perf_counter() - start


def main() -> None:
    """Runs or lists the pages of the command line; exits 1 if a block failed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("pages", nargs="*", default=list(PAGES))
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    if unknown := sorted(set(options.pages) - set(PAGES)):
        parser.error(f"no page {unknown}; legal: {', '.join(PAGES)}")
    if options.list:
        for block in (block for page in options.pages for block in read_blocks(page)):
            print(f"{block.name:45} {f'not run: {block.reason}' if block.reason else 'run'}")
        return
    outcomes = []
    for block, outcome, seconds in run_pages(options.pages):
        outcomes.append(outcome)
        print(f"{block.name:45} {seconds:6.1f} s  {outcome}", flush=True)
    failed = sum(outcome.startswith("failed") for outcome in outcomes)
    print(f"{outcomes.count('ran')} of {len(outcomes)} blocks were run, {failed} failed")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
