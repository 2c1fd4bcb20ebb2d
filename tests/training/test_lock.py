import os
import time

import pytest

from seedance_jax.training import lock, places

BEAT = 0.2


def test_a_directory_has_one_run_and_the_second_names_the_first(tmp_path):
    first = lock.Lock(tmp_path / "run")
    with pytest.raises(ValueError, match=f"is in use by process {os.getpid()} on .* since 20"):
        lock.Lock(tmp_path / "run")
    first(1, None, None)
    first.close()
    lock.Lock(tmp_path / "run").close()


def test_a_bucket_has_one_run_and_the_second_names_the_first(bucket):
    first = lock.Lock(bucket, BEAT)
    with pytest.raises(ValueError, match=f"{bucket} is in use by process {os.getpid()} on .* 20"):
        lock.Lock(bucket, 2 * BEAT)
    first(1, None, None)
    first.close()
    start = time.monotonic()
    lock.Lock(bucket, 60).close()  # nobody waits for one that is done
    assert time.monotonic() - start < 30


def test_a_lock_of_a_bucket_whose_holder_is_gone_is_taken_and_the_holder_finds_out(bucket):
    first = lock.Lock(bucket, BEAT)

    def fail(*args, **more):
        raise OSError("unreachable")

    first._content = fail
    second = lock.Lock(bucket, 2 * BEAT)
    held = places.place(bucket) / lock.FOLDER
    assert [path.name for path in held.iterdir()] == ["00000002.json"]
    first._close()  # its thread has ended by itself
    with pytest.raises(ValueError, match=f"{bucket} is in use by process .* this one ends"):
        first(1, None, None)
    second(1, None, None)
    second.close()
