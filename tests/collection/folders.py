"""Folders of files for the tests of this wing."""

from __future__ import annotations

from pathlib import Path


def plant(folder: Path, *names: str) -> Path:
    """Write a file of each name below a folder, whose content is its name."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    return folder
