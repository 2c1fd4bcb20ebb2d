"""Without the extra `[world]`, the tests that need simulator or renderer are not collected."""

import importlib.util

if not all(importlib.util.find_spec(name) for name in ("mujoco", "numba")):
    names = ("camera", "corruptions", "episodes", "events", "flaws", "generation", "paths")
    collect_ignore = [f"test_{name}.py" for name in (*names, "render", "seeds", "states")]
