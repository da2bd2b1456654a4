"""Tracks to leave out or to know of: GTZAN's faulty clips by name, and repeated tracks by sound."""

from __future__ import annotations

import pandas as pd

from genre_vae.collection import gtzan
from genre_vae.collection.catalog import Catalog
from genre_vae.collection.duplicates import duplicates
from genre_vae.records import FeatureSet


def table(catalog: Catalog, mel: FeatureSet) -> pd.DataFrame:
    """Everything that is known against tracks: GTZAN's list, and what `duplicates` finds.

    Parameters
    ----------
    catalog
        The collection.
    mel : values (n, w, 1, mel, t)
        The log-mel windows of its usable tracks.

    Returns
    -------
    DataFrame with the columns track_id, genre, fault, of
        ``fault`` says what is wrong in words; ``of`` is the id of the track that this one repeats,
        ``""`` for a clip that is only listed. A track may have two rows, one for either reason.
    """
    tracks = catalog.tracks.assign(listed=gtzan.listed(catalog)).set_index("track_id")
    tracks = tracks.loc[mel.ids.tolist()]
    found = duplicates(mel, tracks["digest"].to_numpy(dtype=str))
    named = tracks[tracks["listed"]].reset_index()[["track_id", "genre"]]
    repeats = found[["track_id", "genre"]].assign(
        fault="the same " + found["same"] + " as " + found["of"], of=found["of"]
    )
    parts = [named.assign(fault="in GTZAN's list of faulty clips", of=""), repeats]
    both: pd.DataFrame = pd.concat(parts, ignore_index=True)
    return both.astype(str)
