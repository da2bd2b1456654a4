"""Words without the time stamps and headers of the LRC format."""

from __future__ import annotations

import re

# [mm:ss], [mm:ss.xx], [hh:mm:ss.xx] before a line, and <mm:ss.xx> before a word
_STAMP = re.compile(r"\[(?:\d{1,2}:)?\d{1,3}:\d{1,2}(?:[.:,]\d{1,3})?\]|<\d{1,3}:\d{2}[.:]\d{1,3}>")
# Only the format's own keys: "[Chorus: all]" is how lyrics sites write a verse's name.
_HEADER = re.compile(
    r"^[ \t]*\[(?:ti|ar|al|au|by|la|lr|id|re|tool|ve|offset|length|#)[ \t]*:[^\]\n]*\][ \t\r]*$",
    re.IGNORECASE | re.MULTILINE,
)


def unstamped(text: str) -> str:
    """Words without LRC's time stamps and headers; a text that has none comes back as it is.

    A line with several stamps, which is sung as often, stands once.
    """
    if "[" not in text and "<" not in text:  # most words, and megabytes of them
        return text
    without = _HEADER.sub("", _STAMP.sub("", text))
    if without == text:
        return text
    return "\n".join(" ".join(line.split()) for line in without.strip().splitlines())
