"""Public collections, fetched from where they are published and unpacked.

An archive comes into a hidden folder beside the collection's place, is continued where it was cut
off, compared with its published checksum and unpacked there; the result is renamed when it is
whole. So whatever ends a download, nothing looks finished that is not.

The standard library does it. mirdata and pooch begin every download anew and unpack whatever an
archive says; of GTZAN itself mirdata has no working address any more
(https://github.com/mir-dataset-loaders/mirdata/pull/700).
"""

from __future__ import annotations

import hashlib
import http.client
import json
import re
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, NoReturn, TypeVar
from urllib.parse import urlsplit

from filelock import FileLock, Timeout
from tqdm import tqdm

from genre_vae.collection.unpacking import unpack
from genre_vae.files import write_json
from genre_vae.records import InputError

T = TypeVar("T")

CHUNK = 1 << 20  # bytes
PATIENCE = 30.0  # s without an answer
TRIES = 3  # attempts in a row that bring less than a chunk
PAUSE = 1.0  # s before the first of them is repeated


@dataclass(frozen=True)
class Archive:
    """An archive of a collection.

    Parameters
    ----------
    url
        Where it is published.
    checksum
        As ``algorithm:digest``, or the address of the Git LFS pointer that states its SHA-256.
    below
        The folder in it whose content is taken; ``""`` for all.
    only
        What is taken of that, as patterns of paths below it.
    """

    url: str
    checksum: str
    below: str = ""
    only: tuple[str, ...] = ("*",)

    @property
    def name(self) -> str:
        return PurePosixPath(urlsplit(self.url).path).name


@dataclass(frozen=True)
class Dataset:
    """A collection.

    Parameters
    ----------
    archives
        What it consists of, unpacked into one folder.
    most
        A bound on its size (bytes); an archive or its content above it is refused.
    shows
        A path in it by which people see that it lies where it should.
    page
        Where a browser gets it.
    """

    archives: tuple[Archive, ...]
    most: int
    shows: str
    page: str


FMA = "https://os.unil.cloud.switch.ch/fma"
GTZAN = "https://huggingface.co/datasets/marsyas/gtzan"
MINI = "https://github.com/TempoBeatDownbeat/gtzan_mini"
DATASETS: Mapping[str, Dataset] = {
    # The original host, opihi.cs.uvic.ca, is gone. This copy is its makers' own and another file,
    # whose checksum is published nowhere but in the repository's own pointer.
    "gtzan": Dataset(
        (
            Archive(
                f"{GTZAN}/resolve/main/data/genres.tar.gz", f"{GTZAN}/raw/main/data/genres.tar.gz"
            ),
        ),
        most=3_000_000_000,
        shows="genres/blues",
        page="https://www.kaggle.com/datasets/carlthome/gtzan-genre-collection",
    ),
    "gtzan_mini": Dataset(  # checksum: mirdata 1.0, gtzan_genre, "mini"
        (
            Archive(
                f"{MINI}/archive/refs/heads/main.zip",
                "md5:44f7f23af8363d96c59663a987f29a4c",
                below="gtzan_mini-main",
                only=("genres/*/*",),
            ),
        ),
        most=500_000_000,
        shows="genres/blues",
        page=MINI,
    ),
    "fma_small": Dataset(  # checksums: https://github.com/mdeff/fma, README.md
        (
            Archive(
                f"{FMA}/fma_metadata.zip",
                "sha1:f0df49ffe5f2a6008d7dc83c6915b31835dfe733",
                only=("fma_metadata/tracks.csv", "fma_metadata/genres.csv"),
            ),
            Archive(
                f"{FMA}/fma_small.zip",
                "sha1:ade154f733639d52e35e32f5593efe5be76c6d70",
                below="fma_small",
            ),
        ),
        most=12_000_000_000,
        shows="000/000002.mp3 and fma_metadata/tracks.csv",
        page="https://github.com/mdeff/fma",
    ),
}


class _CutOffError(Exception):
    """A connection that could not be made, or did not bring all: it is worth trying again."""

    def __init__(self, said: str, status: int = 0) -> None:
        super().__init__(said)
        self.status = status


def download(name: str, folder: Path, *, datasets: Mapping[str, Dataset] = DATASETS) -> bool:
    """Have a collection at ``<folder>/<name>``.

    Parameters
    ----------
    name
        The collection's, a key of `datasets`.
    folder
        Where collections lie. What has come of an unfinished download is kept in a hidden folder
        there, and continued.

    Returns
    -------
    bool
        False where the collection was there already, and nothing was fetched.

    Raises
    ------
    InputError
        If it cannot be fetched, kept or unpacked, or is another file than was published.
    """
    dataset, target = datasets[name], folder / name
    work = folder / f".{name}.download"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(folder / f".{name}.lock"):
            there = target.is_dir() and any(target.iterdir())
            if not there:
                work.mkdir(exist_ok=True)
                _make(dataset, work, target)
            shutil.rmtree(work, ignore_errors=True)
    except (_CutOffError, InputError) as error:
        kept = "" if not list(work.glob("*.part")) else ", and the same command goes on from there"
        raise InputError(
            f"{error}{kept}; or get it by hand from {dataset.page}, and unpack it so that {target} "
            f"has {dataset.shows}"
        ) from error
    except OSError as error:
        raise InputError(f"{error.filename or folder}: {error.strerror or error}") from error
    return not there


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold a lock; a wait for it is said."""
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(f"{'data':<10} another download of it is at work; waiting for that", flush=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _make(dataset: Dataset, work: Path, target: Path) -> None:
    fetched = [(archive, _fetch(archive, work, dataset.most)) for archive in dataset.archives]
    unpacked = work / "unpacked"
    if unpacked.exists():  # by a download that was killed
        shutil.rmtree(unpacked)
    room = dataset.most
    for archive, path in fetched:
        try:
            room -= unpack(path, unpacked, below=archive.below, only=archive.only, most=room)
        except InputError:
            path.unlink()  # it would be refused again
            raise
    unpacked.replace(target)


def _fetch(archive: Archive, work: Path, most: int) -> Path:
    """The archive's file, which has the published checksum."""
    path, part = work / archive.name, work / f"{archive.name}.part"
    if path.exists():
        return path
    checksum = archive.checksum
    if checksum.startswith("http"):
        checksum = _patiently(lambda: _pointed(archive.checksum), lambda: 0)
    algorithm, _, expected = checksum.partition(":")
    _patiently(lambda: _receive(archive.url, part, most), lambda: _size(part))
    with part.open("rb") as file:
        found = hashlib.file_digest(file, algorithm).hexdigest()
    if found != expected:
        part.unlink()
        raise InputError(
            f"{archive.url}: came as another file than was published ({algorithm} {found}, not "
            f"{expected}), and is deleted"
        )
    part.replace(path)
    return path


def _patiently(attempt: Callable[[], T], size: Callable[[], int]) -> T:
    """Repeat what is cut off, unless it brings nothing more; `size` is what it has brought."""
    furthest, fruitless = size(), 0
    while True:
        try:
            return attempt()
        except _CutOffError:
            now = size()
            fruitless = 0 if now >= furthest + CHUNK else fruitless + 1
            furthest = max(furthest, now)
            if fruitless == TRIES:
                raise
            time.sleep(PAUSE * fruitless)


def _pointed(url: str) -> str:
    """The checksum that a Git LFS pointer states."""
    with _answer(url, {}) as answer:
        text = _read(lambda: answer.read(1000), url).decode("utf-8", "replace")
    found = re.search(r"^oid sha256:([0-9a-f]{64})$", text, re.MULTILINE)
    if found is None:
        raise InputError(f"{url}: states no checksum as Git LFS does: {text[:60]!r}")
    return f"sha256:{found[1]}"


def _receive(url: str, part: Path, most: int) -> None:
    """Have all of a file in `part`, from where that ends if it is of the same version."""
    state = part.with_suffix(".json")
    known = _known(state, url) if part.exists() else {}
    start = _size(part) if known else 0
    if start and start == known.get("total"):
        return
    headers = {"Range": f"bytes={start}-"} if start else {}
    try:
        opened = _answer(url, headers)
    except _CutOffError as error:
        if error.status == 416:  # the part is longer than the file
            part.unlink()
        raise
    with opened as answer:
        version = _version(answer, url)
        if answer.status != 206:  # the whole file, asked for or not
            start = 0
            part.unlink(missing_ok=True)
            write_json(state, version)
        elif not _continues(answer, start) or _differ(version, known):
            part.unlink(missing_ok=True)
            raise _CutOffError(f"{url}: the file has changed")
        total = version["total"]
        with (
            part.open("ab" if start else "wb", buffering=0) as file,
            _bar(part.stem, start, total) as bar,
        ):
            while chunk := _read(lambda: answer.read1(CHUNK), url):
                _write(file, chunk)
                bar.update(len(chunk))
                if file.tell() > most:
                    part.unlink()
                    raise InputError(f"{url}: has more than {most:,} bytes, and cannot be right")
    if total is not None and _size(part) != total:
        raise _CutOffError(f"{url}: the connection ended after {_size(part):,} of {total:,} bytes")


def _bar(name: str, start: int, total: int | None) -> tqdm[NoReturn]:
    """A progress bar, where there is a terminal."""
    return tqdm(
        desc=name, initial=start, total=total, unit="B", unit_scale=True, leave=False, disable=None
    )


def _known(state: Path, url: str) -> dict[str, Any]:
    """The version that a part is of; nothing if that cannot be known."""
    try:
        known = json.loads(state.read_text("utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return known if isinstance(known, dict) and known.get("url") == url else {}


def _version(answer: http.client.HTTPResponse, url: str) -> dict[str, Any]:
    """What tells versions of a file apart."""
    whole = answer.headers.get("Content-Range", "").rpartition("/")[2]
    length = whole if answer.status == 206 else answer.headers.get("Content-Length", "")
    return {
        "url": url,
        "etag": answer.headers.get("ETag"),
        "modified": answer.headers.get("Last-Modified"),
        "total": int(length) if length.isdecimal() else None,
    }


def _differ(version: Mapping[str, Any], known: Mapping[str, Any]) -> bool:
    """Whether something that both state is not the same."""
    return any(one and known.get(key) and one != known[key] for key, one in version.items())


def _continues(answer: http.client.HTTPResponse, start: int) -> bool:
    return answer.headers.get("Content-Range", "").startswith(f"bytes {start}-")


def _answer(url: str, headers: Mapping[str, str]) -> http.client.HTTPResponse:
    common = {"User-Agent": "genre-vae", "Accept-Encoding": "identity"}  # bytes as they are kept
    request = urllib.request.Request(url, headers={**common, **headers})
    try:
        answer: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=PATIENCE)
    except urllib.error.HTTPError as error:
        error.close()
        said = f"{url}: the server answers {error.code} {error.reason}"
        raise _CutOffError(said, error.code) from error
    except (OSError, http.client.HTTPException) as error:
        raise _CutOffError(f"{url}: cannot be reached: {_reason(error)}") from error
    return answer


def _read(some: Callable[[], bytes], url: str) -> bytes:
    try:
        return some()
    except (OSError, http.client.HTTPException) as error:
        raise _CutOffError(f"{url}: the connection broke: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    inner = error.reason if isinstance(error, urllib.error.URLError) else error
    return getattr(inner, "strerror", None) or str(inner) or type(inner).__name__


def _write(file: IO[bytes], chunk: bytes) -> None:
    """Write all of a chunk to an unbuffered file: a full disk takes a part of it first."""
    view = memoryview(chunk)
    while view:
        view = view[file.write(view) :]


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
