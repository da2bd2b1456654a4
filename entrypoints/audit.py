"""Feature sets -> does each carry the label, and is it tied to the audio?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from entrypoints.embed import Inputs, inputs
from entrypoints.features import reference
from entrypoints.lyrics import lyrics
from entrypoints.options import DATA, INPUT, LYRICS, Options, entry_point
from genre_vae.records import FeatureSet

if TYPE_CHECKING:
    from genre_vae.tracking import Recorder, StageRun, Tracker


def audit(tracker: Tracker, options: Options, given: Inputs, words: StageRun | None) -> StageRun:
    """An audit of every modality, as a stage: ``audit.csv``, ``audit.md``, a tag for each verdict.

    The genre itself is audited with the rest, so that a verdict against it shows at work. Vectors
    were audited when they were made.
    """
    source, vectors = given

    def compute(record: Recorder) -> None:
        from dataclasses import asdict

        import pandas as pd

        from genre_vae.evaluation import audit as rule
        from genre_vae.evaluation import comparison
        from genre_vae.features.fusion import one_hot
        from genre_vae.features.spectral import mean_spectrum

        mfcc = reference(source)
        mel = mean_spectrum(FeatureSet.load(source.folder, "mel", mmap=True))
        pairs = {"mfcc": (mfcc, mel), "mel": (mel, mfcc)}
        if words is not None:
            pairs["lyrics"] = (FeatureSet.load(words.folder, "lyrics_embeddings"), mfcc)
        if mfcc.has_labels:
            pairs["genre"] = (one_hot(mfcc), mfcc)
        found = {
            name: rule.audit(modality, against, seed=options.seed)
            for name, (modality, against) in pairs.items()
        }
        table = pd.DataFrame([{"modality": name, **asdict(row)} for name, row in found.items()])
        if vectors is not source:
            table = pd.concat([table, pd.read_csv(vectors.folder / "audit.csv")], ignore_index=True)
        table.to_csv(record.folder / "audit.csv", index=False)
        (record.folder / "audit.md").write_text(comparison.audit_markdown(table), "utf-8")
        rows = list(table.itertuples())
        record.tags({f"verdict/{row.modality}": row.verdict for row in rows})
        record.note = "\n".join(f"{row.modality}: {row.verdict}, {row.reason}" for row in rows)

    return tracker.stage(
        "audit",
        title="what carries the label",
        dataset=source.dataset,
        config={"seed": options.seed},
        inputs=[*given.stages, *([] if words is None else [words])],
        compute=compute,
    )


@entry_point(*DATA, *INPUT, *LYRICS, "seed", "workers")
def main(tracker: Tracker, options: Options) -> None:
    """Ask of each modality, audio, vectors and lyrics, whether it carries more than the label.

    What is not there yet is made first.
    """
    given = inputs(tracker, options)
    stage = audit(tracker, options, given, lyrics(tracker, options, given.audio))
    print("\n" + (stage.folder / "audit.md").read_text("utf-8"))


if __name__ == "__main__":
    main()
