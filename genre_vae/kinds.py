"""How an option is declared, and what values it accepts. The command line's own types are made of
these."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any


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

AUTO = "auto"


def option(default: Any, kind: Kind, group: str, help: str, *, declared: bool = False) -> Any:
    """A field of `Options`.

    Parameters
    ----------
    default
        None where the method, the collection or the machine decides: people type `AUTO` for it.
    kind
        What values are accepted.
    group
        The name under which entry points take it together with others.
    help
        What it does, in a sentence.
    declared
        Whether MLproject declares it: those that people set. The others are passed through.
    """
    about = {"kind": kind, "group": group, "help": help, "declared": declared}
    return dataclasses.field(default=default, metadata=about)


def shown(value: object) -> str:
    """An option's value as people type it."""
    if value is None:
        return AUTO
    if isinstance(value, tuple):
        return ",".join(shown(one) for one in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
