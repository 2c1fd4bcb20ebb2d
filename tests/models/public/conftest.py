"""What tests of public layouts share."""

import json
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parents[2] / "golden"


@pytest.fixture(scope="module")
def golden(request):
    """The arrays, and configs, of the file GOLDEN of a module."""
    with np.load(FOLDER / request.module.GOLDEN) as arrays:
        return {
            name: json.loads(str(a)) if a.dtype.kind == "U" else a for name, a in arrays.items()
        }
