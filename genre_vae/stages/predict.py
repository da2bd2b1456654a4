"""Audio files -> their places among a registered model's clusters. No stage: nothing is kept."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from genre_vae.collection.listing import LeftOut, listing, readable
from genre_vae.config import Given
from genre_vae.files import replacing, write_json
from genre_vae.records import InputError
from genre_vae.tracking import registry

BATCH = 32  # files that go to the model at a time
ENDINGS = (".csv", ".json")


def check_output(given: Given) -> Path | None:
    """The file that ``output`` names; None for none.

    Raises
    ------
    InputError
        If nothing can be written there.
    """
    if not given.output:
        return None
    output = given.path(given.output)
    if output.suffix.lower() not in ENDINGS:
        raise InputError(f"output {output.name}: ends neither in .csv nor in .json")
    if not output.parent.is_dir() or output.is_dir():
        raise InputError(f"output {output}: is a folder, or lies in none")
    return output


def predict(given: Given) -> list[dict[str, Any]]:
    """A record for each file that ``file`` names, in the order of their paths: of a folder, those
    that a level would read, and after them what it would leave out, each with its reason."""
    place, paths, left_out = _files(given)
    model = registry.ServedModel(given.model_uri)
    params = {"neighbours": given.neighbours, "latent": True}
    records: list[dict[str, Any]] = []
    with tqdm(total=len(paths), unit="file", leave=False, disable=None) as bar:
        for start in range(0, len(paths), BATCH):
            batch = [str(path) for path in paths[start : start + BATCH]]
            records += model.predict(batch, params=params)
            bar.update(len(batch))
    placed = [
        {"file": path.relative_to(place).as_posix() if place.is_dir() else path.name, **record}
        for path, record in zip(paths, records, strict=True)
    ]
    return placed + [{"file": readable(name), "error": reason} for name, reason in left_out]


def _files(given: Given) -> tuple[Path, list[Path], list[LeftOut]]:
    if not given.file.strip():
        raise InputError("file is empty: name an audio file, or a folder of them")
    place = given.path(given.file)
    if not place.exists():
        raise InputError(f"no file at {place}")
    if not place.is_dir():
        return place, [place], []
    try:
        found = listing(place)
    except OSError as error:
        raise InputError(f"{place}: cannot be read: {error.strerror}") from error
    if not found.tracks:
        raise InputError(f"{place}: no audio files in this folder")
    return place, found.tracks, found.left_out


def write(records: Sequence[dict[str, Any]], output: Path | None) -> None:
    """Write the whole answer to a file, if one is given.

    Raises
    ------
    InputError
        If no file could be placed, or the answer cannot be written.
    """
    from genre_vae.report.markdown import placed_table

    try:
        if output is not None and output.suffix.lower() == ".json":
            write_json(output, list(records))
        elif output is not None:
            with replacing(output) as temporary:
                placed_table(records).to_csv(temporary, index=False)
    except OSError as error:
        raise InputError(f"output {output}: {error.strerror}") from error
    if output is not None:
        print(f"written to {output}")
    if all("error" in record for record in records):
        raise InputError(f"none of {len(records)} files could be placed: {records[0]['error']}")
