"""Audio files -> MFCC statistics and mel windows, once for every later stage."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from entrypoints.options import DATA, Options, entry_point
from genre_vae.collection.catalog import Catalog, scan
from genre_vae.records import FeatureSet, InputError, LabelUse, known_genres

if TYPE_CHECKING:
    import pandas as pd

    from genre_vae.tracking import Recorder, StageRun, Tracker


def features(tracker: Tracker, options: Options) -> StageRun:
    """Features of the collection that ``options.data`` names, as a stage."""
    catalog = catalog_of(options, tracker.root)

    def compute(record: Recorder) -> None:
        from tqdm import tqdm

        from genre_vae.collection import faults
        from genre_vae.features.spectral import extract_catalog
        from genre_vae.scaling import Scaler

        mfcc, mel, skipped = extract_catalog(
            catalog,
            workers=options.n_workers,
            progress=lambda results: tqdm(
                results,
                total=len(catalog.tracks),
                unit="file",
                desc=f"{'':<10}",
                leave=False,
                disable=None,
            ),
        )
        mfcc.save(record.folder, "mfcc")
        mel.save(record.folder, "mel")
        first = mel.derive("mel, first window", mel.values[:, 0])
        first.save(record.folder, "X_spec")
        standardised = Scaler.standardise(mfcc.values)
        mfcc.derive("mfcc, standardised", standardised).save(record.folder, "X")
        skipped.to_csv(record.folder / "skipped.csv", index=False)
        catalog.tracks.drop(columns="path").to_csv(record.folder / "catalog.csv", index=False)
        faulty = faults.table(catalog, mel)
        faulty.to_csv(record.folder / "faults.csv", index=False)

        genres = known_genres(mfcc.labels)
        record.metrics({"tracks": len(mfcc), "skipped": len(skipped), "genres": len(genres)})
        record.metrics({"faults": faulty["track_id"].nunique()})
        unknown = int((mfcc.labels == "").sum())
        where = f"in {len(genres)} genre{'s' * (len(genres) > 1)}" if genres else "without genres"
        if genres and unknown:
            where += f" ({unknown} of them in none: label metrics leave those out)"
        left_out = f"{len(skipped)} file{'s' * (len(skipped) != 1)} left out"
        record.note = "\n".join(
            [
                f"{len(mfcc)} tracks {where}, {left_out}",
                *(f"left out: {row.track_id}: {row.reason}" for row in skipped.itertuples()),
                *([f"{_many(faulty)} (faults.csv)"] if len(faulty) else []),
            ]
        )

    return tracker.stage(
        "features",
        title=f"mfcc and mel of {catalog.name}",
        dataset=catalog,
        config={},  # all of it is constants in the source, which the fingerprint covers
        tags={
            "folder": catalog.folder,
            "output": "mfcc",
            "reads": "mfcc",
            "provenance": "",
            "label_use": LabelUse.NONE,
        },
        compute=compute,
    )


def reference(source: StageRun) -> FeatureSet:
    """The MFCC statistics that an audit compares with: without tracks that repeat another, which
    are tied to it by more than their own sound."""
    import numpy as np
    import pandas as pd

    faults = pd.read_csv(source.folder / "faults.csv")
    repeats = faults[faults["fault"].str.startswith("the same")]["track_id"].tolist()
    mfcc = FeatureSet.load(source.folder, "mfcc")
    return mfcc.select(mfcc.ids[~np.isin(mfcc.ids, repeats)])


def _many(faulty: pd.DataFrame) -> str:
    listed = faulty["fault"].str.startswith("in ")
    parts = {
        "in GTZAN's list of faulty clips": int(listed.sum()),
        "the same as another": int((~listed).sum()),
    }
    return ", ".join(f"{count} {what}" for what, count in parts.items() if count)


def catalog_of(options: Options, root: Path) -> Catalog:
    """The collection that ``--data`` means, without GTZAN's faults for ``--faults drop``."""
    catalog = scan(data_folder(options, root))
    if options.faults == "keep":
        return catalog
    from genre_vae.collection.gtzan import without_listed

    kept = without_listed(catalog)
    dropped = len(catalog.tracks) - len(kept.tracks)
    print(f"{'data':<10} {dropped} clips in GTZAN's list of faults are dropped", flush=True)
    return kept


def data_folder(options: Options, root: Path) -> Path:
    """The folder that ``--data`` means; the demo corpus is written where it is not yet there."""
    if options.data in ("auto", "demo"):
        from genre_vae.collection import demo

        gtzan = root / "data" / "gtzan"
        if options.data == "auto" and gtzan.is_dir():
            print(f"data       {gtzan}")
            return gtzan
        folder = demo.ensure(root / "data" / "demo", workers=options.n_workers)
        print(f"data       the demo corpus, {folder}")
        return folder
    if not options.data.strip():
        raise InputError("data is empty: name a folder, 'demo' or 'auto'")
    return options.path(options.data)


@entry_point(*DATA, "workers")
def main(tracker: Tracker, options: Options) -> None:
    """Extract MFCC statistics and mel windows from a folder of audio, in one pass.

    Files that cannot be used are listed in skipped.csv with the reason.
    """
    features(tracker, options)


if __name__ == "__main__":
    main()
