"""Methods -> their embeddings of a collection, each of them made of what it needs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from genre_vae import methods
from genre_vae.config import Counted, Given
from genre_vae.embedding import Embedding
from genre_vae.methods import Method
from genre_vae.models.config import TrainConfig
from genre_vae.records import InputError
from genre_vae.stages.audit import Audits, audit
from genre_vae.stages.count import count
from genre_vae.stages.fuse import fuse
from genre_vae.stages.inputs import Inputs, inputs, on_descriptor
from genre_vae.stages.lyrics import Words, check_lyrics, lyrics
from genre_vae.stages.train import train
from genre_vae.tracking.run import Run
from genre_vae.tracking.stage import Artifact


class Key(NamedTuple):
    """An embedding: the key of its method, and whether that reads the descriptor beside the
    input."""

    method: str
    on_descriptor: bool = False


@dataclass
class Made:
    """Embeddings, and what they were made of."""

    inputs: Inputs
    counted: Counted
    words: Artifact[Words] | None = None
    audited: Artifact[Audits] | None = None
    embeddings: dict[Key, Artifact[Embedding]] = field(default_factory=dict)


def embed(
    run: Run,
    given: Given,
    chosen: Sequence[Method],
    *,
    rivals: Sequence[Method],
    reads_lyrics: bool,
    also_on_descriptor: Collection[str] = (),
) -> Made:
    """The embeddings of some methods.

    A method whose needs are not there is left out, with a line that says why.

    Parameters
    ----------
    chosen
        The methods.
    rivals
        The methods between which a number of an option is for its owner.
    reads_lyrics
        Whether there are lyrics, and an audit of what carries the label.
    also_on_descriptor
        The keys of methods that read the descriptor as well, where ``input`` is ``audio``.

    Raises
    ------
    InputError
        If no method is left.
    """
    if reads_lyrics:
        check_lyrics(given)
    seen = inputs(run, given)
    made = Made(seen, count(run, given, seen))
    if reads_lyrics:  # before anything is trained: what is wrong with a file shows at once
        made.words = lyrics(run, given, made.inputs.audio)
        made.audited = audit(run, given, made.inputs, made.words)
    for method in chosen:
        lacks = _lacks(given, made, method, rivals)
        if lacks:
            print(f"{'':<10} {method.title} left out: {lacks}", flush=True)
        else:
            _embed(run, given, made, method, rivals)
        if given.input == "audio" and method.key in also_on_descriptor:
            seen = on_descriptor(given, made.inputs)
            found = train(run, given, seen, method, _training(given, method, rivals))
            made.embeddings[Key(method.key, on_descriptor=True)] = found
    if not made.embeddings:
        raise InputError(f"no method of {run.level} is left: each is left out above, with why")
    return made


def _lacks(given: Given, made: Made, method: Method, rivals: Sequence[Method]) -> str:
    """What a method needs that is not there; empty, if nothing is missing."""
    if method.needs_genres and not made.inputs.features.has_labels:
        return "it needs genres"
    if method.fusion and made.words is None:
        return "it needs lyrics"
    if method.key in ("contrastive_vae", "contrastive"):
        owner = methods.BY_KEY["contrastive_vae"]
        if given.mel_view != "windows":
            return f"it contrasts windows of a track, and mel_view={given.mel_view} has one"
        if given.train(owner, among=rivals).contrast == 0:
            return "contrast=0"
    return ""


def _embed(
    run: Run, given: Given, made: Made, method: Method, rivals: Sequence[Method]
) -> Artifact[Embedding]:
    """A method's embedding; one whose embedding the lyrics join is made first."""
    key = Key(method.key)
    if key in made.embeddings:
        return made.embeddings[key]
    if not method.fusion:
        training = _training(given, method, rivals)
        found = train(run, given, made.inputs, method, training, made.counted)
    else:
        base = None
        if method.fused_with:
            base = _embed(run, given, made, methods.BY_KEY[method.fused_with], rivals)
        assert made.words is not None, "without lyrics there are no fusions"
        assert made.audited is not None, "a level with lyrics audits them"
        found = fuse(run, given, made.inputs, base, made.words, made.audited, made.counted, method)
    made.embeddings[key] = found
    return found


def _training(given: Given, method: Method, rivals: Sequence[Method]) -> TrainConfig | None:
    return None if method.train is None else given.train(method, among=rivals)
