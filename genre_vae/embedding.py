"""What a method makes of a collection's tracks, once per seed: the record between training and
clustering.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from genre_vae.files import write_json
from genre_vae.records import FeatureSet


@dataclass(frozen=True, eq=False)
class Embedding:
    """What one method makes of a collection's tracks, once per seed.

    Parameters
    ----------
    method, title
        The key of its row in `genre_vae.methods`, and what tables call it, e.g. ``VAE (musicnn)``.
    stem
        The name, without suffix, of the files that hold the values, e.g. ``Z_vae``.
    reads
        The input that its model saw: ``mfcc``, ``mel``, ``musicnn``, a file's name.
    inputs
        Every modality in the values: `reads`, and what was fused with it.
    provenance
        Where a pretrained input comes from, in a sentence; "" for audio features.
    members
        The values, a FeatureSet of the same tracks for each seed.
    seeds
        The number of each member's seed. Empty for a deterministic method, which has one member.
    encoder
        The name of the file that holds the first member's encoder; "" where there is none.
    folder
        Where `load` found it all.

    Raises
    ------
    ValueError
        If members and seeds do not fit, or members have different tracks.
    """

    method: str
    title: str
    stem: str
    reads: str
    inputs: tuple[str, ...]
    provenance: str
    members: tuple[FeatureSet, ...]
    seeds: tuple[int, ...] = ()
    encoder: str = ""
    folder: Path | None = None

    def __post_init__(self) -> None:
        if len(self.members) != max(1, len(self.seeds)):
            raise ValueError(f"{self.title}: {len(self.members)} members, seeds {self.seeds}")
        if any(not np.array_equal(one.ids, self.first.ids) for one in self.members):
            raise ValueError(f"{self.title}: members of different tracks")

    @property
    def first(self) -> FeatureSet:
        """The first member."""
        return self.members[0]

    def member(self, number: int) -> FeatureSet:
        """The member that a clustering's seed number `number` takes: its own, or the only one."""
        return self.members[number if len(self.members) > 1 else 0]

    def tags(self) -> dict[str, str]:
        """What its run is about, as tags."""
        return {
            "model": self.method,
            "reads": self.reads,
            "provenance": self.provenance,
            "output": self.stem,
            "label_use": str(self.first.label_use),
        }

    @property
    def encoder_path(self) -> Path | None:
        """The file of the first member's encoder, or None where there is none."""
        return self.folder / self.encoder if self.folder and self.encoder else None

    def save(self, folder: Path) -> None:
        """Write the members, the first into the folder itself and each further one into
        ``seed_<number>``, and ``embedding.json``."""
        for number, member in enumerate(self.members):
            member.save(member_folder(folder, self.seeds, number), self.stem)
        about = {name: getattr(self, name) for name in _ABOUT_EMBEDDING}
        write_json(folder / "embedding.json", about)

    @classmethod
    def load(cls, folder: Path) -> Embedding:
        """Read what `save` wrote."""
        about = json.loads((folder / "embedding.json").read_text("utf-8"))
        seeds = tuple(about["seeds"])
        members = [
            FeatureSet.load(member_folder(folder, seeds, number), about["stem"])
            for number in range(max(1, len(seeds)))
        ]
        return cls(
            method=about["method"],
            title=about["title"],
            stem=about["stem"],
            reads=about["reads"],
            inputs=tuple(about["inputs"]),
            provenance=about["provenance"],
            members=tuple(members),
            seeds=seeds,
            encoder=about["encoder"],
            folder=folder,
        )


_ABOUT_EMBEDDING = ("method", "title", "stem", "reads", "inputs", "provenance", "seeds", "encoder")


def member_folder(folder: Path, seeds: Sequence[int], number: int) -> Path:
    """Where a member's files lie: the first in the folder itself, the others by their seed."""
    return folder if number == 0 else folder / f"seed_{seeds[number]}"
