"""Lyrics: match songs to tracks, and say which tracks have no words.

Missing words are explicit. A track has none if the file does not name it, or if its words there are
empty or a marker such as "[Instrumental]"; `match` reports both. Axes: ``n`` tracks.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from genre_vae.collection import names
from genre_vae.collection.lyrics_files import Song, SongFile
from genre_vae.collection.names import letters_of, name_variants, normalise_name
from genre_vae.collection.tags import Tags
from genre_vae.records import FeatureSet, InputError, LabelUse, StrArray

MATCHES = ("filename", "basename", "index")
GENERATED = ("control", "themes")  # words that this module makes
MAX_CHARACTERS = 20_000  # of a song: more is a mistake in the file, and its beginning will do
_WORDLESS = re.compile(
    r"[\W_]*((instrumental|no lyrics|lyrics not found|n/?a|none|null|nan)[\W_]*)?", re.IGNORECASE
)


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


def match(songs: Sequence[Song], ids: StrArray, labels: StrArray, *, by: str, name: str) -> Lyrics:
    """Give every track its song.

    Parameters
    ----------
    songs
        The songs of a `SongFile`.
    ids, labels : (n,) str
        The tracks.
    by
        ``filename``: the key names the track in one of the ways of `genre_vae.collection.names`,
        of which the most precise counts, or is called ``Artist - Title`` or tagged as its song;
        several tracks may share a song.
        ``basename``: the key is what follows the last dot of the name, so ``00000`` is
        ``blues.00000.wav`` and, on GTZAN, one track of every genre: they share the words, and the
        report says so. ``index``: the i-th song with a genre is the i-th track of that genre;
        since it takes the genre to find the words, the label use is ``encode``.
    name
        The name of the result.

    Returns
    -------
    Lyrics
        A track that several songs with different words fit gets none, and is reported.

    Raises
    ------
    InputError
        If nothing matches, or `by` is ``index`` and songs or tracks lack a genre.
    """
    if by not in MATCHES:
        raise InputError(f"no lyrics match {by!r}, only {', '.join(MATCHES)}")
    if by == "index" and not (all(song.genre for song in songs) and np.all(labels != "")):
        raise InputError("lyrics_match=index needs a column 'genre' in the file, and genre folders")
    song_of, ambiguous, by_tags = _song_of_each(songs, ids, labels, by)
    titled = by == "filename" and any(song.title for song in songs)
    how = f"{by}, or by artist and title" if titled else by
    if not song_of:
        keys = ", ".join(repr(song.key[:60]) for song in songs[:2])
        raise InputError(
            f"lyrics {name}: no song matches a track by {how}; keys are like {keys}, "
            f"tracks like {str(ids[0])!r}"
        )
    texts = [
        _words(songs[song_of[track]].text) if track in song_of else "" for track in range(len(ids))
    ]
    tracks_of = Counter(song_of.values())
    shared = sum(count > 1 for count in tracks_of.values())
    report = [
        f"{len(song_of)} of {len(ids)} tracks matched by {how}, {sum(map(bool, texts))} of them "
        f"with words; {len(songs) - len(tracks_of)} of {len(songs)} songs unused"
    ]
    if by_tags:
        report.append(f"{by_tags} of them by the artist and title in their files' tags")
    twice = [key for key, n in Counter(song.key for song in songs).items() if n > 1]
    if twice and by != "index":
        report.append(f"{len(twice)} names occur more than once, such as {twice[0][:60]!r}")
    if shared:
        most = max(tracks_of.values())
        report.append(f"{shared} songs belong to several tracks, up to {most} each: words repeat")
    if ambiguous:
        report.append(f"{len(ambiguous)} tracks fit several songs, and get none: {ambiguous[0]}")
    long = [song.text for song in songs if len(song.text) > MAX_CHARACTERS]
    if long:
        lost = sum(len(text[MAX_CHARACTERS:].split()) for text in long)
        report.append(
            f"{len(long)} songs are longer than {MAX_CHARACTERS} characters, and are cut there: "
            f"{lost} words are left out"
        )
    use = LabelUse.ENCODE if by == "index" else LabelUse.NONE
    return Lyrics(name, ids, tuple(texts), labels, use, tuple(report))


def _song_of_each(
    songs: Sequence[Song], ids: StrArray, labels: StrArray, by: str
) -> tuple[dict[int, int], list[str], int]:
    """The number of each track's song, the ids of the tracks that several songs with different
    words fit, and how many tracks were matched by their tags."""
    song_of: dict[int, int] = {}
    ambiguous: list[str] = []

    def settle(fit: dict[int, list[int]]) -> int:
        for track, numbers in fit.items():
            if len({_words(songs[number].text) for number in numbers}) == 1:
                song_of[track] = min(numbers)
            else:
                ambiguous.append(str(ids[track]))
        return len(fit)

    if by != "filename":
        called = _numbers_of(_song_keys(songs, by))
        keys = _track_keys(ids, labels, by)
        settle({track: called[key] for track, key in enumerate(keys) if key in called})
        return song_of, ambiguous, 0
    # a name that the file gives comes before one that is made of artist and title
    for keys in ([song.key for song in songs], [song.file_name for song in songs]):
        rest = [n for n, i in enumerate(ids) if n not in song_of and str(i) not in ambiguous]
        joined = names.join(keys, ids[rest].tolist(), shared=True)
        one_each = {track: [number] for track, number in joined.key_of.items()}
        settle({rest[track]: numbers for track, numbers in (one_each | joined.tied).items()})
    tagged: dict[str, list[int]] = {}
    for number, song in enumerate(songs):
        for track_id in song.tracks:
            tagged.setdefault(track_id, []).append(number)
    rest = [n for n, i in enumerate(ids) if n not in song_of and str(i) not in ambiguous]
    by_tags = settle({track: tagged[i] for track in rest if (i := str(ids[track])) in tagged})
    return song_of, ambiguous, by_tags


def _numbers_of(keys: Sequence[str]) -> dict[str, list[int]]:
    numbers: dict[str, list[int]] = {}
    for number, key in enumerate(keys):
        numbers.setdefault(key, []).append(number)
    return numbers


def named_by_tags(file: SongFile, tags_of: Mapping[str, Tags]) -> SongFile:
    """Find the tracks of songs by title and artist.

    Parameters
    ----------
    file
        Songs, some with titles.
    tags_of
        Track ids -> what their tags say.

    Returns
    -------
    SongFile
        Each song with the `tracks` whose tags have its title and artist, but for case, accents'
        composition and punctuation. A song without an artist has the one track of its title, where
        there is a single one.
    """
    found: dict[tuple[str, str], list[str]] = {}
    for track_id, tags in tags_of.items():
        if tags.title:
            found.setdefault((letters_of(tags.artist), letters_of(tags.title)), []).append(track_id)
            found.setdefault(("", letters_of(tags.title)), [])
            if tags.artist:
                found["", letters_of(tags.title)].append(track_id)
    named = []
    for song in file.songs:
        tracks = (
            found.get((letters_of(song.artist), letters_of(song.title)), []) if song.title else []
        )
        alone = song.artist or len(tracks) == 1
        named.append(replace(song, tracks=tuple(sorted(tracks)) if alone else ()))
    return replace(file, songs=tuple(named))


def _song_keys(songs: Sequence[Song], by: str) -> list[str]:
    """What each song is called: by ``index`` or by ``basename``."""
    if by == "index":
        return _places([song.genre for song in songs])
    return [_after_last_dot(normalise_name(song.key)) for song in songs]


def _track_keys(ids: StrArray, labels: StrArray, by: str) -> list[str]:
    """What the song of each track is called, likewise."""
    if by == "index":
        order = np.argsort(ids)
        place = dict(zip(order.tolist(), _places(labels[order].tolist()), strict=True))
        return [place[row] for row in range(len(ids))]
    return [_after_last_dot(name_variants(track_id)[-1]) for track_id in ids.tolist()]


def _after_last_dot(name: str) -> str:
    return name.rpartition(".")[2]


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
    """Words that mean nothing, drawn from a hash of each file: the null hypothesis of fusion.

    Neither a label nor the order of tracks reaches them, so they are expected to add nothing.

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
    """Words made from the genre: an oracle (label use ``feature``).

    Each genre has themes of its own; a song repeats them in an order that its id decides.
    InputError where a genre is unknown.
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


def missing_nmi(lyrics: Lyrics) -> float:
    """NMI between "has no words" and genre, since gaps can carry the label.

    Tracks without a genre are left out; nan for fewer than two genres.
    """
    from sklearn.metrics import normalized_mutual_info_score

    known = lyrics.labels != ""
    labels, gaps = lyrics.labels[known], lyrics.missing[known]
    if len(np.unique(labels)) < 2:
        return float("nan")
    return float(normalized_mutual_info_score(labels, gaps.astype(np.int64)))
