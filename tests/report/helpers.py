"""What several tests of figures use."""

from __future__ import annotations

from matplotlib.figure import Figure


def legends(figure: Figure) -> list[list[str]]:
    found = [axes.get_legend() for axes in figure.axes]
    return [[text.get_text() for text in legend.get_texts()] for legend in found if legend]
