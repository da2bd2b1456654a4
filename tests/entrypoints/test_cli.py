from __future__ import annotations

import shutil
from pathlib import Path

import mlflow
import pytest
from click.testing import CliRunner

from entrypoints import cli
from tests.helpers import (
    invoke,
)


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("easy", ["--epochs", "abc"], "'--epochs'"),
        ("easy", ["--epochs", "0"], "'--epochs'"),
        ("easy", ["--lr", "0"], "'--lr'"),
        ("easy", ["--lr", "nan"], "'--lr'"),
        ("easy", ["--beta", "nan"], "'--beta'"),
        ("easy", ["--n_clusters", "1"], "'--n_clusters'"),
        ("easy", ["--n_clusters", "many"], "nor 'choose', nor 'auto'"),
        ("easy", ["--seeds", "-3"], "'--seeds'"),
        ("train", ["--model", "magic"], "'--model'"),
        ("compare", ["--level", "absurd"], "'--level'"),
        ("main", ["--nonsense", "1"], "--nonsense"),
        ("features", ["--workers", "0"], "'--workers'"),
        ("medium", ["--widths", "16"], "'--widths'"),
        ("medium", ["--eps", "0"], "'--eps'"),
        ("medium", ["--lyrics_match", "magic"], "'--lyrics_match'"),
        ("medium", ["--lyrics_weight", "-1"], "'--lyrics_weight'"),
        ("features", ["--workers", "257"], "'--workers'"),
        ("easy", ["--n_clusters", "٣"], "'--n_clusters'"),
        ("features", ["--data", ""], "data is empty"),
        ("features", ["--data", "   "], "data is empty"),
        ("features", ["--data", "~nobody_of_that_name/x"], "is no path"),
        ("features", ["--data", "x" * 5000], "File name too long"),
        ("features", ["--data", "m\udcfcsik"], "m\\xfcsik is not UTF-8: rename it"),
        ("predict", ["--file", "caf\udce9.wav"], "caf\\xe9.wav is not UTF-8: rename it"),
        ("features", ["--data", "/nowhere/at/all"], "no folder at /nowhere/at/all"),
    ],
)
def test_a_wrong_argument_gets_one_line_and_exit_code_2(
    runner: CliRunner, store: Path, name: str, arguments: list[str], said: str
) -> None:
    result = invoke(runner, name, *arguments)
    assert result.exit_code == 2
    assert result.output.startswith("Error: ")
    assert said in result.output
    assert result.output.count("\n") == 1


def test_an_option_can_be_typed_with_dashes(runner: CliRunner, store: Path) -> None:
    dashes = invoke(runner, "easy", "--n-clusters", "1")
    assert dashes.output == invoke(runner, "easy", "--n_clusters", "1").output
    assert dashes.exit_code == 2


def test_relative_folders_are_taken_from_where_the_person_is(
    runner: CliRunner, store: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shutil.copytree(corpus, tmp_path / "here" / "music")
    monkeypatch.chdir(tmp_path / "here")
    assert cli.caller_folder() == tmp_path / "here"
    assert invoke(runner, "features", "--data", "music", "--workers", "1").exit_code == 0
    missing = invoke(runner, "features", "--data", "musik", "--workers", "1")
    assert f"no folder at {tmp_path / 'here' / 'musik'}" in missing.output


def test_a_store_that_cannot_be_opened_is_named(
    runner: CliRunner, store: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow.set_tracking_uri("bogus://nowhere")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "bogus://nowhere")
    result = invoke(runner, "features", "--data", str(corpus))
    assert result.exit_code == 2
    assert result.output.startswith("Error: the tracking store bogus://nowhere cannot be opened")
