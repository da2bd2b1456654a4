from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from genre_vae.collection.sniff import not_audio, sniff
from tests.collection.formats import FORMATS
from tests.collection.test_formats import content

KINDS = {
    "mp2": "mp3",
    "m4b": "m4a",
    "mka": "mkv",
    "webm": "mkv",
    "oga": "ogg",
    "opus": "ogg",
    "3gp": "mp4",
    "eac3": "ac3",
}


@pytest.mark.parametrize("name", FORMATS)
def test_audio_is_told_by_its_first_bytes(name: str) -> None:
    suffix = Path(name).suffix[1:]
    for size in (2000, 65536):
        kind = sniff(content(name)[:size])
        assert kind == KINDS.get(suffix, suffix)
        assert not_audio(kind) == ""


@pytest.mark.parametrize(
    ("beginning", "kind"),
    [
        (b"", ""),
        (b"<!doctype HTML><title>", "web page"),
        (b'\xef\xbb\xbf\r\n <?xml version="1.0"?><html xmlns="...">', "web page"),
        ("Grüße\n".encode(), "text"),
        ("Grüße\n".encode("latin-1"), "text"),
        ("Grüße\n".encode("utf-16"), "text"),
        (b'{"a": 1}', "text"),
        (b"BMW is a text", "text"),
        (b"MZ is a text", "text"),
        (b"MZ\x90\0\3\0\0\0", "program"),
        (b"PK\3\4\x14\0", "zip archive"),
        (b"Rar!\x1a\7\0", "rar archive"),
        (b"\x89PNG\r\n\x1a\n", "image"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "image"),
        (b"%PDF-1.7", "pdf"),
        (b"MThd\0\0\0\6", "midi"),
        (b"\0\5\x16\7\0\2\0\0Mac OS X", "macos companion"),
        (bytes(100), "zeros"),
        (np.random.default_rng(0).bytes(65536), ""),
        (b"ID3\4\0\0\0\0\0\4abcdfLaC\0", "flac"),
        (b"ID3\4\0\0\0\0\x10\4abcd", "mp3"),  # the tag is longer than what was given
    ],
)
def test_what_else_is_told(beginning: bytes, kind: str) -> None:
    assert sniff(beginning) == kind
    assert bool(not_audio(kind)) == (kind not in ("", "flac", "mp3"))
