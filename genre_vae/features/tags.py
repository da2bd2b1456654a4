"""The fifty tags of `genre_vae.features.musicnn`, and which of them describe a cluster."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from genre_vae.records import IntArray

CLUSTER_TAGS = 3  # at most, to describe a cluster
GAIN = 0.05  # in mean probability over all tracks, which a further tag of a cluster needs
TAGS = (
    *("rock", "pop", "alternative", "indie", "electronic", "female vocalists", "dance", "00s"),
    *("alternative rock", "jazz", "beautiful", "metal", "chillout", "male vocalists"),
    *("classic rock", "soul", "indie rock", "Mellow", "electronica", "80s", "folk", "90s", "chill"),
    *("instrumental", "punk", "oldies", "blues", "hard rock", "ambient", "acoustic"),
    *("experimental", "female vocalist", "guitar", "Hip-Hop", "70s", "party", "country"),
    *("easy listening", "sexy", "catchy", "funk", "electro", "heavy metal", "Progressive rock"),
    *("60s", "rnb", "indie pop", "sad", "House", "happy"),
)


def cluster_tags(tags: npt.NDArray[np.floating], clusters: IntArray) -> list[list[str]]:
    """The tags that describe each cluster: those whose mean probability in it exceeds their mean
    over all tracks by most.

    Parameters
    ----------
    tags : (n, 50)
        Probabilities of `TAGS`.
    clusters : (n,)
        Cluster numbers from 0, without gaps.

    Returns
    -------
    list of 1 to 3 str for each cluster
        The first tag, and up to two more that exceed their mean by at least .05.
    """
    found = []
    for cluster in range(clusters.max() + 1):
        gain = tags[clusters == cluster].mean(axis=0) - tags.mean(axis=0)
        best = np.argsort(-gain, kind="stable")[:CLUSTER_TAGS]
        found.append(
            [TAGS[tag] for place, tag in enumerate(best) if not place or gain[tag] >= GAIN]
        )
    return found
