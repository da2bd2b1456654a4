"""A real server of MLflow on loopback."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from benchmarks.serving import free_port


@contextlib.contextmanager
def mlflow_server(folder: Path, *arguments: str) -> Iterator[str]:
    """The address of a server that was started in a folder and answers."""
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--workers", "1", *arguments]
    path = folder / "server.log"
    with path.open("w") as log:
        process = subprocess.Popen(
            command, cwd=folder, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
        address = f"http://127.0.0.1:{port}"
        try:
            for _ in range(300):
                if _answers(f"{address}/health"):
                    break
                assert process.poll() is None, path.read_text()
                time.sleep(0.2)
            yield address
        finally:
            os.killpg(process.pid, 15)
            process.wait(30)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return int(answer.status) == 200
    except OSError:
        return False
