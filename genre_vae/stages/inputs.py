"""What dense models read of a track: MFCC statistics, a pretrained tagger's vector, or a file's."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import pandas as pd

from genre_vae.collection.catalog import Catalog
from genre_vae.config import Given, RowConfig, VectorsConfig
from genre_vae.features.vectors import Vectors
from genre_vae.files import write_json
from genre_vae.methods import Method, Reads
from genre_vae.records import FeatureSet, InputError, LabelUse
from genre_vae.stages.collect import Collection, collect
from genre_vae.tracking.run import Run
from genre_vae.tracking.stage import Artifact, Recorder, stage

MUSICNN = (
    "musicnn (Pons & Serra, 2019), a tagger trained on 200,000 songs of the Million Song Dataset "
    "to predict 50 Last.fm tags, some of which name genres"
)


@dataclass(frozen=True, eq=False)
class InputVectors:
    """Vectors of a collection's tracks that are not made of them alone.

    Parameters
    ----------
    stem
        The name, without suffix, of the file that holds them.
    vectors : values (n, d)
    provenance
        Where they come from, in a sentence.
    audit : one row, the fields of `genre_vae.evaluation.audit.Audit` and ``modality``
    tags : values (n, 50)
        The probabilities of the tagger's tags, where a tagger made the vectors.
    unmatched : columns name, side, reason
        Tracks and rows of the file that were not joined, where a file holds the vectors.
    """

    stem: str
    vectors: FeatureSet
    provenance: str
    audit: pd.DataFrame
    tags: FeatureSet | None = None
    unmatched: pd.DataFrame | None = None

    @property
    def reads(self) -> str:
        """The name of the vectors."""
        return self.vectors.name

    def read(self, name: str) -> FeatureSet:
        """The vectors; KeyError for another name than theirs."""
        return {self.vectors.name: self.vectors}[name]

    def save(self, folder: Path) -> None:
        """Write ``<stem>.npy``, ``audit.csv``, ``input.json`` and, where they are,
        ``<stem>_tags.npy`` and ``unmatched.csv``."""
        self.vectors.save(folder, self.stem)
        self.audit.to_csv(folder / "audit.csv", index=False)
        if self.tags is not None:
            self.tags.save(folder, f"{self.stem}_tags")
        if self.unmatched is not None:
            self.unmatched.to_csv(folder / "unmatched.csv", index=False)
        write_json(folder / "input.json", {"stem": self.stem, "provenance": self.provenance})

    @classmethod
    def load(cls, folder: Path) -> InputVectors:
        """Read what `save` wrote, without the list of what is unmatched."""
        about = json.loads((folder / "input.json").read_text("utf-8"))
        stem = about["stem"]
        tags = f"{stem}_tags"
        return cls(
            stem,
            FeatureSet.load(folder, stem),
            about["provenance"],
            pd.read_csv(folder / "audit.csv"),
            FeatureSet.load(folder, tags) if (folder / f"{tags}.npy").exists() else None,
        )


@dataclass(frozen=True)
class Weights:
    """A file of weights, whose content the fingerprint knows."""

    path: Path
    fingerprint: str


@dataclass(frozen=True)
class TaggerConfig:
    """A tagger's name."""

    input: str = "musicnn"


@dataclass(frozen=True)
class Inputs:
    """What methods read: `audio` has MFCC statistics and mel windows, `vectors` what dense models
    take, the same artifact where ``input`` is ``audio``."""

    audio: Artifact[Collection]
    vectors: Artifact[Collection] | Artifact[InputVectors]

    @property
    def other(self) -> Artifact[InputVectors] | None:
        """The vectors where they are not the audio's own."""
        return None if self.vectors is self.audio else self.vectors  # type: ignore[return-value]

    @property
    def features(self) -> FeatureSet:
        """The vectors' values."""
        source = self.vectors.value
        return source.read(source.reads)

    def of(self, method: Method, mel_view: str) -> tuple[Artifact[Collection | InputVectors], str]:
        """The artifact whose product a method reads, and the name of its input there."""
        mel = "mel" if mel_view == "windows" else "mel, first window"
        if method.reads is Reads.MEL or (
            method.reads is Reads.VECTORS_OR_MEL and self.other is None
        ):
            return self.audio, mel  # type: ignore[return-value]
        return self.vectors, self.vectors.value.reads  # type: ignore[return-value]


def row_config(method: Method, reads: str) -> RowConfig:
    """What a method's embedding of an input is called."""
    return RowConfig(method.key, method.title_for(reads), method.stem, reads)


@stage("embed")
def tag(
    record: Recorder,
    audio: Collection,
    catalog: Catalog,
    weights: Weights,
    *,
    config: TaggerConfig,
) -> InputVectors:
    """The tagger's embedding and tags of every track."""
    from genre_vae.features import musicnn

    paths = catalog.tracks.set_index("track_id")["path"].loc[audio.mfcc.ids.tolist()]
    vectors, tags = musicnn.extract_tracks(
        audio.mfcc,
        paths.tolist(),
        musicnn.load(weights.path),
        workers=record.workers,
        progress=lambda results: record.progress(results, total=len(paths)),
    )
    made = InputVectors("musicnn", vectors, MUSICNN, _audited(record, audio, vectors), tags)
    return _described(record, made)


@stage("embed")
def join(
    record: Recorder, audio: Collection, file: Vectors, *, config: VectorsConfig
) -> InputVectors:
    """The vectors of a file, joined by id.

    Whatever label use is stated for them, vectors in which the audit finds the label have the
    highest.
    """
    from genre_vae.features import vectors

    found, unmatched, report = vectors.match(file, audio.mfcc, label_use=config.input_label_use)
    audit = _audited(record, audio, found)
    use = max(config.input_label_use, LabelUse.FEATURE if audit["leaks"].item() else LabelUse.NONE)
    # They count as pretrained: nothing here can show that they are not.
    found = replace(found, name=config.input, label_use=use, pretrained=True)
    about = " ".join(config.input_about.split())
    about += f", label use {config.input_label_use}, as stated"
    provenance = f"{config.input}: {about}; audit: {audit['verdict'].item()}"
    record.metrics({"unmatched": len(unmatched)})
    made = InputVectors("vectors", found, provenance, audit, unmatched=unmatched)
    return _described(record, made, *report)


def _audited(record: Recorder, audio: Collection, vectors: FeatureSet) -> pd.DataFrame:
    from genre_vae.evaluation import audit

    found = audit.audit(vectors, audio.reference, seed=0)
    return pd.DataFrame([{"modality": "input", **asdict(found), "leaks": found.leaks}])


def _described(record: Recorder, made: InputVectors, *report: str) -> InputVectors:
    row = made.audit.iloc[0]
    n, d = made.vectors.values.shape
    record.metrics({"tracks": n, "dimensions": d})
    record.tags({"verdict/input": row["verdict"], "provenance": made.provenance})
    record.tags({"label_use": made.vectors.label_use})
    lines = report or (f"{n} tracks, {d} dimensions",)
    record.note = "\n".join([*lines, f"audit: {row['verdict']}, {row['reason']}"])
    return replace(made, audit=made.audit.drop(columns="leaks"))


def inputs(run: Run, given: Given) -> Inputs:
    """What ``input`` names for the collection that ``data`` names."""
    if given.input not in ("audio", "musicnn"):
        _check_stated(given)  # before anything is computed
    audio = collect(run, given)
    if given.input == "audio":
        return Inputs(audio, audio)
    name = audio.dataset.name
    if given.input == "musicnn":
        made = run.do(
            tag,
            audio,
            audio.dataset,
            musicnn_weights(run, given),
            config=TaggerConfig(),
            title=f"musicnn of {name}",
        )
        return Inputs(audio, made)
    from genre_vae.features import vectors

    path = given.path(given.input)
    stated = LabelUse[given.input_label_use.upper()]
    return Inputs(
        audio,
        run.do(
            join,
            audio,
            vectors.load(path),
            config=VectorsConfig(path.name, given.input_about, stated),
            title=f"vectors of {path.name}",
        ),
    )


def musicnn_weights(run: Run, given: Given) -> Weights:
    """The tagger's weights in the cache, fetched once; a second caller waits for the first."""
    from filelock import FileLock

    from genre_vae.features import musicnn

    path = run.root / ".cache" / f"musicnn-{musicnn.SHA256[:8]}.safetensors"
    wheel = None if given.musicnn_wheel is None else given.path(given.musicnn_wheel)
    if not path.exists() and wheel is None:
        print(f"{'musicnn':<10} fetching {musicnn.WHEEL} (29 MB), once", flush=True)
    with FileLock(f"{path}.lock"):
        return Weights(musicnn.fetch(path, wheel=wheel), musicnn.SHA256)


def _check_stated(given: Given) -> None:
    if not given.input.strip():
        raise InputError("input is empty: name a file of vectors, 'musicnn' or 'audio'")
    path = given.path(given.input)
    if not path.is_file():
        what = "a folder, not a file" if path.is_dir() else "no such file"
        raise InputError(f"input {path}: {what}; give a file of vectors, 'musicnn' or 'audio'")
    unstated = {
        "input_about": not given.input_about.strip(),
        "input_label_use": given.input_label_use == "unstated",
    }
    missing = [name for name, is_missing in unstated.items() if is_missing]
    if missing:
        raise InputError(
            f"input {given.input}: nothing here can tell where vectors come from: state "
            f"{' and '.join(missing)}, as in input_about='OpenL3, music, 512' input_label_use=none"
        )
