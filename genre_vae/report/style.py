"""Colours, markers and short texts that the figures share.

Colours are Okabe & Ito's and Tol's, which people with the common colour deficiencies can
distinguish; every group has a marker of its own as well.
"""

from __future__ import annotations

COLORS = (
    *("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#8C6D1F", "#332288"),
    *("#AA4499", "#444444"),
)
MARKERS = "osD^vP*X<>"
NOISE_COLOR = "#BBBBBB"
NO_STYLE = 10_000  # the style number of noise, and of tracks without a genre


def color_of(style: int) -> str:
    """The colour of a style number; they repeat after ten."""
    return NOISE_COLOR if style == NO_STYLE else COLORS[style % len(COLORS)]


def marker_of(style: int) -> str:
    """The marker of a style number: where a colour comes again, it has another marker."""
    return MARKERS[(style + style // len(COLORS)) % len(MARKERS)]


def shortened(text: str, longest: int = 22) -> str:
    """Text as matplotlib should show it.

    Parameters
    ----------
    text
        Any text. ``$``, which would begin a formula, is escaped.
    longest
        Number of characters after which it is cut.
    """
    cut = text if len(text) <= longest else text[: longest - 1] + "…"
    return cut.replace("$", r"\$")
