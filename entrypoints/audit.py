"""Feature sets -> does each carry the label, and is it tied to the audio?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from entrypoints.features import features
from entrypoints.lyrics import lyrics
from entrypoints.options import DATA, LYRICS, Options, entry_point
from genre_vae.records import FeatureSet

if TYPE_CHECKING:
    from genre_vae.tracking import Recorder, StageRun, Tracker


def audit(tracker: Tracker, options: Options, source: StageRun, words: StageRun | None) -> StageRun:
    """An audit of every modality, as a stage: ``audit.csv``, ``audit.md``, a tag for each verdict.

    The genre itself is audited with the rest, so that a verdict against it shows at work.
    """

    def compute(record: Recorder) -> None:
        from dataclasses import asdict

        import numpy as np
        import pandas as pd

        from genre_vae import audit as rule
        from genre_vae import comparison
        from genre_vae.features import mean_spectrum
        from genre_vae.fusion import one_hot

        # A track that repeats another is tied to it by more than its own sound.
        faults = pd.read_csv(source.folder / "faults.csv")
        repeats = faults[faults["fault"].str.startswith("the same")]["track_id"].tolist()
        mfcc = FeatureSet.load(source.folder, "mfcc")
        mfcc = mfcc.select(mfcc.ids[~np.isin(mfcc.ids, repeats)])
        mel = mean_spectrum(FeatureSet.load(source.folder, "mel", mmap=True))
        pairs = {"mfcc": (mfcc, mel), "mel": (mel, mfcc)}
        if words is not None:
            pairs["lyrics"] = (FeatureSet.load(words.folder, "lyrics_embeddings"), mfcc)
        if mfcc.has_labels:
            pairs["genre"] = (one_hot(mfcc), mfcc)
        found = {
            name: rule.audit(modality, reference, seed=options.seed)
            for name, (modality, reference) in pairs.items()
        }
        table = pd.DataFrame([{"modality": name, **asdict(row)} for name, row in found.items()])
        table.to_csv(record.folder / "audit.csv", index=False)
        (record.folder / "audit.md").write_text(comparison.audit_markdown(table), "utf-8")
        record.tags({f"verdict/{name}": row.verdict for name, row in found.items()})
        record.note = "\n".join(
            f"{name}: {row.verdict}, {row.reason}" for name, row in found.items()
        )

    return tracker.stage(
        "audit",
        title="what carries the label",
        dataset=source.dataset,
        config={"seed": options.seed},
        inputs=[source] if words is None else [source, words],
        compute=compute,
    )


@entry_point(*DATA, *LYRICS, "seed", "workers")
def main(tracker: Tracker, options: Options) -> None:
    """Ask of each modality, audio and lyrics, whether it carries more than the label.

    Features and lyrics that are not there yet are made first.
    """
    source = features(tracker, options)
    stage = audit(tracker, options, source, lyrics(tracker, options, source))
    print("\n" + (stage.folder / "audit.md").read_text("utf-8"))


if __name__ == "__main__":
    main()
