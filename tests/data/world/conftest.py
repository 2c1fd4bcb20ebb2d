"""Without the extra `[world]`, the tests that need simulator or renderer are not collected."""

import importlib.util

if not all(importlib.util.find_spec(name) for name in ("mujoco", "numba")):
    names = ("camera", "episodes", "events", "flaws", "generation", "kinds", "paths", "render")
    collect_ignore = [f"test_{name}.py" for name in (*names, "seeds", "states", "wrong_clips")]
