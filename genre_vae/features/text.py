"""Words of tracks -> an embedding: TF-IDF with latent semantic analysis, or a sentence model.

Axes: ``n`` tracks, ``m`` of them with words, ``v`` dimensions before the reduction, ``d`` after it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from genre_vae.collection.lyrics import GENERATED, Lyrics
from genre_vae.records import FeatureSet, FloatArray, Geometry, InputError, LabelUse

MISSING = ("zero", "mean", "drop", "genre_mean")


def embed(
    lyrics: Lyrics, *, model: str = "tfidf", dim: int = 32, missing: str = "zero", seed: int = 0
) -> FeatureSet:
    """Words -> vectors.

    Parameters
    ----------
    lyrics
        The words of n tracks, of which at least two have any.
    model
        ``tfidf``: TF-IDF of words, reduced by a truncated SVD (latent semantic analysis,
        Deerwester et al., 1990). Otherwise a sentence-transformers model: a name on the hub, or a
        folder, for which no network is needed; its vectors are reduced likewise.
    dim
        The number of dimensions d; fewer where the words do not give as many.
    missing
        What stands for the words of a track that has none: ``zero``; the ``mean`` of the tracks
        with words; ``genre_mean``, that of its genre, which puts the genre into the values (label
        use ``feature``); or ``drop``, which leaves the track out.
    seed
        Seed for the random start of the SVD.

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
    vectors = _tfidf(texts) if model == "tfidf" else _sentence_vectors(texts, model)
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


def _sentence_vectors(texts: list[str], model: str) -> FloatArray:
    """(m,) -> (m, v)."""
    try:
        from safetensors import SafetensorError
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        if isinstance(error, ModuleNotFoundError) and error.name == "sentence_transformers":
            raise InputError(
                f"lyrics_model={model} needs sentence-transformers: pip install 'genre-vae[lyrics]'"
            ) from error
        reason = " ".join(str(error).split())
        raise InputError(
            f"lyrics_model={model}: sentence-transformers cannot be imported: {reason}"
        ) from error
    try:
        encoder = SentenceTransformer(model, device="cpu", local_files_only=Path(model).is_dir())
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0]
        what = "cannot be loaded" if Path(model).is_dir() else "is no folder, nor could be fetched"
        raise InputError(f"lyrics_model={model} {what}: {reason}") from error
    vectors = encoder.encode(texts, batch_size=32, show_progress_bar=False)
    return np.asarray(vectors, dtype=np.float32)


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
