"""Where the genres of tracks come from: their folders, their tags, or a table.

Taken by ``auto``, the first that fits:

1. folders, where tracks lie in ``genres_original/<genre>/`` or ``genres/<genre>/``, at any depth;
2. the table of the Free Music Archive, where folders are numbers and its ``tracks.csv`` is there;
3. folders, where they look like genres: not numbers, not the names or the works of one artist each,
   and either of known names, or with several artists' tags, or right above their tracks;
4. tags, where at least half of the tracks have a genre in them;
5. none.

A folder is the first one below the base. Names that differ in case, punctuation or Unicode form are
one genre. Nothing here opens a file.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import NamedTuple

from genre_vae.collection.names import letters_of
from genre_vae.collection.tags import Tags
from genre_vae.records import InputError

AUTO, FOLDERS, TAGS, NONE = CHOICES = ("auto", "folders", "tags", "none")
BASES = ("genres_original", "genres")  # folders whose folders are genres, by their own name
MOST = 0.5  # share from which something counts as the rule: of tracks with tags, of folders
SHOWN = 3  # names in a sentence
# "000", "CD 1", "Disc-2", "vol. 3", and the letters of a shelf
_NUMBER = re.compile(r"(?:cd|dis[ck]|vol|volume|side|part|batch|folder)?[\W_]*\d+|\W|[a-z]", re.I)
_SAID_TOO = frozenset(  # beside ID3's own list
    {"bossanova", "childrens", "cumbia", "edm", "electronica", "fado", "flamenco", "hiphop"}
    | {"international", "kpop", "klezmer", "latino", "newwave", "rnb", "singersongwriter"}
    | {"spoken", "spokenword", "world", "worldmusic", "folkworldcountry"}
)


class Genres(NamedTuple):
    """The genre of each track, ``""`` where unknown; where they come from: `FOLDERS`, `TAGS`,
    `NONE` or the name of a table; and what there is to say of it, a line each."""

    labels: list[str]
    source: str
    lines: tuple[str, ...]


def base_of(ids: Sequence[str]) -> str:
    """The beginning of the ids of tracks whose folders are genres by the name of their base:
    ``""`` for none, ``"genres/"``, ``"Data/genres_original/"``; of several, that of most tracks."""
    found: Counter[str] = Counter()
    for track_id in ids:
        folders = track_id.split("/")[:-2]
        plain = [folder.casefold() for folder in folders]
        place = next((plain.index(name) for name in BASES if name in plain), None)
        if place is not None:
            found["/".join([*folders[: place + 1], ""])] += 1
    return min(found, key=lambda base: (-found[base], base), default="")


def choose(
    ids: Sequence[str],
    tags: Sequence[Tags],
    *,
    given: str,
    table: tuple[str, Sequence[str]] | None = None,
    parents: Mapping[str, str] | None = None,
) -> Genres:
    """The genre of every track, and why it is that.

    Parameters
    ----------
    ids
        Track ids, all below one base.
    tags
        The tags of each track.
    given
        One of `CHOICES`; a table counts for `AUTO` alone.
    table
        The name of a table of genres, and each track's genre in it, ``""`` where it has none.
    parents
        Genre -> the one that it counts as, the keys as `names.letters_of` makes them: of a track's
        several genres the first with a parent is taken.

    Raises
    ------
    InputError
        If tags were asked for, and no track has a genre there.
    """
    base = base_of(ids)
    folders = [_first_folder(track_id.removeprefix(base)) for track_id in ids]
    tagged = [_of_tags(one, parents or {}) for one in tags]
    if given == NONE:
        return Genres([""] * len(ids), NONE, ("none, as asked",))
    if given == FOLDERS:
        return _told(folders, FOLDERS, "from the folders", parents)
    from_tags = f"from the tags of {sum(map(bool, tagged))} of {len(ids)} tracks"
    if given == TAGS:
        if not any(tagged):
            raise InputError(f"genres=tags: none of the {len(ids)} tracks has a genre in its tags")
        return _told(tagged, TAGS, from_tags, parents)
    if table is not None:
        name, labels = table
        count = sum(map(bool, labels))
        return _told(labels, name, f"from {name}, which has {count} of {len(ids)} tracks", parents)
    doubt = "" if base else _doubt(ids, folders, tags)
    if not doubt:
        return _told(folders, FOLDERS, "from the folders", parents)
    if _share(map(bool, tagged)) >= MOST:
        return _told(tagged, TAGS, f"{from_tags} ({doubt})", parents)
    labels = [""] * len(ids)
    if not any(folders):
        return Genres(labels, NONE, (f"none: {doubt}, and {_few(tagged)}",))
    override = "genres=folders takes the folders all the same"
    return Genres(labels, NONE, (f"none: {doubt}, and {_few(tagged)}; {override}",))


def named(names: Sequence[str]) -> str:
    """The first few of several names, and how many more."""
    first, more = ", ".join(names[:SHOWN]), len(names) - SHOWN
    return f"{first} and {more} more" if more > 0 else first


def _told(
    labels: Sequence[str], source: str, whence: str, parents: Mapping[str, str] | None
) -> Genres:
    """Genres with one spelling each, and the sentences about them."""
    if parents:
        with_parent = sorted({_spelled(label) for label in labels if letters_of(label) in parents})
        labels = [parents.get(letters_of(label), label) for label in labels]
        what = (
            f"{named(with_parent)} count for their parents"
            if with_parent
            else (f"none is among the {len(parents)} genres of genre_parents")
        )
        whence = f"{whence}; {what}"
    spellings: dict[str, Counter[str]] = defaultdict(Counter)
    for label in labels:
        spellings[letters_of(label)][_spelled(label)] += 1
    chosen = {
        key: min(counts, key=lambda name: (-counts[name], name))
        for key, counts in spellings.items()
    }
    found = [chosen[letters_of(label)] for label in labels]
    counts = Counter(label for label in found if label)
    largest = sorted(counts, key=lambda name: (-counts[name], name))
    lines = [f"{whence}: {named(largest)}" if largest else f"{whence}: none found"]
    raw: dict[str, set[str]] = defaultdict(set)
    for label in labels:
        if label:
            raw[letters_of(label)].add(label)
    for key, names in sorted(raw.items()):
        if len(names) > 1:
            distinct = sorted({_spelled(name) for name in names})
            same = (
                " and ".join(distinct) if len(distinct) > 1 else "in several forms of its letters"
            )
            lines.append(f"one genre for all of {chosen[key]}: {same}")
    return Genres(found, source, tuple(lines))


def _spelled(label: str) -> str:
    return " ".join(unicodedata.normalize("NFC", label).split())


def _first_folder(below: str) -> str:
    folder, slash, _ = below.partition("/")
    return folder if slash else ""


def _of_tags(tags: Tags, parents: Mapping[str, str]) -> str:
    known = [genre for genre in tags.genres if letters_of(genre) in parents]
    return next(iter([*known, *tags.genres]), "")


def _few(tagged: Sequence[str]) -> str:
    count = sum(map(bool, tagged))
    return f"{count or 'none'} of {len(tagged)} tracks {'has' if count < 2 else 'have'} a genre tag"


def _doubt(ids: Sequence[str], folders: Sequence[str], tags: Sequence[Tags]) -> str:
    """Why the folders do not look like genres; "" where they do."""
    names = sorted(set(folders) - {""})
    if not names:
        return "no folders"
    if _share(_NUMBER.fullmatch(name) is not None for name in names) > MOST:
        return f"the folders are numbers: {named(names)}"
    artists: dict[str, Counter[str]] = {name: Counter() for name in names}
    for folder, one in zip(folders, tags, strict=True):
        if folder and one.artist:
            artists[folder][letters_of(one.artist)] += 1
    tagged = [name for name in names if artists[name]]
    is_artist = [letters_of(name) in artists[name] for name in tagged]
    titled = [track_id.rpartition("/")[2] for track_id in ids]
    titles = [
        title.casefold().startswith(f"{folder.casefold()} - ")
        for title, folder in zip(titled, folders, strict=True)
        if folder
    ]
    if (tagged and _share(is_artist) > MOST) or _share(titles) > MOST:
        return f"the folders look like artists: {named(names)}"
    if _share(letters_of(name) in _known() for name in names) >= MOST:
        return ""
    if sum(bool(one.artist) for one in tags) >= MOST * len(tags) and tagged:
        if _share(len(artists[name]) > 1 for name in tagged) > MOST:
            return ""
        return f"each folder holds one artist: {named(names)}"
    deep = _share(track_id.count("/") > 1 for track_id in ids)
    if deep > MOST:
        return f"the folders hold folders and have no known genre's name: {named(names)}"
    return ""


@cache
def _known() -> frozenset[str]:
    """Names of genres, as `letters_of` has them."""
    from mutagen.id3 import TCON

    return _SAID_TOO.union(letters_of(genre) for genre in TCON.GENRES)


def _share(whether: Iterable[bool]) -> float:
    found = list(whether)
    return sum(found) / len(found) if found else 0.0
