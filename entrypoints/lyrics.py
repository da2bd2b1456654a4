"""Lyrics -> an embedding of every track's words, and their fusion with an audio embedding."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from entrypoints.features import features
from entrypoints.options import DATA, LYRICS, Options, entry_point
from entrypoints.train import latents, member_folder, members
from genre_vae.files import write_json
from genre_vae.records import FeatureSet, InputError, LabelUse

if TYPE_CHECKING:
    from genre_vae.collection.lyrics import Lyrics
    from genre_vae.tracking import Recorder, StageRun, Tracker


def lyrics(tracker: Tracker, options: Options, source: StageRun) -> StageRun | None:
    """The lyrics' embedding, as a stage; None for ``--lyrics none``.

    Its folder holds ``lyrics_embeddings.npy`` and ``lyrics_mapping.json``.
    """
    from genre_vae.collection.lyrics import GENERATED

    kind, why = _resolve(options, source.dataset.folder)
    if why:
        print(f"{'lyrics':<10} {why}", flush=True)
    if kind == "none":
        return None
    model = _model(options)
    digest = ""
    if kind not in GENERATED:
        import hashlib

        try:
            digest = hashlib.blake2b(Path(kind).read_bytes(), digest_size=8).hexdigest()
        except OSError as error:
            raise InputError(f"lyrics {kind}: {error.strerror}") from error

    def compute(record: Recorder) -> None:
        from genre_vae.collection import lyrics as words
        from genre_vae.features.text import embed

        audio = FeatureSet.load(source.folder, "mfcc")
        found = _read(kind, options, audio, source)
        embedded = embed(
            found,
            model=model,
            dim=options.lyrics_dim,
            missing=options.lyrics_missing,
            seed=options.seed,
        )
        embedded.save(record.folder, "lyrics_embeddings")
        write_json(record.folder / "lyrics_mapping.json", found.mapping())
        gaps = words.missing_nmi(found)
        record.metrics(
            {
                "tracks": len(found.ids),
                "with_words": int((~found.missing).sum()),
                "missing": float(found.missing.mean()),
                "missing_nmi": gaps,
                "dimensions": embedded.values.shape[1],
            }
        )
        record.tags({"label_use": embedded.label_use})
        record.note = "\n".join(
            [
                *found.report,
                f"{found.missing.mean():.0%} of the tracks have no words ({options.lyrics_missing})"
                + (f"; NMI between that and genre {gaps:.2f}" if gaps == gaps else ""),
                *([f"label use: {embedded.label_use}"] if embedded.label_use else []),
            ]
        )

    config = {name: getattr(options, name) for name in LYRICS}
    config |= {"lyrics": Path(kind).name, "lyrics_digest": digest, "lyrics_model": model}
    return tracker.stage(
        "lyrics",
        title=f"{model} of {Path(kind).name}",
        dataset=source.dataset,
        config=config | {"seed": options.seed},
        inputs=[source],
        compute=compute,
    )


def _resolve(options: Options, folder: Path) -> tuple[str, str]:
    """What ``--lyrics`` means here: a kind or a file's path, and a line that says so."""
    from genre_vae.collection.lyrics import GENERATED

    if options.lyrics in (*GENERATED, "none"):
        return options.lyrics, ""
    if options.lyrics == "auto":
        there = next(
            (p for p in (folder / "lyrics.csv", folder / "lyrics.json") if p.exists()), None
        )
        if there:
            return str(there), f"auto: {there}"
        return "control", (
            "auto: no lyrics.csv or lyrics.json in the data folder, so meaningless words stand in "
            "for them (the control): rows with lyrics say what fusion with nothing does"
        )
    if not options.lyrics:
        raise InputError("lyrics is empty: name a file, 'control', 'themes', 'none' or 'auto'")
    return str(options.path(options.lyrics)), ""


def _model(options: Options) -> str:
    """``tfidf``, a folder from where the person typed the command, or a name on the hub."""
    folder = options.path(options.lyrics_model)
    return str(folder) if folder.is_dir() else options.lyrics_model


def _read(kind: str, options: Options, audio: FeatureSet, source: StageRun) -> Lyrics:
    from genre_vae.collection import lyrics as words

    if kind == "themes":
        return words.themes(audio)
    if kind == "control":
        tracks = source.dataset.tracks.set_index("track_id")
        return words.control(audio, tracks["digest"].loc[audio.ids.tolist()].to_numpy(dtype=str))
    path = Path(kind)
    key = None if options.lyrics_match == "index" else options.lyrics_id
    file = words.load(path, id_column=key, text_column=options.lyrics_text)
    return words.match(file.songs, audio.ids, audio.labels, by=options.lyrics_match, name=path.name)


def fuse(
    tracker: Tracker, options: Options, embedding: StageRun, words: StageRun, audited: StageRun
) -> StageRun:
    """An audio embedding and the lyrics', joined by id, as a stage: ``Z_<model>_lyrics.npy``."""
    model = f"{embedding.tags['model']}_lyrics"

    def compute(record: Recorder) -> None:
        from genre_vae.features.fusion import weighted

        text = trusted(words, audited)
        for number, audio in enumerate(members(embedding)):
            folder = member_folder(record.folder, options.seed + number, options.seed)
            fused = weighted([audio, text], [1.0, options.lyrics_weight])
            fused.save(folder, latents(model))
        record.metrics({"tracks": len(fused), "dimensions": fused.values.shape[1]})
        record.tags({"label_use": fused.label_use})

    return tracker.stage(
        "fuse",
        title=f"{embedding.tags['model']} + lyrics",
        dataset=embedding.dataset,
        config={"model": model, "lyrics_weight": options.lyrics_weight, "seed": options.seed},
        inputs=[embedding, words, audited],
        tags={
            "model": model,
            "reads": embedding.tags["reads"],
            "provenance": embedding.tags["provenance"],
            "output": latents(model),
        },
        compute=compute,
    )


def trusted(words: StageRun, audited: StageRun) -> FeatureSet:
    """The lyrics' embedding; if the audit found the label in it, its label use says so."""
    text = FeatureSet.load(words.folder, "lyrics_embeddings")
    verdict = audited.tags["verdict/lyrics"]
    if verdict == "unknown":  # a table says what its rows are of
        return text.derive(f"{text.name}, audit unknown", text.values)
    leaks = verdict in ("label", "order")
    return text.derive(text.name, text.values, LabelUse.FEATURE if leaks else LabelUse.NONE)


@entry_point(*DATA, *LYRICS, "seed", "workers")
def main(tracker: Tracker, options: Options) -> None:
    """Match lyrics to tracks and embed them; say what matched, what is missing, what it may leak.

    Audio features that are not there yet are extracted first.
    """
    lyrics(tracker, options, features(tracker, options))


if __name__ == "__main__":
    main()
