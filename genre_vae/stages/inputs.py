"""What dense models read of a track: what the audio gives, a pretrained tagger's vector, a file's,
or several of these side by side."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from genre_vae.collection.catalog import Catalog
from genre_vae.config import CombinedConfig, Given, RowConfig, VectorsConfig
from genre_vae.features.vectors import Vectors
from genre_vae.files import write_json
from genre_vae.methods import Method, Reads
from genre_vae.records import FeatureSet, Geometry, InputError, LabelUse
from genre_vae.scaling import read
from genre_vae.stages.collect import Collection, collect, kept_of
from genre_vae.tracking.run import Run
from genre_vae.tracking.stage import Artifact, Recorder, stage

AUDIO_INPUTS = ("mfcc", "descriptor")  # vectors that the audio itself gives
NAME_ONE = (
    "name a file of vectors, 'mfcc', 'descriptor' or 'musicnn', several with + between, or 'audio'"
)
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
        The probabilities of the tagger's tags, where a tagger had a part in the vectors.
    unmatched : columns name, side, reason
        Tracks and rows of the file that were not joined, where a file holds the vectors.
    """

    stem: str
    vectors: FeatureSet
    provenance: str
    audit: pd.DataFrame
    tags: FeatureSet | None = None
    unmatched: pd.DataFrame | None = None

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


Source = Collection | InputVectors


@dataclass(frozen=True)
class Inputs:
    """What methods read.

    Parameters
    ----------
    audio
        What the audio itself gives; models with convolutions read its mel windows.
    vectors
        The artifact that holds what dense models read: the same one, where the audio gives it.
    reads
        The name of that, for `read`.
    windowed
        Whether a method of vectors or mel windows reads the latter.
    """

    audio: Artifact[Collection]
    vectors: Artifact[Collection] | Artifact[InputVectors]
    reads: str
    windowed: bool = False

    @property
    def other(self) -> Artifact[InputVectors] | None:
        """The vectors where they are not the audio's own."""
        return None if self.vectors is self.audio else self.vectors  # type: ignore[return-value]

    @property
    def features(self) -> FeatureSet:
        """What dense models read."""
        return read(self.vectors.value, self.reads)

    def of(self, method: Method, mel_view: str) -> tuple[Artifact[Source], str]:
        """The artifact whose product a method reads, and the name of its input there."""
        mel = "mel" if mel_view == "windows" else "mel, first window"
        if method.reads is Reads.MEL or (method.reads is Reads.VECTORS_OR_MEL and self.windowed):
            return self.audio, mel  # type: ignore[return-value]
        return self.vectors, self.reads  # type: ignore[return-value]


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
    from genre_vae.features import musicnn, tagging

    vectors, tags = tagging.extract_tracks(
        audio.mfcc,
        catalog,
        musicnn.load(weights.path),
        workers=record.workers,
        kept=kept_of(tagging.hear, tagging.KEPT, catalog.loudness, weights.fingerprint),
        progress=lambda results, total: record.progress(results, total=total),
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


@stage("embed")
def combine(record: Recorder, parts: Sequence[Source], *, config: CombinedConfig) -> InputVectors:
    """Several inputs side by side, for the tracks that all of them have."""
    from genre_vae.features import fusion

    name = "+".join(config.reads)
    sets = [part.read(reads) for part, reads in zip(parts, config.reads, strict=True)]
    vectors = [part for part in parts if isinstance(part, InputVectors)]
    made = InputVectors(
        "vectors",
        fusion.combine(sets, name=name),
        "; ".join(part.provenance for part in vectors),
        pd.concat(
            [pd.DataFrame(columns=["modality"])]
            + [part.audit.assign(modality=part.vectors.name) for part in vectors]
        ),
        next((part.tags for part in vectors if part.tags is not None), None),
    )
    n, d = made.vectors.values.shape
    record.metrics({"tracks": n, "dimensions": d})
    record.tags({"provenance": made.provenance, "label_use": made.vectors.label_use})
    record.note = f"{n} tracks, {d} dimensions"
    return made


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
    names = _names(given)
    audio = collect(run, given)
    if names == ["audio"]:
        return Inputs(audio, audio, _named("mfcc", audio, given), windowed=True)
    parts = [_part(run, given, audio, name) for name in names]
    vectors, reads = parts[0]
    if len(parts) > 1:
        config = CombinedConfig(tuple(reads for _, reads in parts))
        reads = "+".join(config.reads)
        artifacts = [artifact for artifact, _ in parts]
        title = f"{reads} of {audio.dataset.name}"
        vectors = run.do(combine, artifacts, config=config, title=title)
    return Inputs(audio, vectors, _named(reads, vectors, given))


def on_descriptor(given: Given, seen: Inputs) -> Inputs:
    """The descriptor as the input of dense models, where ``input`` is ``audio``."""
    return Inputs(seen.audio, seen.audio, _named("descriptor", seen.audio, given))


def _named(reads: str, source: Artifact[Any], given: Given) -> str:
    """The name of an input, with the geometry that was given where that is not its own."""
    if given.geometry is None:
        return reads
    geometry = Geometry(given.geometry)
    own = {block.geometry for block in source.value.read(reads).blocks}
    return reads if own == {geometry} else f"{reads}, {geometry}"


def _names(given: Given) -> list[str]:
    """The inputs that ``input`` names; what is known to be wrong with them shows at once."""
    text = given.input.strip()
    is_file = bool(text) and given.path(text).is_file()  # whose name may hold a plus
    names = [text] if is_file else [name.strip() for name in text.split("+")]
    if not all(names):
        raise InputError(f"input is empty: {NAME_ONE}")
    if len(names) > 1 and "audio" in names:
        raise InputError(f"input {text}: name mfcc or descriptor beside others, not audio")
    if len(set(names)) < len(names):
        raise InputError(f"input {text}: the same one twice")
    for name in names:
        if name not in (*AUDIO_INPUTS, "audio", "musicnn"):
            _check_stated(given, name)
    return names


def _part(
    run: Run, given: Given, audio: Artifact[Collection], name: str
) -> tuple[Artifact[Any], str]:
    """The artifact that holds an input, and what it is called there."""
    if name in AUDIO_INPUTS:
        return audio, name
    if name == "musicnn":
        weights = musicnn_weights(run, given)
        title = f"musicnn of {audio.dataset.name}"
        return run.do(tag, audio, audio.dataset, weights, config=TaggerConfig(), title=title), name
    from genre_vae.features import vectors

    path = given.path(name)
    stated = LabelUse[given.input_label_use.upper()]
    config = VectorsConfig(path.name, given.input_about, stated)
    title = f"vectors of {path.name}"
    return run.do(join, audio, vectors.load(path), config=config, title=title), path.name


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


def _check_stated(given: Given, name: str) -> None:
    path = given.path(name)
    if not path.is_file():
        what = "a folder, not a file" if path.is_dir() else "no such file"
        raise InputError(f"input {path}: {what}; {NAME_ONE}")
    unstated = {
        "input_about": not given.input_about.strip(),
        "input_label_use": given.input_label_use == "unstated",
    }
    missing = [option for option, is_missing in unstated.items() if is_missing]
    if missing:
        raise InputError(
            f"input {name}: nothing here can tell where vectors come from: state "
            f"{' and '.join(missing)}, as in input_about='OpenL3, music, 512' input_label_use=none"
        )
