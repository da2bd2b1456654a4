"""What dense models see of a track: MFCC statistics, a pretrained tagger's vector, or a file's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from entrypoints.features import features, reference
from entrypoints.options import DATA, INPUT, Options, entry_point
from genre_vae.records import Assignment, FeatureSet, InputError, LabelUse

if TYPE_CHECKING:
    from genre_vae.evaluation.audit import Audit
    from genre_vae.tracking import Recorder, StageRun, Tracker

MUSICNN = (
    "musicnn (Pons & Serra, 2019), a tagger trained on 200,000 songs of the Million Song Dataset "
    "to tell 50 Last.fm tags, some of which name genres"
)


class Inputs(NamedTuple):
    """The stages whose outputs models see: `audio` has MFCC statistics and mel windows, `vectors`
    what dense models take, the same stage where nothing else is asked for."""

    audio: StageRun
    vectors: StageRun

    def load(self) -> FeatureSet:
        """The vectors."""
        return FeatureSet.load(self.vectors.folder, self.vectors.tags["output"])

    @property
    def stages(self) -> list[StageRun]:
        """Both, or the one that they are."""
        return [self.audio] if self.vectors is self.audio else [self.audio, self.vectors]


def inputs(tracker: Tracker, options: Options) -> Inputs:
    """What ``--input`` means for the collection that ``--data`` means, each a stage."""
    if options.input not in ("audio", "musicnn"):
        _check_stated(options)  # before anything is computed
    audio = features(tracker, options)
    if options.input == "audio":
        return Inputs(audio, audio)
    return Inputs(
        audio, (_musicnn if options.input == "musicnn" else _file)(tracker, options, audio)
    )


def _musicnn(tracker: Tracker, options: Options, audio: StageRun) -> StageRun:
    """The tagger's embedding of every track, as a stage: ``musicnn.npy``, ``musicnn_tags.npy``."""
    from genre_vae.features import musicnn

    weights = musicnn_weights(tracker, options)

    def compute(record: Recorder) -> None:
        from tqdm import tqdm

        mfcc = FeatureSet.load(audio.folder, "mfcc")
        paths = audio.dataset.tracks.set_index("track_id")["path"].loc[mfcc.ids.tolist()]
        embeddings, tags = musicnn.extract_tracks(
            mfcc,
            paths.tolist(),
            musicnn.load(weights),
            workers=options.n_workers,
            progress=lambda results: tqdm(
                results, total=len(mfcc), unit="file", desc=f"{'':<10}", leave=False, disable=None
            ),
        )
        embeddings.save(record.folder, "musicnn")
        tags.save(record.folder, "musicnn_tags")
        judged = _audited(record, audio, embeddings)
        record.metrics({"tracks": len(embeddings), "dimensions": embeddings.values.shape[1]})
        record.note = (
            f"{len(embeddings)} tracks, {embeddings.values.shape[1]} dimensions\n"
            f"audit: {judged.verdict}, {judged.reason}"
        )

    return tracker.stage(
        "embed",
        title=f"musicnn of {audio.dataset.name}",
        dataset=audio.dataset,
        config={"input": "musicnn", "weights": musicnn.SHA256},
        inputs=[audio],
        tags={
            "output": "musicnn",
            "reads": "musicnn",
            "provenance": MUSICNN,
            "label_use": LabelUse.NONE,
        },
        compute=compute,
    )


def musicnn_weights(tracker: Tracker, options: Options) -> Path:
    """The tagger's weights in the cache, fetched once; whoever asks at the same time waits."""
    from filelock import FileLock

    from genre_vae.features import musicnn

    weights = tracker.root / ".cache" / f"musicnn-{musicnn.SHA256[:8]}.safetensors"
    wheel = None if options.musicnn_wheel == "auto" else options.path(options.musicnn_wheel)
    if not weights.exists() and wheel is None:
        print(f"{'musicnn':<10} fetching {musicnn.WHEEL} (29 MB), once", flush=True)
    with FileLock(f"{weights}.lock"):
        return musicnn.fetch(weights, wheel=wheel)


def words_of(vectors: StageRun, assignment: Assignment) -> list[list[str]]:
    """The first member's clusters in the words of the tagger's stage."""
    from genre_vae.features import musicnn

    tags = FeatureSet.load(vectors.folder, "musicnn_tags").select(assignment.ids)
    return musicnn.cluster_tags(tags.values, assignment.clusters[0])


def _file(tracker: Tracker, options: Options, audio: StageRun) -> StageRun:
    """The vectors of a file, joined by id, as a stage: ``vectors.npy``, ``unmatched.csv``.

    Whatever the file's label use is said to be, vectors in which the audit finds the label have the
    highest.
    """
    from genre_vae.features import vectors

    path = options.path(options.input)
    given = vectors.load(path)
    stated = LabelUse[options.input_label_use.upper()]

    def compute(record: Recorder) -> None:
        from dataclasses import replace

        mfcc = FeatureSet.load(audio.folder, "mfcc")
        found, unmatched, report = vectors.match(given, mfcc, label_use=stated)
        unmatched.to_csv(record.folder / "unmatched.csv", index=False)
        judged = _audited(record, audio, found)
        leaks = judged.verdict in ("label", "order")
        use = max(stated, LabelUse.FEATURE if leaks else LabelUse.NONE)
        # nobody here can show that they are not
        replace(found, name=path.name, label_use=use, pretrained=True).save(
            record.folder, "vectors"
        )
        about = f"{' '.join(options.input_about.split())}, label use {stated}, as stated"
        provenance = f"{path.name}: {about}; audit: {judged.verdict}"
        record.tags({"label_use": use, "provenance": provenance})
        record.metrics({"tracks": len(found), "dimensions": found.values.shape[1]})
        record.metrics({"unmatched": len(unmatched)})
        record.note = "\n".join([*report, f"audit: {judged.verdict}, {judged.reason}"])

    return tracker.stage(
        "embed",
        title=f"vectors of {path.name}",
        dataset=audio.dataset,
        config={
            "input": path.name,
            "digest": given.fingerprint,
            "input_about": options.input_about,
            "input_label_use": options.input_label_use,
        },
        inputs=[audio],
        tags={"output": "vectors", "reads": path.name},
        compute=compute,
    )


def _check_stated(options: Options) -> None:
    if not options.input.strip():
        raise InputError("input is empty: name a file of vectors, 'musicnn' or 'audio'")
    path = options.path(options.input)
    if not path.is_file():
        what = "a folder, not a file" if path.is_dir() else "no such file"
        raise InputError(f"input {path}: {what}; give a file of vectors, 'musicnn' or 'audio'")
    unstated = {
        "input_about": not options.input_about.strip(),
        "input_label_use": options.input_label_use == "unstated",
    }
    missing = [name for name, is_missing in unstated.items() if is_missing]
    if missing:
        raise InputError(
            f"input {options.input}: nothing here can tell where vectors come from: state "
            f"{' and '.join(missing)}, as in input_about='OpenL3, music, 512' input_label_use=none"
        )


def _audited(record: Recorder, audio: StageRun, vectors: FeatureSet) -> Audit:
    """What an audit finds of vectors; ``audit.csv`` has it too."""
    from dataclasses import asdict

    import pandas as pd

    from genre_vae.evaluation import audit

    found = audit.audit(vectors, reference(audio), seed=0)
    table = pd.DataFrame([{"modality": "input", **asdict(found)}])
    table.to_csv(record.folder / "audit.csv", index=False)
    record.tags({"verdict/input": found.verdict})
    return found


@entry_point(*DATA, *INPUT, "workers")
def main(tracker: Tracker, options: Options) -> None:
    """Vectors of every track: a pretrained tagger's, or those of a file, joined by id and audited.

    Audio features that are not there yet are extracted first.
    """
    inputs(tracker, options)


if __name__ == "__main__":
    main()
