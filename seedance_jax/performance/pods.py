"""The training steps that `seedance_jax pods` compiles: models, clips and slices, each with a mesh.

Every group of devices along `sequence` has one clip: as few devices as hold one. On the slices
whose links are a three-dimensional torus weights are divided over half of the devices: gathered
over all of them XLA makes it an all-reduce, of twice the bytes, that nothing runs beside.
"""

import json
import subprocess
import sys
from typing import NamedTuple

from seedance_jax.performance import chips

SLICES = {  # by the name that Google sells them under
    "v5e-256": "v5e:16x16",
    "v5p-128": "v5p:4x4x4",
    "v6e-256": "v6e:16x16",
    "tpu7x-64": "tpu7x:2x4x4",
}


class Cell(NamedTuple):
    """One compile.

    Attributes:
      model: size of `configs/pretrain.py`.
      size, seconds: of the clips.
      slice: one of SLICES.
      mesh: as --mesh has it.
      batch: clips in all.
      remat: policy of the DiT.
    """

    model: str
    size: str
    seconds: int
    slice: str
    mesh: str
    batch: int
    remat: str = "full"

    @property
    def name(self):
        """Of its report, a file."""
        parts = self.model, self.size, f"{self.seconds}s", self.slice
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
# What each way to save memory costs, on one slice.
REMAT = tuple(
    Cell("7b", "480p", 5, "v5p-128", "data=2,fsdp=32", 64, remat)
    for remat in ("none", "save_attention", "offload")
)


def choose(words):
    """The cells whose name has one of the words, all without any; ValueError if one fits none."""
    cells = CELLS + REMAT
    for word in words:
        if not any(word in cell.name for cell in cells):
            raise ValueError(f"{word!r} is in the name of no cell: {[c.name for c in cells]}")
    return [cell for cell in cells if not words or any(word in cell.name for word in words)]


def report_of(cell, folder):
    """The file of a cell's report."""
    return folder / f"{cell.name}.json"


def check_readable(cells):
    """Raises ValueError if this jaxlib cannot read the programs of one of the cells."""
    for name in dict.fromkeys(cell.slice for cell in cells):
        try:
            chips.check_readable(chips.parse_topology(SLICES[name])[0])
        except ValueError as error:
            others = ",".join(other for other in SLICES if other != name)
            raise ValueError(f"{error}; --only={others} leaves {name} out") from error


def compile_cell(cell, path):
    """The report of `seedance_jax compile` of a cell, made by a process of its own, kept at `path`.

    A report that is there is read.

    Raises:
      RuntimeError: the compile failed; not if the program does not fit.
    """
    if not path.exists():
        part = path.with_suffix(".part")
        part.unlink(missing_ok=True)
        done = subprocess.run([*command(cell), f"--json={part}"], capture_output=True, text=True)
        if not part.exists():
            raise RuntimeError(f"{cell.name}: {done.stdout}{done.stderr[:2000]}")
        part.rename(path)
    return json.loads(path.read_text())


def command(cell):
    """The command line that compiles a cell."""
    return [
        *(sys.executable, "-m", "seedance_jax", "compile"),
        f"--config=configs/pretrain.py:{cell.model}",
        "--config.data.latents=true",
        "--config.accumulate=1",
        f"--config.model.remat={cell.remat}",
        f"--topology={SLICES[cell.slice]}",
        f"--mesh={cell.mesh}",
        f"--batch={cell.batch}",
        f"--size={cell.size}",
        f"--seconds={cell.seconds}",
    ]


def lines(cells, reports):
    """A Markdown table of reports."""
    yield "| model, clip | slice | mesh | clips | memory of a device | step at best | MFU at most |"
    yield "|---|---|---|---|---|---|---|"
    for cell, report in zip(cells, reports, strict=True):
        yield line(cell, report)


def line(cell, report):
    """A row of the table."""
    what = f"`{cell.model}`, {cell.size} {cell.seconds} s"
    what += f", remat={cell.remat}" * (cell.remat != "full")
    memory = report["memory"]
    used = f"{memory['peak'] / 2**30:.1f} of {memory['limit'] / 2**30:.0f} GiB"
    if memory.get("on_host"):
        used += f", {memory['on_host'] / 2**30:.1f} GiB on the host"
    parts = [what, cell.slice, cell.mesh.replace(",", ", "), str(cell.batch)]
    if not memory["fits"]:
        return "| " + " | ".join([*parts, f"{used}: does not fit", "", ""]) + " |"
    bound = f"{max(report['bounds'].values()):.2f} s, {report['binds']}"
    return "| " + " | ".join([*parts, used, bound, f"{100 * report['mfu_at_most']:.0f} %"]) + " |"
