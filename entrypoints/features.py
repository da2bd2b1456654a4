"""Audio files -> MFCC statistics and mel windows, once for every later stage."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from entrypoints.options import Options, entry_point
from genre_vae.catalog import scan
from genre_vae.records import InputError, known_genres

if TYPE_CHECKING:
    from genre_vae.tracking import Recorder, StageRun, Tracker


def features(tracker: Tracker, options: Options) -> StageRun:
    """Features of the collection that ``options.data`` names, as a stage."""
    catalog = scan(data_folder(options, tracker.root))

    def compute(record: Recorder) -> None:
        from tqdm import tqdm

        from genre_vae.features import extract_catalog
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
        standardised = Scaler.fit(mfcc.values).transform(mfcc.values)
        mfcc.derive("mfcc, standardised", standardised).save(record.folder, "X")
        skipped.to_csv(record.folder / "skipped.csv", index=False)
        catalog.tracks.drop(columns="path").to_csv(record.folder / "catalog.csv", index=False)

        genres = known_genres(mfcc.labels)
        record.metrics({"tracks": len(mfcc), "skipped": len(skipped), "genres": len(genres)})
        unknown = int((mfcc.labels == "").sum())
        where = f"in {len(genres)} genre{'s' * (len(genres) > 1)}" if genres else "without genres"
        if genres and unknown:
            where += f" ({unknown} of them in none: label metrics leave those out)"
        left_out = f"{len(skipped)} file{'s' * (len(skipped) != 1)} left out"
        record.note = "\n".join(
            [
                f"{len(mfcc)} tracks {where}, {left_out}",
                *(f"left out: {row.track_id}: {row.reason}" for row in skipped.itertuples()),
            ]
        )

    return tracker.stage(
        "features",
        title=f"mfcc and mel of {catalog.name}",
        dataset=catalog,
        config={},  # all of it is constants in the source, which the fingerprint covers
        tags={"folder": catalog.folder},
        compute=compute,
    )


def data_folder(options: Options, root: Path) -> Path:
    """The folder that ``--data`` means; the demo corpus is written where it is not yet there."""
    if options.data in ("auto", "demo"):
        from genre_vae import demo

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


@entry_point("data", "workers")
def main(tracker: Tracker, options: Options) -> None:
    """Extract MFCC statistics and mel windows from a folder of audio, in one pass.

    Files that cannot be used are listed in skipped.csv with the reason.
    """
    features(tracker, options)


if __name__ == "__main__":
    main()
