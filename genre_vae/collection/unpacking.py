"""Archives of others, unpacked without trust in them.

Names and bytes alone are taken. Links, devices, owners and permissions are not, so that nothing in
an archive can reach out of the folder: that is stricter than tarfile's ``filter="data"``, which
lets links within the folder be, and it holds for zip files too.
"""

from __future__ import annotations

import gzip
import lzma
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import IO

from tqdm import tqdm

from genre_vae.records import InputError

CHUNK = 1 << 20  # bytes
MOST_MEMBERS = 50_000
DAMAGED = (
    *(zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error),
    *(lzma.LZMAError, NotImplementedError, RuntimeError),  # unknown compression; a password
    *(FileExistsError, NotADirectoryError),  # a name twice, or as a file and as a folder
)


def unpack(path: Path, folder: Path, *, below: str, only: Sequence[str], most: int) -> int:
    """Unpack the files of a tar or zip archive into a folder.

    Parameters
    ----------
    path
        The archive; one whose name ends in ``.zip`` is a zip file, any other a tar file.
    folder
        Where its content goes. It is made, and may hold something already.
    below
        The folder in the archive whose content is taken; ``""`` for all.
    only
        Patterns, with ``*`` for any characters, of the paths below that which are taken.
    most
        How many bytes it may have.

    Returns
    -------
    int
        The bytes that it had.

    Raises
    ------
    InputError
        If it is damaged, holds anything but files and folders in its own folder, too much, or
        nothing of what is to be taken.
    OSError
        If the folder cannot be written.
    """
    size = count = 0
    members = tqdm(_members(path), desc=path.name, unit="file", leave=False, disable=None)
    try:
        for name, source in members:
            inner = PurePosixPath(name)
            if not inner.is_relative_to(below):
                continue
            inner = inner.relative_to(below)
            if not any(fnmatchcase(inner.as_posix(), pattern) for pattern in only):
                continue
            target = folder / inner
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("xb") as file:
                while chunk := source.read(CHUNK):
                    size += len(chunk)
                    if size > most:
                        raise InputError(f"{path.name}: unpacks to more than {most:,} bytes")
                    file.write(chunk)
            count += 1
    except DAMAGED as error:
        raise InputError(f"{path.name}: cannot be unpacked: {error}") from error
    if not count:
        raise InputError(f"{path.name}: holds nothing of what was expected in it")
    return size


def _members(path: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """The names of an archive's files, each with its content."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as zipped:
            for number, info in enumerate(zipped.infolist()):
                kind = stat.S_IFMT(info.external_attr >> 16)
                is_file = not info.is_dir() and kind in (0, stat.S_IFREG)
                _check(path, number, info.filename, is_file or info.is_dir())
                if is_file:
                    with zipped.open(info) as source:
                        yield info.filename, source
        return
    with tarfile.open(path) as tarred:
        for number, member in enumerate(tarred):
            _check(path, number, member.name, member.isreg() or member.isdir())
            content = tarred.extractfile(member)
            if content is not None:
                yield member.name, content


def _check(archive: Path, number: int, name: str, is_plain: bool) -> None:
    """Refuse an archive for one of its members."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or re.match("[A-Za-z]:", name):
        raise InputError(f"{archive.name}: holds {name!r}, which would lie outside the folder")
    if not is_plain:
        raise InputError(f"{archive.name}: holds {name!r}, which is neither a file nor a folder")
    if number >= MOST_MEMBERS:
        raise InputError(f"{archive.name}: holds more than {MOST_MEMBERS:,} files and folders")
