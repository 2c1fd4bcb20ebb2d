"""Several real processes on this machine, joined over loopback."""

import socket


def place(count):
    """The flags that all of `count` processes have in common."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return f"--coordinator=127.0.0.1:{port}", f"--num_processes={count}"


def finish(processes, patience):
    """(exit status, standard output, standard error) of each; none is left behind."""
    try:
        texts = [process.communicate(timeout=patience) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [(process.returncode, *text) for process, text in zip(processes, texts, strict=True)]
