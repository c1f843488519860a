"""Runs `hoist serve` (or the demo server on the fake engine) for a test, on a free loopback port."""

import contextlib
import pathlib
import socket
import subprocess
import time
import urllib.error
import urllib.request


def missing(model):
    """True, and said, when there is no such model folder: the test is then skipped."""
    if model is None or pathlib.Path(model).is_dir():
        return False
    print(f"{model}: no such folder, skipped")
    return True


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_until_healthy(url, process, seconds):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with exit code {process.returncode} before it answered")
        with contextlib.suppress(urllib.error.URLError, ConnectionError):
            if urllib.request.urlopen(url + "/health", timeout=5).status == 200:
                return
        time.sleep(0.05)
    raise RuntimeError(f"{url}/health did not answer within {seconds} s")


@contextlib.contextmanager
def serving(binary, model, *extra, seconds=60):
    """Yields the address; afterwards the server must drain and end with exit code 0."""
    port = free_port()
    if pathlib.Path(binary).name == "fake_http_server":
        command = [binary, str(port)]
    else:
        command = [binary, "serve", str(model), "--port", str(port), *extra]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until_healthy(url, process, seconds)
        yield url
        process.terminate()
        code = process.wait(timeout=40)
        if code != 0:
            raise RuntimeError(f"the server ended with exit code {code} after SIGTERM, expected 0")
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
