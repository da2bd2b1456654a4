"""What values an option accepts. The command line's own types are made of these."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Text:
    """Any text."""


@dataclass(frozen=True)
class Whole:
    """A whole number from `low` to `high`, or one of some `words` in its place."""

    low: int
    high: int = 1_000_000
    words: tuple[str, ...] = ()


@dataclass(frozen=True)
class Number:
    """A finite number from `low`, or above it, to `high`."""

    low: float
    high: float = 1e6
    above: bool = False


@dataclass(frozen=True)
class Choice:
    """One of some names; a name in `renamed` is an older one, read as its new one and reported."""

    names: tuple[str, ...]
    renamed: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Several:
    """Some values of another kind between commas, `least` at least and `most` at most; where they
    are to be `distinct`, equal ones count once."""

    of: Whole | Number | Choice
    least: int = 1
    most: int = 1000
    distinct: bool = False


Kind = Text | Whole | Number | Choice | Several
