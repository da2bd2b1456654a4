"""Words of tracks -> an embedding: TF-IDF with latent semantic analysis, or a sentence model.

Axes: ``n`` tracks, ``m`` of them with words, ``v`` dimensions before the reduction, ``d`` after it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from genre_vae.collection.lyrics import GENERATED, Lyrics
from genre_vae.records import FeatureSet, FloatArray, Geometry, InputError, LabelUse

MISSING = ("zero", "mean", "drop", "genre_mean")


def embed(
    lyrics: Lyrics,
    *,
    model: str = "tfidf",
    dim: int = 32,
    missing: str = "zero",
    seed: int = 0,
    say: Callable[[str], object] | None = None,
) -> FeatureSet:
    """Words -> vectors.

    Parameters
    ----------
    lyrics
        The words of n tracks, of which at least two have any.
    model
        ``tfidf``: TF-IDF of words, reduced by a truncated SVD (latent semantic analysis,
        Deerwester et al., 1990). Otherwise a sentence-transformers model: a name on the hub, or a
        folder, for which no network is needed; its vectors are reduced likewise. A text that is
        longer than the model reads is embedded in pieces of that length, of which the mean is
        taken, weighted by their tokens and as long as the pieces' vectors are (OpenAI Cookbook,
        "Embedding texts that are longer than the model's maximum context length").
    dim
        The number of dimensions d; fewer where the words do not give as many.
    missing
        What stands for the words of a track that has none: ``zero``; the ``mean`` of the tracks
        with words; ``genre_mean``, that of its genre, which puts the genre into the values (label
        use ``feature``); or ``drop``, which leaves the track out.
    seed
        Seed for the random start of the SVD.
    say
        Is told, in a line, how many songs were embedded in pieces.

    Returns
    -------
    FeatureSet named e.g. ``lyrics(tfidf)`` or ``control(tfidf)``, values (n, d)

    Raises
    ------
    InputError
        If fewer than two tracks have words, these hold no letters or digits, `missing` is unknown,
        or the sentence model or the package that runs it cannot be loaded.
    """
    if missing not in MISSING:
        raise InputError(f"no lyrics_missing {missing!r}, only {', '.join(MISSING)}")
    present = ~lyrics.missing
    texts = [text for text in lyrics.texts if text]
    if len(texts) < 2:
        raise InputError(f"lyrics {lyrics.name}: {len(texts)} tracks have words, two are needed")
    vectors = _tfidf(texts) if model == "tfidf" else _sentence_vectors(texts, model, say)
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
    embedded = FeatureSet(name, lyrics.ids, values, lyrics.labels, use, pretrained).compared_by(
        Geometry.COSINE
    )
    return embedded.select(lyrics.ids[present]) if missing == "drop" else embedded


def _tfidf(texts: list[str]) -> Any:
    """(m,) -> sparse (m, v)."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(sublinear_tf=True, max_features=20_000, token_pattern=r"\w+")
    try:
        return vectorizer.fit_transform(texts)
    except ValueError as error:  # an empty vocabulary
        raise InputError(f"lyrics: no words in {len(texts)} texts") from error


def _sentence_vectors(
    texts: list[str], model: str, say: Callable[[str], object] | None
) -> FloatArray:
    """(m,) -> (m, v)."""
    try:
        from safetensors import SafetensorError
        from sentence_transformers import SentenceTransformer
    except (ImportError, OSError, RuntimeError, AttributeError, TypeError, ValueError) as error:
        # what versions of its packages that do not fit raise when they are imported
        if isinstance(error, ModuleNotFoundError) and error.name == "sentence_transformers":
            raise InputError(
                f"lyrics_model={model} needs sentence-transformers: pip install -e '.[lyrics]'"
            ) from error
        reason = " ".join(str(error).split())
        raise InputError(
            f"lyrics_model={model}: sentence-transformers cannot be imported: {reason}"
        ) from error
    try:
        encoder = SentenceTransformer(model, device="cpu", local_files_only=Path(model).is_dir())
    except ImportError as error:  # a model may need a package that others do not
        reason = " ".join(str(error).split())
        raise InputError(f"lyrics_model={model} needs a package: {reason}") from error
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0]
        what = "cannot be loaded" if Path(model).is_dir() else "is no folder, nor could be fetched"
        raise InputError(f"lyrics_model={model} {what}: {reason}") from error
    count = partial(_token_counts, encoder)
    longest = _longest(encoder)
    pieces = [_pieces(text, count, longest) for text in texts]
    cut = [(text, own) for text, own in zip(texts, pieces, strict=True) if len(own) > 1]
    if cut and say is not None:
        words = sum(len(text.split()) for text, _ in cut)
        say(
            f"{len(cut)} of {len(texts)} songs are longer than the {longest} tokens that the model "
            f"reads: their {words} words are embedded in pieces, and averaged"
        )
    flat = [piece for own in pieces for piece in own]
    vectors = np.asarray(
        encoder.encode(flat, batch_size=32, show_progress_bar=False), dtype=np.float32
    )
    starts = np.cumsum([0, *map(len, pieces)])
    return np.stack(
        [
            vectors[start]
            if len(own) == 1
            else _mean(vectors[start : start + len(own)], count(own))
            for own, start in zip(pieces, starts.tolist(), strict=False)
        ]
    )


def _longest(encoder: Any) -> int | None:
    """How many tokens of a text the model reads, without those that it adds; None where it reads
    all, or has no tokenizer that could tell."""
    longest, tokenizer = encoder.max_seq_length, getattr(encoder, "tokenizer", None)
    if longest is None or not np.isfinite(longest) or not callable(tokenizer):
        return None
    return max(1, int(longest) - int(tokenizer.num_special_tokens_to_add()))


def _token_counts(encoder: Any, texts: Sequence[str]) -> list[int]:
    """(k,) -> (k,) The number of tokens in each text."""
    # verbose=False: the tokenizer would warn of what is longer than the model reads
    found = encoder.tokenizer(
        list(texts), add_special_tokens=False, truncation=False, verbose=False
    )
    return [len(tokens) for tokens in found["input_ids"]]


def _pieces(
    text: str, count: Callable[[Sequence[str]], list[int]], longest: int | None
) -> list[str]:
    """A text in pieces of at most `longest` tokens, between words where that can be; a text that
    is short enough is one, as it stands."""
    if longest is None or count([text])[0] <= longest:
        return [text]
    words = text.split()
    if len(words) < 2:  # writing without spaces, or no word
        half = len(text) // 2
        if not half:
            return [text]
        return [
            piece for part in (text[:half], text[half:]) for piece in _pieces(part, count, longest)
        ]
    pieces: list[str] = []
    held: list[str] = []
    tokens = 0
    for word, own in zip(words, count(words), strict=True):
        if held and tokens + own > longest:
            pieces.append(" ".join(held))
            held, tokens = [], 0
        held.append(word)
        tokens += own
    pieces.append(" ".join(held))
    # tokens of words alone may be fewer than those of words in a row
    return [part for piece in pieces for part in _pieces(piece, count, longest)]


def _mean(vectors: FloatArray, weights: Sequence[int]) -> FloatArray:
    """(k, v) -> (v,) The weighted mean, scaled to the weighted mean of the vectors' lengths."""
    mean = np.average(vectors, axis=0, weights=weights)
    length = np.average(np.linalg.norm(vectors, axis=1), weights=weights)
    return np.asarray(mean * (length / max(float(np.linalg.norm(mean)), 1e-12)), np.float32)


def _reduce(vectors: Any, dim: int, seed: int) -> FloatArray:
    """(m, v) -> (m, d) by a truncated SVD; unchanged where v is no more than `dim`."""
    from sklearn.decomposition import TruncatedSVD

    if vectors.shape[1] <= dim:
        dense = vectors if isinstance(vectors, np.ndarray) else vectors.toarray()
        return np.asarray(dense, dtype=np.float32)
    n_components = min(dim, vectors.shape[0], vectors.shape[1] - 1)
    with np.errstate(divide="ignore", invalid="ignore"):  # equal texts explain 0 / 0 of variance
        reduced = TruncatedSVD(n_components, random_state=seed).fit_transform(vectors)
    return np.asarray(reduced, dtype=np.float32)
