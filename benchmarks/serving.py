"""How fast a served model answers: a real server on loopback, a bounded load, four clients.

    python benchmarks/serving.py <folder of audio> [requests] [model uri]

It prints the time until the server is ready, the latency of requests with one 30 s clip each (as
base64) beside the time of the clip's features alone, and how many requests failed. The client is
the standard library's.
"""

from __future__ import annotations

import base64
import json
import os
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from genre_vae.collection import audio
from genre_vae.collection.listing import listing
from genre_vae.features import spectral

CLIENTS = 4
READY_WITHIN = 120.0  # s


def free_port() -> int:
    import socket

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
    return port


def start(model: str, port: int, **environment: str) -> tuple[subprocess.Popen[bytes], float]:
    """The server, and how long it took until it answered /ping (s)."""
    mlflow = str(Path(sys.executable).with_name("mlflow"))
    command = [mlflow, "models", "serve", "-m", model, "-p", str(port), "-h", "127.0.0.1"]
    command += ["--env-manager", "local"]
    environment = {
        **os.environ,
        **environment,
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    begun = time.monotonic()
    server = subprocess.Popen(command, env=environment, start_new_session=True)
    while time.monotonic() - begun < READY_WITHIN:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=1).close()
        except OSError:
            if server.poll() is not None:
                raise SystemExit(f"the server ended with code {server.returncode}") from None
            time.sleep(0.2)
        else:
            return server, time.monotonic() - begun
    stop(server)
    raise SystemExit(f"the server was not ready within {READY_WITHIN:.0f} s")


def stop(server: subprocess.Popen[bytes]) -> None:
    """End the server and what it has started: its own process group."""
    import signal

    os.killpg(server.pid, signal.SIGTERM)
    server.wait(timeout=20)


def ask(port: int, items: list[str], **params: object) -> tuple[int, str]:
    """Status and body of one request."""
    body = json.dumps({"inputs": items, **({"params": params} if params else {})}).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/invocations", body, {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def main(folder: Path, requests: int, model: str) -> None:
    paths = listing(folder).tracks[: CLIENTS * 5]
    uris = [
        "data:audio/wav;base64," + base64.b64encode(path.read_bytes()).decode() for path in paths
    ]
    filters = spectral.mel_filters()
    pure = []
    for path in [paths[0], *paths]:
        begun = time.perf_counter()
        spectral.extract(audio.load(path).waveform, filters)
        pure.append(time.perf_counter() - begun)
    port = free_port()
    server, ready = start(model, port)
    try:

        def timed(number: int) -> tuple[float, bool]:
            begun = time.perf_counter()
            status, body = ask(port, [uris[number % len(uris)]], latent=False)
            good = status == 200 and "error" not in json.loads(body)["predictions"][0]
            return time.perf_counter() - begun, good

        first, _ = timed(0)
        alone = [timed(number)[0] for number in range(20)]
        begun = time.perf_counter()
        with ThreadPoolExecutor(CLIENTS) as clients:
            answers = list(clients.map(timed, range(requests)))
        wall = time.perf_counter() - begun
    finally:
        stop(server)
    latencies = sorted(seconds for seconds, _ in answers)
    failed = sum(not good for _, good in answers)
    print(f"ready after {ready:.1f} s, first answer {1000 * first:.0f} ms")
    print(f"features of a clip alone: p50 {1000 * statistics.median(pure[1:]):.1f} ms")
    print(f"one client: p50 {1000 * statistics.median(alone):.0f} ms")
    print(
        f"{CLIENTS} clients: p50 {1000 * statistics.median(latencies):.0f} ms, "
        f"p95 {1000 * latencies[int(0.95 * len(latencies))]:.0f} ms, "
        f"{requests / wall:.0f} requests/s, {failed} of {requests} failed"
    )


if __name__ == "__main__":
    main(
        Path(sys.argv[1]),
        int(sys.argv[2]) if len(sys.argv) > 2 else 500,
        sys.argv[3] if len(sys.argv) > 3 else "models:/genre-vae@champion",
    )
