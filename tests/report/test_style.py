from __future__ import annotations

import numpy as np
from matplotlib.colors import to_rgb

from genre_vae.report import style


def test_colours_and_markers_distinguish_ten_groups() -> None:
    assert len(set(style.COLORS)) == len(style.MARKERS) == 10
    colours = np.array([to_rgb(c) for c in style.COLORS])
    distance = np.linalg.norm(colours[:, None] - colours, axis=2) + 10 * np.eye(10)
    assert distance.min() > 0.2


def test_a_colour_comes_again_with_another_marker() -> None:
    drawn = {(style.color_of(number), style.marker_of(number)) for number in range(100)}
    assert len(drawn) == 100
    assert style.color_of(style.NO_STYLE) == style.NOISE_COLOR
    assert style.NOISE_COLOR not in {style.color_of(number) for number in range(20)}


def test_a_text_is_cut_where_it_is_too_long_and_is_no_formula() -> None:
    assert style.shortened("rock") == "rock"
    assert style.shortened("r" * 30, 10) == "r" * 9 + "…"
    assert style.shortened("$x$") == r"\$x\$"
