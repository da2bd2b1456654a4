from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
from click.testing import CliRunner
from mlflow.tracking import MlflowClient
from mutagen import id3
from mutagen.wave import WAVE

from genre_vae.records import Assignment, FeatureSet
from genre_vae.tracking.stage import local_artifacts
from tests.helpers import (
    HARD_FILES,
    QUICK,
    artifacts_of,
    invoke,
    noise_collection,
    run_of,
)


def test_bad_data_marks_the_run_failed(runner: CliRunner, store: Path, tmp_path: Path) -> None:
    folder = tmp_path / "music"
    (folder / "rock").mkdir(parents=True)
    for name in "abc":
        (folder / "rock" / f"{name}.wav").write_bytes(b"")
    result = invoke(runner, "easy", "--data", str(folder))
    assert result.exit_code == 2
    assert "3 of 3 audio files cannot be used" in result.output
    assert "Traceback" not in result.output
    statuses = {run.info.status for run in MlflowClient().search_runs(["0"])}
    assert statuses == {"FAILED"}


def test_more_clusters_than_tracks(runner: CliRunner, store: Path, corpus: Path) -> None:
    result = invoke(
        runner, "cluster", "--data", str(corpus), "--model", "pca", "--n_clusters", "21"
    )
    assert result.exit_code == 2
    assert "Error: n_clusters=21 with 20 tracks" in result.output


def test_the_number_of_clusters_is_chosen_once_for_all_methods(
    runner: CliRunner, store: Path, corpus: Path
) -> None:
    chosen = (*("--data", str(corpus)), "--n_clusters", "choose")
    first = invoke(runner, "cluster", *chosen, *QUICK, "--model", "pca")
    assert first.exit_code == 0, first.output
    counted = run_of("count")
    clustered = run_of("cluster")
    number = int(counted.data.metrics["n_clusters"])
    assert clustered.data.params["n_clusters"] == str(number)
    assert clustered.data.tags["n_clusters_by"] == counted.data.tags["n_clusters_by"] != "genres"
    model = ("--model", "cvae", "--condition_on", "clusters", "--epochs", "1")
    second = invoke(runner, "train", *chosen, *QUICK, *model)
    assert second.exit_code == 0, second.output
    assert "clusters in mfcc: reused run" in second.output
    trained = MlflowClient().search_runs(["0"], "tags.model = 'cvae_clusters'")
    assert {run.data.params["n_clusters"] for run in trained} == {str(number)}


def test_comparing_nothing_says_what_to_run(runner: CliRunner, store: Path, corpus: Path) -> None:
    result = invoke(runner, "compare", "--data", str(corpus))
    assert result.exit_code == 2
    assert "run the entry point easy first" in result.output


def test_rows_are_compared_with_one_named_beforehand(
    runner: CliRunner, store: Path, corpus: Path
) -> None:
    data = ("--data", str(corpus))
    for model in ("pca", "autoencoder"):
        plain = (*data, *QUICK, "--seeds", "3", "--n_clusters", "3", "--model", model)
        assert invoke(runner, "cluster", *plain).exit_code == 0
    result = invoke(runner, "compare", *data, "--against", "pca")
    assert result.exit_code == 0, result.output
    first, asked = result.output.index("In brackets"), result.output.index("Asked beforehand")
    assert first < asked, "a statement of its own"
    folder, stage = artifacts_of("compare"), run_of("compare")
    assert "Asked beforehand" in (folder / "easy_task_metrics.md").read_text("utf-8")
    assert stage.data.tags["against/method"] == "PCA + k-means"
    (parent,) = MlflowClient().search_runs(["0"], "tags.entry_point = 'compare'")
    assert "Asked beforehand" in parent.data.tags["mlflow.note.content"]

    table = pd.read_csv(folder / "easy_task_metrics.csv")
    for name in ("ami", "silhouette", "calinski_harabasz", "accuracy"):
        assert (table[f"{name}_low"] <= table[name]).all()
        assert (table[name] <= table[f"{name}_high"]).all()
        assert table[f"{name}_tracks"].gt(0).all()

    wrong = invoke(runner, "compare", *data, "--against", "vae")
    assert wrong.exit_code == 2
    assert (
        "against=vae is no ranked row with an AMI: there are Autoencoder + k-means; PCA + k-me"
        in (wrong.output)
    )


def test_seeds_are_members_with_their_own_latents(
    runner: CliRunner, store: Path, corpus: Path
) -> None:
    assert invoke(runner, "cluster", "--data", str(corpus), *QUICK).exit_code == 0
    train, cluster = (local_artifacts(run_of(s)) for s in ("train", "cluster"))
    first, second = FeatureSet.load(train, "Z_vae"), FeatureSet.load(train / "seed_1", "Z_vae")
    np.testing.assert_array_equal(first.ids, second.ids)
    assert not np.allclose(first.values, second.values)
    assert {"vae_best.pth", "vae_last.pth", "vae_loss.png", "history.csv"} <= {
        path.name for path in train.iterdir()
    }
    trained = run_of("train").data
    assert trained.metrics["best/latent_dim"] == 4
    assert 0 <= trained.metrics["best/active_units"] <= 4
    assert trained.metrics["best/variance_explained"] < 1
    assert "held-out variance explained" in trained.tags["mlflow.note.content"]
    assert Assignment.load(cluster).clusters.shape == (2, 20)
    members = pd.read_csv(cluster / "members.csv")
    assert members["seed"].tolist() == [0, 1]
    assert run_of("cluster").data.metrics["ami"] == pytest.approx(members["ami"].mean())


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"filename,tune\na,b\n", "no column of words"),
        (b"filename,lyrics\na,x\na,y\n", "no song matches a track"),
        (b"\xff\xfe\x00", "neither UTF-8 nor UTF-16"),
        (b"", "the file is empty"),
        (b"filename,lyrics\nnobody,x\n", "no song matches a track"),
    ],
)
def test_a_bad_lyrics_file_ends_in_one_line(
    runner: CliRunner, store: Path, corpus: Path, tmp_path: Path, content: bytes, said: str
) -> None:
    (tmp_path / "words.csv").write_bytes(content)
    arguments = ("--data", str(corpus), "--lyrics", str(tmp_path / "words.csv"), "--workers", "2")
    result = invoke(runner, "lyrics", *arguments)
    assert result.exit_code == 2
    assert said in result.output
    assert result.output.count("Error: ") == 1
    assert "Traceback" not in result.output


@pytest.mark.parametrize("name", ["features", "lyrics", "train", "cluster", "visualize", "audit"])
def test_each_entry_point_works_alone(
    runner: CliRunner, store: Path, corpus: Path, name: str
) -> None:
    arguments = QUICK if name in ("train", "cluster", "visualize") else QUICK[-2:]
    result = invoke(runner, name, "--data", str(corpus), *arguments)
    assert result.exit_code == 0, result.output


def test_any_finished_clustering_run_can_be_evaluated_and_any_embedding_drawn(
    runner: CliRunner, store: Path, corpus: Path
) -> None:
    data = ("--data", str(corpus), "--workers", "2")
    nothing = invoke(runner, "evaluate", *data)
    assert nothing.exit_code == 2
    assert "no finished clustering run" in nothing.output
    cvae = ("--model", "cvae", "--condition_on", "clusters")
    result = invoke(runner, "cluster", "--data", str(corpus), *cvae, *QUICK)
    assert result.exit_code == 0, result.output
    clustering, embedding = run_of("cluster"), run_of("train")
    one = invoke(runner, "evaluate", *data, "--run", clustering.info.run_id[:12])
    assert one.exit_code == 0, one.output
    table = pd.read_csv(local_artifacts(run_of("evaluate")) / "hard_task_metrics.csv")
    assert table["method"].tolist() == ["CVAE on clusters + k-means"]
    assert table["ami"].item() == clustering.data.metrics["ami"]
    assert invoke(runner, "evaluate", *data).exit_code == 0
    for run_id, said in (
        ("nonsense!", "no such runs"),
        ("0123456789abcdef", "no such runs"),
        (embedding.info.run_id, "clusters nothing"),
    ):
        wrong = invoke(runner, "evaluate", *data, "--run", run_id)
        assert wrong.exit_code == 2
        assert said in wrong.output
    drawn = invoke(
        runner, "visualize", "--data", str(corpus), "--run", embedding.info.run_id, *QUICK
    )
    assert drawn.exit_code == 0, drawn.output
    names = {path.name for path in local_artifacts(run_of("visualize")).iterdir()}
    assert names >= {path for path in HARD_FILES if path.endswith(("space.png", "tion.png"))}
    first = run_of("visualize").info.run_id
    by_clusters = ("--data", str(corpus), "--run", clustering.info.run_id)  # five seeds by default
    assert invoke(runner, "visualize", *by_clusters).exit_code == 0
    again = invoke(runner, "visualize", "--data", str(corpus), "--run", embedding.info.run_id)
    assert again.exit_code == 0, again.output
    assert run_of("visualize").info.run_id == first, "an embedding has the seeds it was made with"
    wrong = invoke(
        runner, "visualize", "--data", str(corpus), "--run", run_of("features").info.run_id
    )
    assert wrong.exit_code == 2
    assert "can be drawn" in wrong.output


def test_a_sweep_does_not_change_the_hard_table(
    runner: CliRunner, store: Path, corpus: Path
) -> None:
    plain = ("--data", str(corpus), *QUICK)
    assert invoke(runner, "cluster", *plain, "--model", "betavae").exit_code == 0
    own = run_of("cluster").info.run_id
    assert invoke(runner, "sweep", *plain, "--betas", "4,9").exit_code == 0
    assert invoke(runner, "compare", "--data", str(corpus), "--level", "hard").exit_code == 0
    table = pd.read_csv(artifacts_of("compare") / "hard_task_comparison.csv")
    assert table["run_id"].tolist() == [own]


def test_a_run_about_another_collection_is_refused(
    runner: CliRunner, store: Path, corpus: Path, tmp_path: Path
) -> None:
    assert invoke(runner, "cluster", "--data", str(corpus), "--model", "pca").exit_code == 0
    shutil.copytree(corpus / "genres" / "rock", tmp_path / "other" / "rock")
    shutil.copytree(corpus / "genres" / "pop", tmp_path / "other" / "pop")
    run_id = run_of("cluster").info.run_id
    wrong = invoke(runner, "evaluate", "--data", str(tmp_path / "other"), "--run", run_id)
    assert wrong.exit_code == 2
    assert "about another collection" in wrong.output


def test_a_sweep_has_a_row_for_every_beta(runner: CliRunner, store: Path, corpus: Path) -> None:
    arguments = ("--data", str(corpus), "--betas", "0,1,8", *QUICK)
    result = invoke(runner, "sweep", *arguments, "--epochs", "40")
    assert result.exit_code == 0, result.output
    folder = local_artifacts(run_of("sweep"))
    assert (folder / "beta_sweep.png").exists()
    table = pd.read_csv(folder / "beta_sweep.csv")
    assert table["beta"].tolist() == [0, 1, 8]
    assert table["val_kl"].is_monotonic_decreasing, "a heavier KL term is a smaller one"
    assert table["val_reconstruction"].is_monotonic_increasing
    assert invoke(runner, "sweep", "--betas", "4").exit_code == 2


def test_faults_are_kept_or_dropped_by_name(
    runner: CliRunner, store: Path, corpus: Path, tmp_path: Path
) -> None:
    """A folder named as GTZAN is: two of its 70, and a clip that is there twice."""
    for genre, numbers in {"country": (7, 8), "metal": (3, 4), "rock": (0, 1)}.items():
        (tmp_path / "gtzan" / genre).mkdir(parents=True)
        for place, number in enumerate(numbers):
            sound, rate = soundfile.read(corpus / "genres" / genre / f"{genre}.{place:05d}.flac")
            path = tmp_path / "gtzan" / genre / f"{genre}.{number:05d}.wav"
            soundfile.write(path, sound[: 3 * rate], rate)
    shutil.copy(tmp_path / "gtzan/rock/rock.00000.wav", tmp_path / "gtzan/rock/rock.00002.wav")
    data = ("--data", str(tmp_path / "gtzan"), "--workers", "1")
    kept = invoke(runner, "features", *data)
    assert "7 tracks in 3 genres" in kept.output
    assert "2 in GTZAN's list of faulty clips, 1 the same as another" in kept.output
    table = pd.read_csv(local_artifacts(run_of("features")) / "faults.csv")
    assert set(table["track_id"]) == {
        *("country/country.00008.wav", "metal/metal.00004.wav", "rock/rock.00002.wav")
    }
    dropped = invoke(runner, "features", *data, "--faults", "drop")
    assert "2 clips in GTZAN's list of faults are dropped" in dropped.output
    assert "5 tracks in 3 genres" in dropped.output
    refused = invoke(runner, "features", "--data", str(corpus), "--faults", "drop")
    assert refused.exit_code == 2
    assert "not GTZAN" in refused.output


def test_words_from_the_genre_in_an_innocent_file_end_below_the_ranking(
    runner: CliRunner, store: Path, tmp_path: Path
) -> None:
    """The file declares nothing; the audit finds it out, and the fused rows are oracles."""
    noise_collection(tmp_path / "music", tracks_per_genre=12)
    rng = np.random.default_rng(1)
    lines = ["filename,lyrics"]
    for genre in range(10):
        themes = [f"theme{genre}{letter}" for letter in "abcdefgh"]
        lines += [f"g{genre}/{n:03d},{' '.join(rng.choice(themes, 30))}" for n in range(12)]
    (tmp_path / "words.csv").write_text("\n".join(lines))
    arguments = ("--data", str(tmp_path / "music"), "--lyrics", str(tmp_path / "words.csv"))
    result = invoke(runner, "multimodal", *arguments, "--seeds", "2", "--workers", "2")
    assert result.exit_code == 0, result.output
    assert "lyrics: label" in result.output
    table = pd.read_csv(local_artifacts(run_of("evaluate")) / "hard_task_metrics.csv")
    assert len(table) == 8
    assert (table["label_use"] == "feature").all()
    assert table["rank"].isna().all()
    declared = local_artifacts(run_of("lyrics"))
    assert FeatureSet.load(declared, "lyrics_embeddings").label_use == 0


def test_words_are_read_from_tags_from_lrc_files_and_by_title_and_artist(
    runner: CliRunner, store: Path, tmp_path: Path
) -> None:
    """Three forms of the same words give the same mapping."""
    noise_collection(tmp_path / "music", tracks_per_genre=1)
    tracks = sorted((tmp_path / "music").rglob("*.wav"))
    rows, words = ["Title;Artist;Year;Lyrics"], {}
    for number, path in enumerate(tracks):
        own = f"verse {number}; rain and wind {number}"
        words[path.relative_to(tmp_path / "music").as_posix()] = own
        file: Any = WAVE(path)
        file.add_tags()
        file.tags.add(id3.TIT2(encoding=3, text=f"Song No. {number}"))
        file.tags.add(id3.TPE1(encoding=3, text=f"Artist {number % 3}"))
        file.tags.add(id3.USLT(encoding=3, lang="eng", desc="", text=f"[00:01.00]{own}"))
        file.save()
        lrc = tmp_path / "lrc" / path.parent.name / f"{path.stem}.lrc"
        lrc.parent.mkdir(parents=True)
        lrc.write_text(f"[ti:x]\n[00:01.00]{own}\n")
        rows.append(f'song no {number};ARTIST {number % 3};1999;"{own}"')
    (tmp_path / "genius.csv").write_bytes("\r\n".join(rows).encode("utf-16"))
    data = ("--data", str(tmp_path / "music"), "--workers", "2")
    for given in ("tags", str(tmp_path / "lrc"), str(tmp_path / "genius.csv")):
        result = invoke(runner, "lyrics", *data, "--lyrics", given)
        assert result.exit_code == 0, result.output
        assert "10 of 10 tracks matched by filename" in result.output
        mapping = local_artifacts(run_of("lyrics")) / "lyrics_mapping.json"
        assert json.loads(mapping.read_text("utf-8")) == words
    assert "10 of them by the artist and title in their files' tags" in result.output


def test_runs_of_another_version_are_left_out_and_reported(
    runner: CliRunner, store: Path, corpus: Path
) -> None:
    data = ("--data", str(corpus), "--workers", "2")
    assert invoke(runner, "cluster", *data, "--model", "pca", "--seeds", "3").exit_code == 0
    run_id = run_of("cluster").info.run_id
    MlflowClient().set_tag(run_id, "format", "1")
    compared = invoke(runner, "compare", *data)
    assert compared.exit_code == 2
    assert "1 run of another version left out" in compared.output
    evaluated = invoke(runner, "evaluate", *data, "--run", run_id)
    assert evaluated.exit_code == 2
    assert "made by another version; run its entry point again" in evaluated.output


def test_a_level_without_a_method_left_is_refused_and_says_why(
    runner: CliRunner, store: Path, corpus: Path
) -> None:
    given = ("--data", str(corpus), *QUICK)
    assert invoke(runner, "cluster", *given, "--model", "pca").exit_code == 0
    for level in ("medium", "hard"):
        fused = ("--methods", "multimodal_late", "--lyrics", "none")
        result = invoke(runner, level, *given, *fused)
        assert result.exit_code == 2, result.output
        assert "left out: it needs lyrics" in result.output
        assert f"no method of {level} is left" in result.output


def test_visualize_shows_every_map_of_a_level_and_registers_nothing(
    runner: CliRunner, store: Path, corpus: Path
) -> None:
    given = ("--data", str(corpus), *QUICK)
    easy = invoke(runner, "visualize", *given, "--level", "easy")
    assert easy.exit_code == 0, easy.output
    shown = {path.name for path in artifacts_of("visualize").iterdir()}
    assert {f"easy_task_{key}_tsne.png" for key in ("pca", "autoencoder", "vae")} <= shown
    hard = invoke(runner, "visualize", *given, "--level", "hard", "--methods", "pca,vae")
    assert hard.exit_code == 0, hard.output
    assert not MlflowClient().search_registered_models()
    none = invoke(runner, "visualize", *given, "--level", "easy", "--methods", "conv_vae")
    assert none.exit_code == 2
    assert "easy draws pca, autoencoder, vae" in none.output
