"""Audio files -> their places among a registered model's clusters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from entrypoints.options import Options, entry_point
from genre_vae.records import InputError

if TYPE_CHECKING:
    from genre_vae.tracking import Tracker

BATCH = 32  # files that go to the model at a time


def predict(tracker: Tracker, options: Options) -> list[dict[str, Any]]:
    """A record for each file that ``--file`` means, in the order of their paths."""
    from tqdm import tqdm

    from genre_vae.collection.catalog import audio_files
    from genre_vae.tracking import load_model

    if not options.file.strip():
        raise InputError("file is empty: name an audio file, or a folder of them")
    place = options.path(options.file)
    paths = audio_files(place) if place.is_dir() else [place]
    if not paths:
        raise InputError(f"{place}: no audio files in this folder")
    if not place.exists():
        raise InputError(f"no file at {place}")
    model = load_model(options.model_uri)
    params = {"neighbours": options.neighbours, "latent": True}
    records: list[dict[str, Any]] = []
    with tqdm(total=len(paths), unit="file", leave=False, disable=None) as bar:
        for start in range(0, len(paths), BATCH):
            batch = [str(path) for path in paths[start : start + BATCH]]
            answer: Any = model.predict(batch, params=params)
            records += answer
            bar.update(len(batch))
    return [
        {"file": str(path.relative_to(place) if place.is_dir() else path.name), **record}
        for path, record in zip(paths, records, strict=True)
    ]


@entry_point("file", "output", "model_uri", "neighbours")
def main(tracker: Tracker, options: Options) -> None:
    """Place an audio file, or a folder of them, among the clusters of a registered model.

    Prints a table; the whole answer, codes included, goes to a CSV or JSON file.
    """
    from genre_vae.evaluation import comparison
    from genre_vae.files import replacing, write_json

    output = options.path(options.output) if options.output else None
    if output is not None and output.suffix.lower() not in (".csv", ".json"):
        raise InputError(f"output {output.name}: ends neither in .csv nor in .json")
    if output is not None and (not output.parent.is_dir() or output.is_dir()):
        raise InputError(f"output {output}: is a folder, or lies in none")
    records = predict(tracker, options)
    print("\n" + comparison.placed_markdown(records))
    if output is not None and output.suffix.lower() == ".json":
        write_json(output, records)
    elif output is not None:
        with replacing(output) as temporary:
            comparison.placed_table(records).to_csv(temporary, index=False)
    if output is not None:
        print(f"written to {output}")
    if all("error" in record for record in records):
        raise InputError(f"none of {len(records)} files could be placed: {records[0]['error']}")


if __name__ == "__main__":
    main()
