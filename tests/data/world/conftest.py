"""Without the extra `[world]`, the tests that need simulator or renderer are not collected."""

import importlib.util

if not all(importlib.util.find_spec(name) for name in ("mujoco", "numba")):
    collect_ignore = ["test_camera.py", "test_generation.py", "test_render.py", "test_states.py"]
