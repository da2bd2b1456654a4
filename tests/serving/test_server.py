"""A registered model behind MLflow's own server, on loopback."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks.serving import ask, free_port, start, stop
from genre_vae.tracking import registry
from tests.helpers import QUICK, invoke, run_of, two_gigabytes_claimed, uri, zipped

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
    server, _ = start(f"models:/{registry.MODEL}@{registry.CHAMPION}", number, **environment)
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
    local = registry.ServedModel(f"models:/{registry.MODEL}@{registry.CHAMPION}")
    (here,) = local.predict([str(path)], params={})
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


def test_the_command_line_reads_paths_and_an_app_of_ones_own_does_not(
    runner: CliRunner, store: Path, corpus: Path, tmp_path: Path
) -> None:
    """In processes of their own: ``mlflow models predict``, and MLflow's app without its server."""
    assert invoke(runner, "cluster", "--data", str(corpus), "--model", "vae", *QUICK).exit_code == 0
    run_id = run_of("cluster").info.run_id
    assert invoke(runner, "register", "--data", str(corpus), "--run", run_id).exit_code == 0
    model = f"models:/{registry.MODEL}@{registry.CHAMPION}"
    path = str(next(corpus.glob("genres/*/*.flac")))
    (tmp_path / "in.json").write_text(json.dumps({"inputs": [path]}))
    mlflow = str(Path(sys.executable).with_name("mlflow"))
    command = [mlflow, "models", "predict", "-m", model, "-i", str(tmp_path / "in.json")]
    command += ["-o", str(tmp_path / "out.json"), "--env-manager", "local"]
    subprocess.run(command, check=True, capture_output=True)
    (record,) = json.loads((tmp_path / "out.json").read_text())["predictions"]
    assert "cluster" in record
    own = (
        "import sys, mlflow\n"
        "from mlflow.pyfunc import scoring_server\n"
        f"model = mlflow.pyfunc.load_model({model!r})\n"
        f"print('person', model.predict([{path!r}]))\n"
        "scoring_server.init(model)\n"
        f"print('server', model.predict([{path!r}]))\n"
    )
    said = subprocess.run([sys.executable, "-c", own], check=True, capture_output=True, text=True)
    person, server = said.stdout.strip().splitlines()[-2:]
    assert "'cluster'" in person
    assert "GENRE_VAE_AUDIO_ROOT" in server
