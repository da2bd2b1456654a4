"""Tables in text files as people save them: encodings, delimiters and forms of JSON.

Errors do not name the file: who asks for a table knows it.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
import warnings
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import pandas as pd

from genre_vae.records import InputError

_DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
_MARKS = {  # byte order marks; that of UTF-32 begins with that of UTF-16
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_AS_UTF8 = "save it as UTF-8 (in a spreadsheet: 'CSV UTF-8')"
_LETTERS_OF_CP1252 = 0.2  # more letters beyond ASCII than any language written in it has


class Table(NamedTuple):
    """The names of columns, and rows of as many cells: text, or whatever JSON holds."""

    columns: list[str]
    rows: list[Sequence[Any]]


def plain(name: str) -> str:
    """A column's name in the one spelling that is compared: without spaces, underscores, hyphens
    and dots, case-folded."""
    return re.sub(r"[\s_.-]+", "", name).casefold()


def decoded(content: bytes) -> tuple[str, str]:
    """A file's text, and a note where its encoding had to be guessed.

    UTF-8, UTF-16 and UTF-32 are told apart by their marks or zero bytes; other text is taken for
    Windows-1252 where most of its letters are ASCII. InputError for everything else.
    """
    if content.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0", b"\x1f\x8b", b"PAR1")):
        raise InputError("a spreadsheet or an archive, not text; save its table as 'CSV UTF-8'")
    encoding = next((name for mark, name in _MARKS.items() if content.startswith(mark)), "utf-8")
    zeros = content[0:1000:2].count(0), content[1:1000:2].count(0)
    if encoding == "utf-8" and any(zeros):  # plain letters in UTF-16 have a zero byte each
        encoding = "utf-16-be" if zeros[0] > zeros[1] else "utf-16-le"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding != "utf-8":
            what = f"neither UTF-8 nor {encoding.upper()} at byte {error.start}"
            raise InputError(f"{what}; {_AS_UTF8}") from error
        what = f"not UTF-8 at byte {error.start}"
    else:
        if "\0" in text:
            raise InputError("not text: it holds zero bytes")
        return text, ""
    text = content.decode("cp1252", "replace")
    letters = sum(map(str.isalpha, text))
    beyond = sum(letter.isalpha() and letter > "\x7f" for letter in text)
    if "\ufffd" in text or beyond > _LETTERS_OF_CP1252 * letters:
        raise InputError(f"{what}, nor Windows-1252; {_AS_UTF8}")
    return text, f"{what}, and read as Windows-1252: if accents look wrong, save it as UTF-8"


def csv_table(text: str, known: Iterable[str]) -> Table:
    """A table between commas, semicolons, tabs or bars, whichever gives most of the `known` columns
    (as `plain` spells them), then most columns.

    InputError where it is no such table, or a row is longer than the header.
    """
    said = re.match(r'"?sep=(.)"?\r?\n', text)  # how Excel tells itself
    if said:
        text = text[said.end() :]
    headers = {mark: _header(text, mark) for mark in ([said[1]] if said else _DELIMITERS)}
    known = set(known)
    delimiter = max(
        headers, key=lambda m: (sum(plain(c) in known for c in headers[m]), len(headers[m]))
    )
    try:
        with warnings.catch_warnings():
            # of a row that is longer than the header, pandas would otherwise cut the rest
            warnings.simplefilter("error", pd.errors.ParserWarning)
            frame = pd.read_csv(
                io.StringIO(text), sep=delimiter, dtype=str, keep_default_na=False, index_col=False
            )
    except pd.errors.ParserWarning as error:
        what = _DELIMITERS.get(delimiter, repr(delimiter))
        raise InputError(
            f"rows are longer than the header; words with a {what} need quotes"
        ) from error
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise InputError(f"not a CSV table: {' '.join(str(error).split())}") from error
    header = headers[delimiter]  # pandas renames those that occur twice
    names = header if len(header) == len(frame.columns) else map(str, frame.columns)
    return Table([name.strip() for name in names], list(frame.itertuples(index=False, name=None)))


def _header(text: str, delimiter: str) -> list[str]:
    try:
        lines = csv.reader(io.StringIO(text[:100_000], newline=""), delimiter=delimiter)
        return next((line for line in lines if line), [])
    except csv.Error:
        return []


class _DuplicateKeyError(ValueError):
    pass


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object, whose keys must differ: ``json`` would silently keep the last."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise _DuplicateKeyError(key)
        found[key] = value
    return found


def _parsed(text: str, where: str = "") -> Any:
    try:
        return json.loads(text, object_pairs_hook=_unique)
    except _DuplicateKeyError as error:
        raise InputError(f"{where}the key {str(error)!r} occurs twice") from error
    except (ValueError, RecursionError) as error:  # ValueError: also a number too long to read
        raise InputError(f"{where}broken JSON: {error}") from error


def json_table(text: str, key: str, value: str, *, lines: bool) -> Table:
    """A list of objects; or an object of objects, or of values: its keys are in the column `key`,
    values in the column `value`. With ``lines=True``, an object a line.

    InputError where it is not in such a form, or an object has a key twice.
    """
    each = text.strip().split("\n")
    # people also call a file of an object a line .json
    if lines or (len(each) > 1 and re.match(r"\{.*\}\s*$", each[0])):
        numbered = [(number, line) for number, line in enumerate(each, 1) if line.strip()]
        rows: Any = [_parsed(line, f"line {number}: ") for number, line in numbered]
    else:
        rows = _parsed(text)
    if isinstance(rows, dict):
        rows = [
            {key: name} | (inner if isinstance(inner, dict) else {value: inner})
            for name, inner in rows.items()
        ]
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows) or not rows:
        raise InputError("expected a list of objects, or one object of songs")
    columns = list(dict.fromkeys(name for row in rows for name in row))
    return Table(columns, [[row.get(name) for name in columns] for row in rows])
