"""Feature sets -> does each carry the label, and is it tied to the audio?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from genre_vae.config import AuditConfig, Given
from genre_vae.evaluation.audit import LEAKING
from genre_vae.records import FeatureSet
from genre_vae.stages.collect import Collection
from genre_vae.stages.inputs import Inputs, InputVectors
from genre_vae.stages.lyrics import Words
from genre_vae.tracking.run import Run
from genre_vae.tracking.stage import Artifact, Recorder, stage


@dataclass(frozen=True, eq=False)
class Audits:
    """A row for each modality: ``modality``, the fields of `genre_vae.evaluation.audit.Audit` and
    those of `genre_vae.evaluation.artists.ArtistAudit`. It is ``artist`` where no other finding
    stands against a modality and its clusters follow artists more than genres."""

    table: pd.DataFrame

    def verdict(self, modality: str) -> str:
        """What was found about a modality."""
        return str(self.table.set_index("modality")["verdict"][modality])

    def save(self, folder: Path) -> None:
        """Write ``audit.csv`` and ``audit.md``."""
        from genre_vae.report import markdown

        self.table.to_csv(folder / "audit.csv", index=False)
        (folder / "audit.md").write_text(markdown.audit_markdown(self.table), "utf-8")

    @classmethod
    def load(cls, folder: Path) -> Audits:
        """Read what `save` wrote."""
        return cls(pd.read_csv(folder / "audit.csv"))


@stage("audit")
def judge(
    record: Recorder,
    audio: Collection,
    vectors: InputVectors | None,
    words: Words | None,
    *,
    config: AuditConfig,
) -> Audits:
    """The audit of every modality.

    The genre itself is audited with the rest, so that a verdict against it shows the rule at work.
    Vectors were audited when they were made.
    """
    from genre_vae.evaluation import audit
    from genre_vae.features.fusion import one_hot
    from genre_vae.features.spectral import mean_spectrum

    mfcc = audio.reference
    mel = mean_spectrum(audio.mel)
    pairs = {"mfcc": (mfcc, mel), "descriptor": (audio.descriptor, mel), "mel": (mel, mfcc)}
    if words is not None:
        pairs["lyrics"] = (words.embedding, mfcc)
    if mfcc.has_labels:
        pairs["genre"] = (one_hot(mfcc), mfcc)
    found = {
        name: audit.audit(modality, against, seed=config.seed)
        for name, (modality, against) in pairs.items()
    }
    table = pd.DataFrame([{"modality": name, **asdict(row)} for name, row in found.items()])
    read = {name: modality for name, (modality, _) in pairs.items()}
    if vectors is not None and len(vectors.audit):
        table = pd.concat([table, vectors.audit], ignore_index=True)
        read |= dict.fromkeys(vectors.audit["modality"], vectors.vectors)
    table = _with_artists(table, read, config.seed)
    rows = list(table.itertuples())
    record.tags({f"verdict/{row.modality}": row.verdict for row in rows})
    record.note = "\n".join(f"{row.modality}: {row.verdict}, {row.reason}" for row in rows)
    return Audits(table)


def _with_artists(table: pd.DataFrame, read: Mapping[str, FeatureSet], seed: int) -> pd.DataFrame:
    """The audits of modalities with what each has to do with artists."""
    from genre_vae.evaluation import artists

    audits = [artists.audit_artists(read[name], seed=seed) for name in table["modality"]]
    table = pd.concat([table, pd.DataFrame([asdict(one) for one in audits])], axis=1)
    for row, one in enumerate(audits):
        if one.reason and table.loc[row, "verdict"] not in LEAKING:
            table.loc[row, ["verdict", "reason"]] = ["artist", one.reason]
    return table


def audit(
    run: Run, given: Given, inputs: Inputs, words: Artifact[Words] | None
) -> Artifact[Audits]:
    """The audit of what a level reads."""
    return run.do(
        judge,
        inputs.audio,
        inputs.other,
        words,
        config=AuditConfig(given.seed),
        title="what carries the label",
    )
