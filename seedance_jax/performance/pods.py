"""The training steps that `seedance_jax pods` compiles: models, clips and TPU slices with meshes.

The devices along `sequence` share one clip; there are as few of them as memory allows. On slices
whose links form a 3D torus the parameters are sharded over half of the devices only: over all of
them XLA replaces the all-gather by an all-reduce of twice the bytes that overlaps with nothing.
"""

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from seedance_jax.performance import chips

SLICES = {  # {name of the slice in Google Cloud: topology}
    "v5e-256": "v5e:16x16",
    "v5p-128": "v5p:4x4x4",
    "v6e-256": "v6e:16x16",
    "tpu7x-64": "tpu7x:2x4x4",
}


class Cell(NamedTuple):
    """One training step to compile.

    Attributes:
      model: size of `configs/pretrain.py`.
      size, seconds: of the clips.
      slice: one of SLICES.
      mesh: value of the flag --mesh.
      batch: clips per step, over all devices.
      remat: policy of the DiT.
      slices: of that kind, with `data` over the network between them.
    """

    model: str
    size: str
    seconds: int
    slice: str
    mesh: str
    batch: int
    remat: str = "full"
    slices: int = 1

    @property
    def place(self) -> str:
        """Its slice, or how many of them: 2xv5p-128."""
        return f"{self.slices}x{self.slice}" if self.slices > 1 else self.slice

    @property
    def name(self) -> str:
        """Stem of the file of its report."""
        parts = self.model, self.size, f"{self.seconds}s", self.place
        return "_".join(parts if self.remat == "full" else (*parts, self.remat))


CELLS = (
    Cell("base", "480p", 5, "v5e-256", "fsdp=128,sequence=2", 128),
    Cell("base", "480p", 5, "v5p-128", "data=2,fsdp=32", 64),
    Cell("base", "480p", 5, "v6e-256", "data=2,fsdp=128", 256),
    Cell("base", "480p", 5, "tpu7x-64", "data=2,fsdp=32", 64),
    Cell("base", "480p", 12, "v5e-256", "fsdp=64,sequence=4", 64),
    Cell("base", "480p", 12, "v5p-128", "data=2,fsdp=32", 64),
    Cell("base", "480p", 12, "v6e-256", "fsdp=128,sequence=2", 128),
    Cell("base", "480p", 12, "tpu7x-64", "data=2,fsdp=32", 64),
    Cell("base", "1080p", 5, "v5e-256", "fsdp=32,sequence=8", 32),
    Cell("base", "1080p", 5, "v5p-128", "data=2,fsdp=16,sequence=2", 32),
    Cell("base", "1080p", 5, "v6e-256", "fsdp=64,sequence=4", 64),
    Cell("base", "1080p", 5, "tpu7x-64", "data=2,fsdp=16,sequence=2", 32),
    Cell("7b", "480p", 5, "v5e-256", "fsdp=64,sequence=4", 64),
    Cell("7b", "480p", 5, "v5p-128", "data=2,fsdp=32", 64),
    Cell("7b", "480p", 5, "v6e-256", "fsdp=128,sequence=2", 128),
    Cell("7b", "480p", 5, "tpu7x-64", "data=2,fsdp=32", 64),
    Cell("7b", "480p", 12, "v5e-256", "fsdp=32,sequence=8", 32),
    Cell("7b", "480p", 12, "v5p-128", "data=2,fsdp=16,sequence=2", 32),
    Cell("7b", "480p", 12, "v6e-256", "fsdp=64,sequence=4", 64),
    Cell("7b", "480p", 12, "tpu7x-64", "data=2,fsdp=16,sequence=2", 32),
    Cell("7b", "1080p", 5, "v5e-256", "fsdp=16,sequence=16", 16),
    Cell("7b", "1080p", 5, "v5p-128", "data=2,fsdp=8,sequence=4", 16),
    Cell("7b", "1080p", 5, "v6e-256", "fsdp=32,sequence=8", 32),
    Cell("7b", "1080p", 5, "tpu7x-64", "data=2,fsdp=8,sequence=4", 16),
)
# Several slices: each has clips of its own, and all add up their gradients.
SEVERAL = (
    Cell("7b", "480p", 5, "v5e-256", "data=2,fsdp=64,sequence=4", 128, slices=2),
    Cell("7b", "480p", 5, "v5e-256", "data=4,fsdp=64,sequence=4", 256, slices=4),
    Cell("7b", "480p", 5, "v5p-128", "data=4,fsdp=32", 128, slices=2),
    Cell("7b", "480p", 5, "v5p-128", "data=8,fsdp=32", 256, slices=4),
)
# The other remat policies, on one slice.
REMAT = tuple(
    Cell("7b", "480p", 5, "v5p-128", "data=2,fsdp=32", 64, remat)
    for remat in ("none", "save_attention", "offload")
)
ALL = CELLS + SEVERAL + REMAT


def choose(parts: Sequence[str]) -> list[Cell]:
    """The cells whose names contain one of `parts`; all cells if `parts` is empty.

    Raises:
      ValueError: one of the parts is in no name.
    """
    for part in parts:
        if not any(part in cell.name for cell in ALL):
            raise ValueError(f"{part!r} is in the name of no cell: {[c.name for c in ALL]}")
    return [cell for cell in ALL if not parts or any(part in cell.name for part in parts)]


def report_of(cell: Cell, folder: Path) -> Path:
    """The file of a cell's report."""
    return folder / f"{cell.name}.json"


def check_readable(cells: Iterable[Cell]) -> None:
    """Raises ValueError if this jaxlib cannot parse the programs of one of the cells."""
    for name in dict.fromkeys(cell.slice for cell in cells):
        try:
            chips.check_readable(chips.parse_topology(SLICES[name])[0])
        except ValueError as error:
            others = ",".join(other for other in SLICES if other != name)
            raise ValueError(f"{error}; --only={others} leaves {name} out") from error


def compile_cell(cell: Cell, path: Path) -> dict[str, Any]:
    """The report of `seedance_jax compile` for a cell, read from `path` if it exists.

    Otherwise it is compiled in a subprocess and written there.

    Raises:
      RuntimeError: the compile failed for another reason than memory.
    """
    if not path.exists():
        part = path.with_suffix(".part")
        part.unlink(missing_ok=True)
        done = subprocess.run([*command(cell), f"--json={part}"], capture_output=True, text=True)
        if not part.exists():
            raise RuntimeError(f"{cell.name}: {done.stdout}{done.stderr[:2000]}")
        part.rename(path)
    return json.loads(path.read_text())


def command(cell: Cell) -> list[str]:
    """The command line that compiles a cell."""
    return [
        *(sys.executable, "-m", "seedance_jax", "compile"),
        f"--config=configs/pretrain.py:{cell.model}",
        "--config.data.latents=true",
        "--config.accumulate=1",
        f"--config.model.remat={cell.remat}",
        f"--topology={SLICES[cell.slice]}",
        f"--slices={cell.slices}",
        f"--mesh={cell.mesh}",
        f"--batch={cell.batch}",
        f"--size={cell.size}",
        f"--seconds={cell.seconds}",
    ]


def lines(cells: Iterable[Cell], reports: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """A Markdown table of reports."""
    yield "| model, clip | slice | mesh | clips | memory of a device | step at best | MFU at most |"
    yield "|---|---|---|---|---|---|---|"
    for cell, report in zip(cells, reports, strict=True):
        yield line(cell, report)


def line(cell: Cell, report: Mapping[str, Any]) -> str:
    """A row of the table."""
    what = f"`{cell.model}`, {cell.size} {cell.seconds} s"
    what += f", remat={cell.remat}" * (cell.remat != "full")
    memory = report["memory"]
    used = f"{memory['peak'] / 2**30:.1f} of {memory['limit'] / 2**30:.0f} GiB"
    if memory.get("on_host"):
        used += f", {memory['on_host'] / 2**30:.1f} GiB on the host"
    parts = [what, cell.place, cell.mesh.replace(",", ", "), str(cell.batch)]
    if not memory["fits"]:
        return "| " + " | ".join([*parts, f"{used}: does not fit", "", ""]) + " |"
    bound = f"{max(report['bounds'].values()):.2f} s, {report['binds']}"
    if "network" in report:
        bound += f"; network {report['bounds']['network']:.2f} s"
    return "| " + " | ".join([*parts, used, bound, f"{100 * report['mfu_at_most']:.0f} %"]) + " |"
