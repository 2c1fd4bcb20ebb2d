"""Gathers the reports in a folder of `python -m seedance_jax pods --out=FOLDER` in `pods.json`.

python tests/golden/make_pods.py FOLDER
"""

import json
import sys
from pathlib import Path

from seedance_jax.performance import pods

KEPT = ("slices", "network", "memory", "collectives", "flops", "bounds", "binds", "mfu_at_most")

folder = Path(sys.argv[1])
found = {}
for cell in pods.ALL:
    path = folder / f"{cell.name}.json"
    if path.exists():
        report = json.loads(path.read_text())
        found[cell.name] = {key: report[key] for key in KEPT if key in report}
rows = (f'"{name}": {json.dumps(report)}' for name, report in found.items())
Path(__file__).with_name("pods.json").write_text("{\n" + ",\n".join(rows) + "\n}\n")
