"""Stages to try the tracking with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from genre_vae.collection.catalog import Catalog
from genre_vae.records import InputError
from genre_vae.tracking.run import Run
from genre_vae.tracking.stage import Artifact, Recorder, stage


@dataclass(frozen=True)
class Answer:
    """A number in a file."""

    number: int

    def save(self, folder: Path) -> None:
        (folder / "sub").mkdir(exist_ok=True)
        (folder / "sub" / "result.txt").write_text(str(self.number))

    @classmethod
    def load(cls, folder: Path) -> Answer:
        return cls(int((folder / "sub" / "result.txt").read_text()))


@dataclass(frozen=True)
class Config:
    """What the stages below are given."""

    seed: int = 0
    points: int = 0
    fails: bool = False
    breaks: bool = False


@stage("test")
def answer(
    record: Recorder, catalog: Catalog, earlier: Sequence[Answer], *, config: Config
) -> Answer:
    """42 and what came before."""
    record.metrics({"answer": 42.0})
    for step in range(config.points):
        record.metrics({"loss": float(step)}, step=step)
    if config.fails:
        raise InputError("no such thing")
    if config.breaks:
        (record.folder / "vae_last.pth").write_text("half")
        raise OSError("the disk is full")
    record.note = "the answer is 42"
    return Answer(42 + sum(one.number for one in earlier))


def ask(
    run: Run, catalog: Catalog, config: Config = Config(), earlier: Sequence[Artifact[Answer]] = ()
) -> Artifact[Answer]:
    """Do the stage above, or find it done."""
    return run.do(answer, catalog, list(earlier), config=config, title="a stage")
