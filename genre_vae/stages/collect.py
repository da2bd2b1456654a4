"""A folder of audio -> a catalog, and the features of its tracks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from genre_vae.collection import genres
from genre_vae.collection.catalog import Catalog, scan
from genre_vae.collection.genre_tables import PARENTS, GenreTable
from genre_vae.collection.listing import readable
from genre_vae.collection.names import letters_of
from genre_vae.config import Given
from genre_vae.features.kept import LIMIT, Column, Kept, default_folder, trim
from genre_vae.records import FeatureSet, InputError, Loudness, known_genres
from genre_vae.tracking import cache
from genre_vae.tracking.run import Run
from genre_vae.tracking.stage import Artifact, Recorder, stage

TABLES = ("skipped", "faults", "catalog")
LISTED = 20  # files that cannot be used, in the terminal: the others are in skipped.csv


@dataclass(frozen=True, eq=False)
class Collection:
    """What the audio itself gives of the tracks of a folder.

    Parameters
    ----------
    mfcc : values (n, 40)
        Mean and standard deviation of each coefficient.
    descriptor : values (n, d)
        Timbre, harmony, dynamics and rhythm (`genre_vae.features.descriptor`).
    mel : values (n, 10, 1, 64, 128)
        Windows of the log-mel spectrogram, in dB below each clip's peak.
    skipped : columns track_id, genre, reason
        Files that could not be used.
    faults : columns track_id, genre, fault, of
        Tracks in GTZAN's list of faults, and tracks that repeat the track `of`.
    catalog : columns track_id, genre, digest
        Every audio file.
    """

    mfcc: FeatureSet
    descriptor: FeatureSet
    mel: FeatureSet
    skipped: pd.DataFrame
    faults: pd.DataFrame
    catalog: pd.DataFrame
    provenance: str = ""  # nothing that was trained on other data has a part in it
    tags: FeatureSet | None = None  # no tagger has

    def read(self, name: str) -> FeatureSet:
        """The input of a model by its name; mel windows stay on disk."""
        inputs = {"mfcc": self.mfcc, "descriptor": self.descriptor, "mel": self.mel}
        if name == "mel, first window":
            return self.mel.derive(name, self.mel.values[:, :1])
        return inputs[name]

    @property
    def reference(self) -> FeatureSet:
        """The MFCC statistics that an audit compares with: without tracks that repeat another,
        whose tie to the audio is more than their own sound."""
        repeats = self.faults["track_id"][self.faults["of"] != ""].tolist()
        return self.mfcc.select(self.mfcc.ids[~np.isin(self.mfcc.ids, repeats)])

    @property
    def digests(self) -> list[str]:
        """The digest of each track's file, in the order of the features."""
        digests = self.catalog.set_index("track_id")["digest"]
        return [str(one) for one in digests.loc[self.mfcc.ids.tolist()]]

    def save(self, folder: Path) -> None:
        """Write the features, the tables, and the seed's ``X.npy`` (standardised) and
        ``X_spec.npy`` (the first windows)."""
        from genre_vae.scaling import Scaler

        self.mfcc.save(folder, "mfcc")
        self.descriptor.save(folder, "descriptor")
        self.mel.save(folder, "mel")
        self.mel.derive("mel, first window", self.mel.values[:, 0]).save(folder, "X_spec")
        standardised = Scaler.standardise(self.mfcc.values)
        self.mfcc.derive("mfcc, standardised", standardised).save(folder, "X")
        for name in TABLES:
            getattr(self, name).to_csv(folder / f"{name}.csv", index=False)

    @classmethod
    def load(cls, folder: Path) -> Collection:
        """Read what `save` wrote."""
        skipped, faults, catalog = (
            pd.read_csv(folder / f"{name}.csv", dtype=str, keep_default_na=False) for name in TABLES
        )
        mfcc, descriptor = (FeatureSet.load(folder, name) for name in ("mfcc", "descriptor"))
        mel = FeatureSet.load(folder, "mel", mmap=True)
        return cls(mfcc, descriptor, mel, skipped, faults, catalog)


@dataclass(frozen=True)
class ExtractConfig:
    """Nothing: all of it is constants in the source, which the fingerprint covers."""


@stage("features")
def extract(record: Recorder, catalog: Catalog, *, config: ExtractConfig) -> Collection:
    """MFCC statistics, the descriptor and mel windows of every usable track, in one pass over the
    audio."""
    from genre_vae.collection import faults as known_faults
    from genre_vae.features import spectral

    mfcc, mel, descriptor, sources, skipped = spectral.extract_catalog(
        catalog,
        workers=record.workers,
        kept=kept_of(spectral.hear, spectral.KEPT, catalog.loudness),
        progress=lambda results, total: record.progress(results, total=total),
    )
    faults = known_faults.table(catalog, mel)
    genres = known_genres(mfcc.labels)
    record.metrics({"tracks": len(mfcc), "genres": len(genres)})
    record.metrics({"faults": faults["track_id"].nunique()})
    record.note = "\n".join(
        [
            f"{len(mfcc)} tracks {_where(mfcc)}, {_used(len(catalog.tracks), len(skipped))}",
            *_skipped(skipped),
            *_noted(sources),
            *_bands(mfcc),
            *([f"{_kinds_of(faults)} (faults.csv)"] if len(faults) else []),
        ]
    )
    trim(default_folder(), limit=LIMIT)
    others = [(readable(name), "", reason) for name, reason in catalog.left_out]
    skipped = pd.concat([skipped, pd.DataFrame(others, columns=skipped.columns)], ignore_index=True)
    record.metrics({"skipped": len(skipped)})
    listed = catalog.tracks.drop(columns="path").merge(sources, on="track_id", how="left")
    return Collection(mfcc, descriptor, mel, skipped, faults, listed)


def kept_of(function: Callable[..., object], columns: Sequence[Column], *settings: object) -> Kept:
    """What a function has made of single tracks with some settings, whoever asked for it: kept by
    the function's code and the versions of the libraries that it computes with."""
    code = cache.code_of(function)
    key = cache.fingerprint(function.__qualname__, settings, (), code)
    return Kept(default_folder() / f"{function.__name__}-{key}", columns)


def _used(files: int, skipped: int) -> str:
    what = _count(files, "audio file")
    return f"{skipped} of {what} cannot be used" if skipped else f"of {what}"


def _skipped(skipped: pd.DataFrame) -> list[str]:
    """A line for each of the first files that cannot be used, and how many more there are."""
    rows = zip(skipped["track_id"].tolist(), skipped["reason"].tolist(), strict=True)
    lines = [f"left out: {readable(name)}: {reason}" for name, reason in rows]
    more = len(lines) - LISTED
    return lines if more < 2 else [*lines[:LISTED], f"left out: {more} more (skipped.csv)"]


def _noted(sources: pd.DataFrame) -> list[str]:
    """What had to be done to hear tracks, and to how many."""
    noted = sources[sources["note"] != ""]
    return [
        f"{_count(len(tracks), 'track')}: {note}, such as {readable(tracks['track_id'].iloc[0])}"
        for note, tracks in noted.groupby("note")
    ]


def _bands(mfcc: FeatureSet) -> list[str]:
    """What recordings end at, where that is not the same everywhere."""
    if "source" not in mfcc.groups:
        return []
    bands, counts = np.unique(mfcc.groups["source"], return_counts=True)
    found = ", ".join(f"{count} {band}" for band, count in zip(bands, counts, strict=True))
    return [f"caution: recordings end at different frequencies ({found}): clusters may follow that"]


def _where(mfcc: FeatureSet) -> str:
    genres, unknown = known_genres(mfcc.labels), int((mfcc.labels == "").sum())
    where = f"in {_count(len(genres), 'genre')}" if genres else "without genres"
    if genres and unknown:
        where += f" ({unknown} of them in none: label metrics leave those out)"
    return where


def _kinds_of(faults: pd.DataFrame) -> str:
    parts = {
        "in GTZAN's list of faulty clips": int((faults["of"] == "").sum()),
        "the same as another": int((faults["of"] != "").sum()),
    }
    return ", ".join(f"{count} {what}" for what, count in parts.items() if count)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def collect(run: Run, given: Given) -> Artifact[Collection]:
    """The features of the collection that ``data`` names."""
    catalog = catalog_of(run, given)
    return run.do(extract, catalog, config=ExtractConfig(), title=f"features of {catalog.name}")


def catalog_of(run: Run, given: Given) -> Catalog:
    """The collection that ``data`` names, without GTZAN's faults for ``faults=drop``."""
    folder = data_folder(run, given)
    table = None
    if given.genres not in genres.CHOICES:
        if not given.genres.strip():
            raise InputError(f"genres is empty: name a table, or {', '.join(genres.CHOICES)}")
        table = GenreTable.load(given.path(given.genres))
    catalog = scan(
        folder,
        genres=given.genres,
        table=table,
        parents=_parents(given),
        loudness=Loudness(given.loudness),
        cache=run.root / ".cache",
        verify=given.verify == "yes",
    )
    for heading, line in catalog.lines:
        print(f"{heading:<10} {line}", flush=True)
    if given.faults == "keep":
        return catalog
    from genre_vae.collection.gtzan import without_listed

    kept = without_listed(catalog)
    dropped = len(catalog.tracks) - len(kept.tracks)
    print(f"{'data':<10} {dropped} clips in GTZAN's list of faults are dropped", flush=True)
    return kept


def _parents(given: Given) -> dict[str, str]:
    """The table of parent genres that was given, empty for none."""
    if not given.genre_parents:
        return {}
    rows = GenreTable.load(given.path(given.genre_parents), PARENTS).rows
    found: dict[str, str] = {}
    for genre, parent in zip(rows["track"].tolist(), rows["genre"].tolist(), strict=True):
        key = letters_of(genre)
        if parent and found.setdefault(key, parent) != parent:
            raise InputError(
                f"genre_parents {given.genre_parents}: {genre!r} has two parents, {found[key]!r} "
                f"and {parent!r}"
            )
    return found


def data_folder(run: Run, given: Given) -> Path:
    """The folder that ``data`` names; the demo corpus is written where it is not yet there."""
    if given.data in ("auto", "demo"):
        from genre_vae.collection import demo

        gtzan = run.root / "data" / "gtzan"
        if given.data == "auto" and gtzan.is_dir():
            print(f"{'data':<10} {gtzan}")
            return gtzan
        folder = demo.ensure(run.root / "data" / "demo", workers=run.workers)
        print(f"{'data':<10} the demo corpus, {folder}")
        return folder
    if not given.data.strip():
        raise InputError("data is empty: name a folder, 'demo' or 'auto'")
    return given.path(given.data)
