"""Lyrics: read them, match them to tracks, embed them, and say which are missing.

Missing is explicit at every step. A track that the file does not have, that has empty words there
or a marker such as "[Instrumental]" is missing; the matching reports it, and the embedding says
what was done about it. Axes: ``n`` tracks, ``d`` dimensions of the embedding.
"""

from __future__ import annotations

import hashlib
import json
import re
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from genre_vae.collection.catalog import plain, spellings
from genre_vae.records import FeatureSet, FloatArray, InputError, LabelUse, StrArray

MATCHES = ("filename", "basename", "index")
GENERATED = ("control", "themes")  # words that this module makes
MISSING = ("zero", "mean", "drop", "genre_mean")
MAX_CHARACTERS = 20_000  # of a song: more is a mistake in the file, and its beginning will do
_WORDLESS = re.compile(
    r"[\W_]*((instrumental|no lyrics|lyrics not found|n/?a|none|null|nan)[\W_]*)?", re.IGNORECASE
)


@dataclass(frozen=True)
class Song:
    """An entry of a lyrics file: its key there, its words, and its genre where the file has it."""

    key: str
    text: str
    genre: str = ""


@dataclass(frozen=True, eq=False)
class Lyrics:
    """The words of tracks.

    Parameters
    ----------
    name
        Where they are from, e.g. ``"lyrics.csv"`` or ``"control"``.
    ids : (n,) str
        Track ids.
    texts
        One per track, ``""`` where missing.
    labels : (n,) str
        Genre names, ``""`` where unknown.
    label_use
        How far genres reached into the texts.
    report
        What matched, what did not and what was ambiguous, a line each.
    """

    name: str
    ids: StrArray
    texts: tuple[str, ...]
    labels: StrArray
    label_use: LabelUse = LabelUse.NONE
    report: tuple[str, ...] = ()

    @property
    def missing(self) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """(n,) True where a track has no words."""
        return np.array([not text for text in self.texts], dtype=bool)

    def mapping(self) -> dict[str, str | None]:
        """Track id -> words, None where missing: what ``lyrics_mapping.json`` holds."""
        return {
            track_id: text or None
            for track_id, text in zip(self.ids.tolist(), self.texts, strict=True)
        }


def load(
    path: Path, *, id_column: str | None = "filename", text_column: str = "lyrics"
) -> list[Song]:
    """Read a lyrics file.

    Parameters
    ----------
    path
        ``.csv`` with a header; or ``.json``: a list of objects, or one object from keys to words
        or to objects. UTF-8. A column (or member) ``genre`` is read where it is there.
    id_column, text_column
        What the song's key and its words are called. None for the key numbers the songs, for a
        match by ``index``.

    Raises
    ------
    InputError
        If the file is missing, empty, not UTF-8 or not in such a form, lacks a column, or has a
        key twice.
    """
    try:
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise InputError(f"lyrics {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"lyrics {path}: not UTF-8 at byte {error.start}; save it so") from error
    if not text.strip():
        raise InputError(f"lyrics {path}: the file is empty")
    rows = _json_rows(path, text, id_column or "key", text_column)
    if rows is None:
        rows = _csv_rows(path)
    if not rows:
        raise InputError(f"lyrics {path}: no songs, only a header")
    columns = sorted({name for row in rows for name in row})
    for name in (id_column, text_column):
        if name is not None and name not in columns:
            raise InputError(f"lyrics {path}: no column {name!r}, only {', '.join(columns)}")
    songs = []
    for number, row in enumerate(rows):
        key = str(number) if id_column is None else _text(row.get(id_column)).strip()
        if not key:
            raise InputError(f"lyrics {path}: song {number + 1} has nothing in {id_column!r}")
        words = row.get(text_column)
        if isinstance(words, list):  # a line each
            words = "\n".join(map(_text, words))
        if isinstance(words, dict):
            raise InputError(f"lyrics {path}: the words of {key[:60]!r} are an object, not text")
        songs.append(Song(key, _text(words), _text(row.get("genre"))))
    twice = [key for key, count in Counter(song.key for song in songs).items() if count > 1]
    if twice:
        raise InputError(f"lyrics {path}: {len(twice)} keys occur twice, such as {twice[0]!r}")
    return songs


def _text(value: Any) -> str:
    """A cell as text that can be written: JSON can spell halves of characters, UTF-8 cannot."""
    return ("" if value is None else str(value)).encode("utf-8", "replace").decode("utf-8")


def _csv_rows(path: Path) -> list[dict[str, Any]]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # a row too long is cut, else
            frame = pd.read_csv(
                path, dtype=str, keep_default_na=False, encoding="utf-8-sig", index_col=False
            )
    except pd.errors.ParserWarning as error:
        raise InputError(
            f"lyrics {path}: rows are longer than the header; words with a comma need quotes"
        ) from error
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"lyrics {path}: not a CSV table: {reason}") from error
    return [{str(k).strip(): v for k, v in row.items()} for row in frame.to_dict("records")]


class _DuplicateKeyError(ValueError):
    pass


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object, whose keys must differ: ``json`` would silently keep the last."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise _DuplicateKeyError(key)
        found[key] = value
    return found


def _json_rows(
    path: Path, text: str, id_column: str, text_column: str
) -> list[dict[str, Any]] | None:
    """The rows of a JSON file in either form, or None for a file that is not called ``.json``."""
    if path.suffix.lower() != ".json":
        return None
    try:
        value = json.loads(text, object_pairs_hook=_unique)
    except _DuplicateKeyError as error:
        raise InputError(f"lyrics {path}: the key {str(error)!r} occurs twice") from error
    except (ValueError, RecursionError) as error:  # ValueError: also a number too long to read
        raise InputError(f"lyrics {path}: broken JSON: {error}") from error
    if isinstance(value, dict):
        value = [
            {id_column: key} | (inner if isinstance(inner, dict) else {text_column: inner})
            for key, inner in value.items()
        ]
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in value) or not value:
        raise InputError(f"lyrics {path}: expected a list of objects, or one object of songs")
    return value


def match(songs: Sequence[Song], ids: StrArray, labels: StrArray, *, by: str, name: str) -> Lyrics:
    """Give every track its song.

    Parameters
    ----------
    songs
        From `load`.
    ids, labels : (n,) str
        The tracks.
    by
        ``filename``: the key is the track's id, its path within the genres' folder, or its file
        name, each with or without an audio suffix, in any case; the first that a song has counts.
        ``basename``: the key is what follows the last dot of the name, so ``00000`` is
        ``blues.00000.wav`` and, on GTZAN, one track of every genre: they share the words, and the
        report says so. ``index``: the i-th song with a genre is the i-th track of that genre;
        since it takes the genre to find the words, the label use is ``encode``.
    name
        Of the result.

    Returns
    -------
    Lyrics
        A track that several songs fit gets none of them, and is reported.

    Raises
    ------
    InputError
        If nothing matches, or `by` is ``index`` and songs or tracks lack a genre.
    """
    if by not in MATCHES:
        raise InputError(f"no lyrics match {by!r}, only {', '.join(MATCHES)}")
    if by == "index" and not (all(song.genre for song in songs) and np.all(labels != "")):
        raise InputError("lyrics_match=index needs a column 'genre' in the file, and genre folders")
    candidates: dict[str, list[int]] = {}
    for number, key in enumerate(_song_keys(songs, by)):
        candidates.setdefault(key, []).append(number)
    found: list[list[int]] = []
    for keys in _track_keys(ids, labels, by):
        found.append(next((candidates[key] for key in keys if key in candidates), []))
    texts = [_words(songs[numbers[0]].text) if len(numbers) == 1 else "" for numbers in found]
    if not any(len(numbers) == 1 for numbers in found):
        raise InputError(
            f"lyrics {name}: no song matches a track by {by}; keys are like {songs[0].key[:60]!r}, "
            f"tracks like {str(ids[0])!r}"
        )
    used = Counter(numbers[0] for numbers in found if len(numbers) == 1)
    shared = sum(count > 1 for count in used.values())
    ambiguous = [str(i) for i, numbers in zip(ids, found, strict=True) if len(numbers) > 1]
    matched = sum(len(numbers) == 1 for numbers in found)
    report = [
        f"{matched} of {len(ids)} tracks matched by {by}, {sum(map(bool, texts))} of them with "
        f"words; {len(songs) - len(used)} of {len(songs)} songs unused"
    ]
    if shared:
        worst = max(used.values())
        report.append(f"{shared} songs belong to several tracks, up to {worst} each: words repeat")
    if ambiguous:
        report.append(f"{len(ambiguous)} tracks fit several songs, and get none: {ambiguous[0]}")
    cut = sum(len(song.text) > MAX_CHARACTERS for song in songs)
    if cut:
        report.append(f"{cut} songs are longer than {MAX_CHARACTERS} characters, and are cut there")
    use = LabelUse.ENCODE if by == "index" else LabelUse.NONE
    return Lyrics(name, ids, tuple(texts), labels, use, tuple(report))


def _song_keys(songs: Sequence[Song], by: str) -> list[str]:
    if by == "index":
        return _places([song.genre for song in songs])
    keys = [plain(song.key) for song in songs]
    return [key.rpartition(".")[2] for key in keys] if by == "basename" else keys


def _track_keys(ids: StrArray, labels: StrArray, by: str) -> list[list[str]]:
    """For each track what its song may be called, the most telling first."""
    if by == "index":
        order = np.argsort(ids)
        place = dict(zip(order.tolist(), _places(labels[order].tolist()), strict=True))
        return [[place[row]] for row in range(len(ids))]
    keys = [spellings(track_id) for track_id in ids.tolist()]
    return [[name.rpartition(".")[2]] for *_, name in keys] if by == "basename" else keys


def _places(genres: Sequence[str]) -> list[str]:
    """Each entry's genre and its place among those of that genre, e.g. ``rock/0``."""
    counts: Counter[str] = Counter()
    places = []
    for genre in genres:
        places.append(f"{genre}/{counts[genre]}")
        counts[genre] += 1
    return places


def _words(text: str) -> str:
    """The text, or "" where it is empty or says that there is none."""
    text = text[:MAX_CHARACTERS].strip()
    return "" if _WORDLESS.fullmatch(text) else text


def control(features: FeatureSet, digests: StrArray) -> Lyrics:
    """Words that mean nothing, from the audio bytes' hash: the honest null for fusion.

    No label and no order reaches them, so they are expected to add nothing.

    Parameters
    ----------
    features
        The tracks.
    digests : (n,) str
        A hash of each track's content.
    """
    texts = []
    for digest in digests.tolist():
        words = _rng_of(digest).integers(0, 300, 60)
        texts.append(" ".join(f"word{number}" for number in words.tolist()))
    report = ("words drawn from each file's hash: a control that should add nothing",)
    return Lyrics("control", features.ids, tuple(texts), features.labels, report=report)


def _rng_of(text: str) -> np.random.Generator:
    """A generator that depends on the text alone."""
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return np.random.default_rng(int.from_bytes(digest))


_THEMES = ("night", "road", "heart", "fire", "river", "city", "dance", "prayer", "war", "home")


def themes(features: FeatureSet) -> Lyrics:
    """Words made from the genre, as the seed had them: an oracle (label use ``feature``).

    Each genre has themes of its own; a song repeats them in an order that its id decides.
    """
    if not features.has_labels or np.any(features.labels == ""):
        raise InputError("lyrics=themes makes words from genres, and the genres are unknown")
    genres = sorted(set(features.labels.tolist()))
    texts = []
    for track_id, genre in zip(features.ids.tolist(), features.labels.tolist(), strict=True):
        number = genres.index(genre)
        own = [genre, *(f"{_THEMES[(number + step) % 10]}{number}" for step in range(8))]
        texts.append(" ".join(_rng_of(track_id).choice(own, 60).tolist()))
    report = ("words made from the genres: an oracle, never ranked",)
    return Lyrics("themes", features.ids, tuple(texts), features.labels, LabelUse.FEATURE, report)


def embed(
    lyrics: Lyrics, *, model: str = "tfidf", dim: int = 32, missing: str = "zero", seed: int = 0
) -> FeatureSet:
    """Words -> vectors.

    Parameters
    ----------
    lyrics
        At least two tracks with words.
    model
        ``tfidf``: TF-IDF of words, reduced by a truncated SVD (latent semantic analysis,
        Deerwester et al., 1990). Otherwise a sentence-transformers model: a name on the hub, or a
        folder, for which no network is needed; its vectors are reduced likewise.
    dim
        Of the result; fewer where the words do not give as many.
    missing
        ``zero``; ``mean`` of the tracks with words; ``drop`` the tracks; or ``genre_mean``, the
        seed's, which puts the genre into the values (label use ``feature``).
    seed
        Of the SVD.

    Returns
    -------
    FeatureSet named e.g. ``lyrics(tfidf)`` or ``control(tfidf)``, values (n, d)
    """
    if missing not in MISSING:
        raise InputError(f"no lyrics_missing {missing!r}, only {', '.join(MISSING)}")
    present = ~lyrics.missing
    texts = [text for text in lyrics.texts if text]
    if len(texts) < 2:
        raise InputError(f"lyrics {lyrics.name}: {len(texts)} tracks have words, two are needed")
    vectors = _tfidf(texts) if model == "tfidf" else _sentence_vectors(texts, model)
    reduced = _reduce(vectors, dim, seed)
    values = np.zeros((len(lyrics.ids), reduced.shape[1]), dtype=np.float32)
    values[present] = reduced
    use = lyrics.label_use
    if missing == "mean":
        values[~present] = reduced.mean(axis=0)
    elif missing == "genre_mean":
        use = max(use, LabelUse.FEATURE)
        for genre in set(lyrics.labels[~present].tolist()):
            same = lyrics.labels == genre
            if np.any(same & present):
                values[same & ~present] = values[same & present].mean(axis=0)
    source = lyrics.name if lyrics.name in GENERATED else "lyrics"
    name = f"{source}({Path(model).name})"
    pretrained = model != "tfidf"
    embedded = FeatureSet(name, lyrics.ids, values, lyrics.labels, use, pretrained)
    return embedded.select(lyrics.ids[present]) if missing == "drop" else embedded


def _tfidf(texts: list[str]) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(sublinear_tf=True, max_features=20_000, token_pattern=r"\w+")
    try:
        return vectorizer.fit_transform(texts)
    except ValueError as error:  # an empty vocabulary
        raise InputError(f"lyrics: no words in {len(texts)} texts") from error


def _sentence_vectors(texts: list[str], model: str) -> FloatArray:
    try:
        from safetensors import SafetensorError
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise InputError(
            f"lyrics_model={model} needs sentence-transformers: pip install 'genre-vae[lyrics]'"
        ) from error
    try:
        encoder = SentenceTransformer(model, device="cpu", local_files_only=Path(model).is_dir())
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0]
        what = "cannot be loaded" if Path(model).is_dir() else "is no folder, nor could be fetched"
        raise InputError(f"lyrics_model={model} {what}: {reason}") from error
    vectors = encoder.encode(texts, batch_size=32, show_progress_bar=False)
    return np.asarray(vectors, dtype=np.float32)


def _reduce(vectors: Any, dim: int, seed: int) -> FloatArray:
    from sklearn.decomposition import TruncatedSVD

    if vectors.shape[1] <= dim:
        dense = vectors if isinstance(vectors, np.ndarray) else vectors.toarray()
        return np.asarray(dense, dtype=np.float32)
    n_components = min(dim, vectors.shape[0], vectors.shape[1] - 1)
    with np.errstate(
        divide="ignore", invalid="ignore"
    ):  # texts that are all alike explain 0 / 0 of the variance
        reduced = TruncatedSVD(n_components, random_state=seed).fit_transform(vectors)
    return np.asarray(reduced, dtype=np.float32)


def missing_nmi(lyrics: Lyrics) -> float:
    """NMI between "has no words" and genre: gaps can carry the label. nan where undefined."""
    from genre_vae.evaluation.metrics import score

    gaps = lyrics.missing.astype(np.int64)
    return score(np.zeros((len(gaps), 1)), gaps, lyrics.labels)["nmi"]
