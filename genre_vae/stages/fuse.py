"""An embedding or an input, and lyrics -> both as one."""

from __future__ import annotations

from dataclasses import replace

from genre_vae.config import Counted, FuseConfig, Given
from genre_vae.embedding import Embedding
from genre_vae.evaluation.audit import LEAKING
from genre_vae.methods import Method
from genre_vae.records import FeatureSet, LabelUse
from genre_vae.scaling import read
from genre_vae.stages.audit import Audits
from genre_vae.stages.inputs import Inputs, Source, row_config
from genre_vae.stages.lyrics import Words
from genre_vae.tracking.run import Run
from genre_vae.tracking.stage import Artifact, Recorder, stage


@stage("fuse")
def join_lyrics(
    record: Recorder,
    audio: Embedding | Source,
    words: Words,
    audits: Audits,
    *,
    config: FuseConfig,
) -> Embedding:
    """Lyrics joined by id to every member of an embedding, or to an input."""
    row = config.row
    text = _trusted(words.embedding, audits.verdict("lyrics"))
    if isinstance(audio, Embedding):
        members, seeds = audio.members, audio.seeds
    else:
        members, seeds = (read(audio, row.reads),), ()
    if config.fusion == "late":  # the clusterings that it joins have seeds
        members, seeds = members * config.seeds, config.numbers
    fused = tuple(
        _fused(member, text, config, seed)
        for member, seed in zip(members, seeds or (0,), strict=True)
    )
    record.metrics({"tracks": len(fused[0]), "dimensions": fused[0].values.shape[1]})
    made = Embedding(
        row.method,
        row.title,
        row.stem,
        row.reads,
        (row.reads, text.name, *(["genre"] if config.with_genre else [])),
        audio.provenance,
        members=fused,
        seeds=seeds,
    )
    record.tags(made.tags())
    return made


def _fused(audio: FeatureSet, text: FeatureSet, config: FuseConfig, seed: int) -> FeatureSet:
    from genre_vae import clustering
    from genre_vae.features import fusion

    sets, weights = [audio, text], [1.0, config.lyrics_weight]
    if config.with_genre:
        sets, weights = [*sets, fusion.one_hot(audio)], [*weights, 1.0]
    if config.fusion == "concatenate":
        return fusion.concatenate(sets)
    if config.fusion == "weighted":
        return fusion.weighted(sets, weights)
    both, _ = fusion.join(sets)
    found = clustering.resolve_n_clusters(config.n_clusters, both)
    return fusion.late(sets, weights, n_clusters=found, seed=seed)


def _trusted(text: FeatureSet, verdict: str) -> FeatureSet:
    """The lyrics' embedding; if the audit found the label in it, its label use says so."""
    if verdict == "unknown":  # tables say so beside its rows
        return replace(text, name=f"{text.name}, audit unknown")
    use = LabelUse.FEATURE if verdict in LEAKING else LabelUse.NONE
    return replace(text, label_use=max(text.label_use, use))


def fuse(
    run: Run,
    given: Given,
    inputs: Inputs,
    embedding: Artifact[Embedding] | None,
    words: Artifact[Words],
    audited: Artifact[Audits],
    counted: Counted,
    method: Method,
) -> Artifact[Embedding]:
    """The fusion that a method makes of lyrics and an embedding, or the input where None; a late
    one joins clusterings with as many clusters as were counted."""
    late = method.fusion == "late"
    audio = inputs.vectors if embedding is None else embedding
    reads = inputs.reads if embedding is None else embedding.value.reads
    config = FuseConfig(
        row=row_config(method, reads),
        fusion=method.fusion,
        lyrics_weight=1.0 if method.fusion == "concatenate" else given.lyrics_weight,
        with_genre=method.with_genre,
        n_clusters=counted.n_clusters if late else None,
        seed=given.seed if late else 0,
        seeds=given.seeds if late else 0,
    )
    return run.do(join_lyrics, audio, words, audited, config=config, title=method.key)
