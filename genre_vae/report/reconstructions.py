"""Pictures of tracks beside their reconstructions. No function touches pyplot or a file.

Axes: ``k`` tracks, ``d`` dimensions, ``w`` windows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from genre_vae.records import FeatureSet, FloatArray
from genre_vae.report.style import shortened

EXAMPLES = 4  # tracks in the figure


class Reconstructed(NamedTuple):
    """Examples, and what a model made of them.

    Parameters
    ----------
    model
        The title of the model.
    names : k
        What the tracks are called.
    original, reconstruction : (k, height, width) each
        Pictures of both, in the same unit.
    unit
        Its name.
    axis
        What the axes of a picture are.
    rows : height
        What the rows of a picture are; without them the vertical axis has no ticks.
    explained
        The share of the held-out tracks' variance that the model reconstructs, and of what
        variance; "" where it is not known.
    """

    model: str
    names: Sequence[str]
    original: FloatArray
    reconstruction: FloatArray
    unit: str
    axis: str
    rows: Sequence[str] = ()
    explained: str = ""


def held_out_examples(
    features: FeatureSet, held_out: npt.NDArray[np.bool_], k: int = EXAMPLES
) -> FeatureSet:
    """Up to `k` held-out tracks, each of another genre where genres are known.

    Parameters
    ----------
    features
        What a model was trained on.
    held_out : (n,) bool
        Rows that were not used in training.
    k
        Number of tracks.
    """
    chosen: dict[str, str] = {}
    for track_id, genre in sorted(
        zip(features.ids[held_out].tolist(), features.labels[held_out].tolist(), strict=True)
    ):
        chosen.setdefault(genre or track_id, track_id)
    return features.select(list(chosen.values())[:k])


def examples(
    model: str,
    original: FeatureSet,
    reconstruction: FeatureSet,
    *,
    explained: float,
) -> Reconstructed:
    """A block of the figure for one model.

    Parameters
    ----------
    model
        The title of the model.
    original : values (k, d), or (k, w, 1, mel, time) in dB
        Tracks: vectors in the scale in which the model reads them, since their dimensions may have
        different units. Of windows the middle one is shown.
    reconstruction
        The same tracks as the model reconstructed them, in the same shape and scale.
    explained
        The share of all held-out tracks' variance that the model reconstructs: of windows that
        within a clip, around its own mean spectrum.
    """
    names = [track_id.rpartition("/")[2] for track_id in original.ids.tolist()]
    if original.values.ndim > 2:
        middle = original.values.shape[1] // 2
        return Reconstructed(
            model,
            names,
            original.values[:, middle, 0],
            reconstruction.values[:, middle, 0],
            "dB",
            "log-mel spectrogram, mel bands over 3 s from the middle of the clip",
            explained=f"{100 * explained:.0f} % of the variance within held-out clips explained",
        )
    mfcc = original.name == "mfcc"
    rows = ("mean", "sd") if mfcc else (original.name,)
    shape = (len(names), len(rows), -1)
    axis = "MFCC statistics, coefficient by coefficient" if mfcc else "vectors, number by number"
    return Reconstructed(
        model,
        names,
        original.values.reshape(shape),
        reconstruction.values.reshape(shape),
        "sd",
        f"{axis}, in standard deviations as the model reads them",
        rows,
        f"{100 * explained:.0f} % of the held-out variance explained",
    )


def reconstructions(blocks: Sequence[Reconstructed], *, title: str) -> Figure:
    """Originals, reconstructions and errors: a column per track and three rows per model.

    Parameters
    ----------
    blocks
        The examples of each model.
    title
        What is shown.
    """
    columns = max(len(block.names) for block in blocks)
    heights = [0.85 if block.rows else 1.25 for block in blocks]
    figure = Figure(
        figsize=(max(9.0, 1.6 + 3.1 * columns), 1.0 + sum(3.3 * h + 0.8 for h in heights)),
        layout="constrained",
    )
    figure.suptitle(shortened(title, 100), fontsize=14, fontweight="bold")
    parts = figure.subfigures(len(blocks), 1, height_ratios=heights, squeeze=False)
    for part, block in zip(parts[:, 0], blocks, strict=True):
        error = block.reconstruction - block.original
        rmse = np.sqrt((error**2).mean(axis=(1, 2)))
        low, high = (float(f(block.original)) for f in (np.min, np.max))
        worst = float(np.abs(error).max())
        said = "\n".join(text for text in (f"{block.model}: {block.axis}", block.explained) if text)
        part.suptitle(said, fontsize=11, color="#444444")
        grid = part.subplots(3, columns, squeeze=False)
        shown = {
            "original": (block.original, "magma", low, high),
            "reconstruction": (block.reconstruction, "magma", low, high),
            "error": (error, "RdBu_r", -worst, worst),
        }
        for line, (name, (images, cmap, least, most)) in zip(grid, shown.items(), strict=True):
            for column, axes in enumerate(line):
                axes.set_xticks([])
                axes.set_yticks([])
                if column >= len(block.names):
                    axes.set_axis_off()
                    continue
                image = axes.imshow(
                    images[column],
                    origin="upper" if block.rows else "lower",
                    aspect="auto",
                    cmap=cmap,
                    vmin=least,
                    vmax=most,
                )
                if name == "original":
                    axes.set_title(shortened(block.names[column], 34), fontsize=9)
                if name == "error":
                    axes.set_xlabel(f"RMSE {rmse[column]:.2f} {block.unit}", fontsize=8)
            line[0].set_ylabel(name, fontsize=9)
            if block.rows:
                line[0].set_yticks(range(len(block.rows)), block.rows, fontsize=7)
            part.colorbar(image, ax=line[len(block.names) - 1], label=block.unit, pad=0.02)
    return figure
