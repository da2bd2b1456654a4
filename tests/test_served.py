"""A registered model behind MLflow's own server, on loopback."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks.serving import ask, free_port, start, stop
from genre_vae import tracking
from tests.test_entrypoints import QUICK, invoke, run_of
from tests.test_serving import two_gigabytes_claimed, uri, zipped

pytestmark = pytest.mark.slow


@pytest.fixture(params=["root", "no root"])
def port(
    request: pytest.FixtureRequest, runner: CliRunner, store: Path, corpus: Path
) -> Iterator[int]:
    assert invoke(runner, "cluster", "--data", str(corpus), "--model", "vae", *QUICK).exit_code == 0
    run_id = run_of("cluster").info.run_id
    result = invoke(runner, "register", "--data", str(corpus), "--run", run_id)
    assert result.exit_code == 0, result.output
    number = free_port()
    environment = {"GENRE_VAE_AUDIO_ROOT": str(corpus)} if request.param == "root" else {}
    server, _ = start(f"models:/{tracking.MODEL}@{tracking.CHAMPION}", number, **environment)
    yield number
    stop(server)


def test_a_served_model_answers_and_stays(
    port: int, corpus: Path, request: pytest.FixtureRequest
) -> None:
    rooted = request.node.callspec.params["port"] == "root"
    path = next(corpus.glob("genres/*/*.flac"))
    content = "data:audio/flac;base64," + base64.b64encode(path.read_bytes()).decode()
    status, body = ask(port, [content, str(path), str(path.relative_to(corpus))])
    assert status == 200
    by_content, absolute, relative = json.loads(body)["predictions"]
    local = tracking.load_model(f"models:/{tracking.MODEL}@{tracking.CHAMPION}")
    answer: Any = local.predict([str(path)])
    (here,) = answer
    assert by_content["cluster"] == here["cluster"]
    np.testing.assert_allclose(by_content["latent"], here["latent"], atol=1e-5)
    if rooted:
        assert by_content == absolute == relative
    else:
        assert list(absolute) == list(relative) == ["error"]

    outside = [
        *("../../etc/passwd", "/etc/passwd", "file:///etc/passwd", "data:audio/wav;base64,####"),
        *(uri(two_gigabytes_claimed()), uri(zipped()), "", "a\0b"),
    ]
    status, body = ask(port, [*outside, content])
    assert status == 200
    *bad, good = json.loads(body)["predictions"]
    assert all(list(record) == ["error"] for record in bad)
    assert good["cluster"] == here["cluster"]
    assert ask(port, []) == (200, '{"predictions": []}')
    status, body = ask(port, ["x.wav"] * 10_000)
    assert status == 200
    assert len(json.loads(body)["predictions"]) == 10_000
    for wrong in ([1], None, "text", [["nested"]]):
        status, body = ask(port, wrong)  # type: ignore[arg-type]
        assert status == 400
        assert "Traceback" not in body
    status, body = ask(port, [content], neighbours=None, latent=False)
    assert status == 200
    assert "Traceback" not in body
    with ThreadPoolExecutor(4) as clients:
        answers = list(clients.map(lambda _: ask(port, [content], latent=False)[0], range(40)))
    assert answers == [200] * 40
