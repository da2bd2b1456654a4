"""The options of every entry point: one name, one default, one check, one help text each."""

from __future__ import annotations

import atexit
import contextlib
import gc
import math
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from genre_vae.records import InputError, LabelUse

if TYPE_CHECKING:
    from genre_vae.tracking import Tracker


@dataclass(frozen=True)
class Options:
    """What a person can set, with the defaults. An entry point declares those that it uses."""

    data: str = "auto"
    input: str = "audio"
    input_about: str = ""
    input_label_use: str = "unstated"
    musicnn_wheel: str = "auto"
    model: str = "vae"
    level: str = "easy"
    algorithm: str = "k-means"
    n_clusters: str = "auto"
    eps: str = "auto"
    lyrics: str = "auto"
    lyrics_id: str = "filename"
    lyrics_text: str = "lyrics"
    lyrics_match: str = "filename"
    lyrics_model: str = "tfidf"
    lyrics_dim: int = 32
    lyrics_missing: str = "zero"
    lyrics_weight: float = 1.0
    faults: str = "keep"
    run: str = "auto"
    projection: str = "tsne"
    metric: str = "auto"
    register: str = "yes"
    file: str = ""
    output: str = ""
    model_uri: str = "models:/genre-vae@champion"
    neighbours: int = 5
    condition: str = "encoder+decoder"
    condition_on: str = "genre"
    encode_as: str = "genre"
    condition_dim: int = 8
    betas: str = "0.1,0.5,1,2,4,8"
    mel_view: str = "windows"
    widths: str = "16,32,64"
    latent_dim: str = "auto"
    beta: str = "auto"
    contrast: str = "auto"
    temperature: float = 0.2
    epochs: str = "auto"
    patience: str = "auto"
    batch_size: str = "auto"
    lr: str = "auto"
    seeds: int = 5
    seed: int = 0
    device: str = "auto"
    workers: str = "auto"
    typed_in: Path = Path()  # where relative paths begin: no option, the command line fills it in

    def path(self, text: str) -> Path:
        """A path as the person meant it: from the folder in which the command was typed."""
        try:
            return (self.typed_in / Path(text).expanduser()).resolve()
        except (OSError, RuntimeError) as error:
            raise InputError(f"{text[:80]!r} is no path: {error}") from error

    def of(self, model: str) -> dict[str, Any]:
        """The training options of a model, with its own defaults where they say ``auto``."""
        defaults = DENSE | DEFAULTS.get(model, {})
        given = {name: getattr(self, name) for name in defaults}
        return {
            name: defaults[name] if value == "auto" else type(defaults[name])(value)
            for name, value in given.items()
        }

    @property
    def n_workers(self) -> int:
        """Processes: `workers`, or one for each core that this process may use."""
        import joblib

        return int(joblib.cpu_count()) if self.workers == "auto" else int(self.workers)

    @property
    def torch_device(self) -> str:
        """`device`, or the fastest that torch finds."""
        import torch

        found = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
        if self.device == "auto":
            return next((device for device, there in found.items() if there), "cpu")
        if not found.get(self.device, True):
            raise InputError(f"device={self.device}: torch finds none here")
        return self.device


# Dense models are small, so they may train until nothing moves. The ConvVAE costs 0.2 s of a core
# for an epoch of 100 tracks; after 60 epochs its clusters hardly change. With a contrastive term an
# epoch costs twice that, and without a decoder as much as the ConvVAE's.
DENSE: dict[str, Any] = {
    "latent_dim": 16,
    "epochs": 500,
    "patience": 50,
    "batch_size": 32,
    "lr": 1e-3,
    "beta": 1.0,
}
CONVOLUTIONAL: dict[str, Any] = {
    "latent_dim": 32,
    "epochs": 60,
    "patience": 20,
    "batch_size": 16,
    "lr": 2e-3,
}
DEFAULTS: dict[str, dict[str, Any]] = {
    "conv_vae": CONVOLUTIONAL | {"contrast": 0.0},
    "contrastive_vae": CONVOLUTIONAL | {"patience": 30, "contrast": 300.0},
    "contrastive": CONVOLUTIONAL | {"patience": 30, "contrast": 1.0},
    "betavae": {"beta": 4.0},
}


class _AutoInt(click.ParamType[str]):
    """``auto`` or a whole number from `low` to `high`; stays text, as MLproject has it."""

    name = "auto|integer"

    def __init__(self, low: int, high: int = 1_000_000) -> None:
        self.low = low
        self.high = high

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value == "auto":
            return "auto"
        text = str(value)
        if not (text.isascii() and text.isdecimal() and self.low <= int(text) <= self.high):
            bounds = f"{self.low} to {self.high}"
            self.fail(f"{value!r} is neither 'auto' nor a whole number from {bounds}", param, ctx)
        return str(int(text))


class _Whole(click.IntRange):
    """A whole number in a range, under a name that a message can use."""

    name = "whole number"


class _Finite(click.FloatRange):
    """A number in a range; ``nan`` is in every range for click."""

    name = "number"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        number = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail("'nan' is not a number", param, ctx)
        return float(number)


class _AutoFloat(click.ParamType[str]):
    """``auto`` or a number in a range; stays text, as MLproject has it."""

    name = "auto|number"

    def __init__(self, numbers: _Finite) -> None:
        self.numbers = numbers

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value != "auto":
            self.numbers.convert(value, param, ctx)
        return str(value)


class _Floats(click.ParamType[str]):
    """Two different numbers or more between commas, 0 or above; stays text."""

    name = "a,b,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        numbers = {_FROM_ZERO.convert(part, param, ctx) for part in str(value).split(",")}
        if len(numbers) < 2:
            self.fail(f"{value!r} is not two numbers or more, as in 1,4", param, ctx)
        return str(value)


class _Widths(click.ParamType[str]):
    """Three whole numbers between commas; stays text."""

    name = "a,b,c"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        parts = str(value).split(",")
        if len(parts) != 3 or not all(p.isdecimal() and 1 <= int(p) <= 1024 for p in parts):
            self.fail(f"{value!r} is not three whole numbers from 1, as in 16,32,64", param, ctx)
        return str(value)


METRICS = (
    *("silhouette", "calinski_harabasz", "davies_bouldin"),
    *("nmi", "ami", "ari", "purity", "accuracy"),
)
MODEL_NAMES = (
    *("pca", "spectral", "autoencoder", "vae", "betavae", "cvae"),
    *("conv_vae", "contrastive_vae", "contrastive"),
)
LEVELS = ("easy", "medium", "hard")
_ABOVE_ZERO = _Finite(0, min_open=True, max=1e6)
_FROM_ZERO = _Finite(0, max=1e6)
_KINDS: dict[str, tuple[Any, str]] = {
    "data": (
        str,
        "Folder of audio: <genre>/<file>, or files alone. 'demo' is the built-in corpus; 'auto' "
        "takes data/gtzan where it is there, else the demo.",
    ),
    "input": (
        str,
        "What dense models and baselines see: 'audio' (MFCC statistics), 'musicnn' (a tagger "
        "trained on other music), or a file of vectors (.npy, .npz, .csv, .parquet). Models with "
        "convolutions see mel windows whatever it is.",
    ),
    "input_about": (str, "Where a file's vectors come from, in your words: tables repeat it."),
    "input_label_use": (
        click.Choice(["unstated", *(str(use) for use in LabelUse)]),
        "How far this collection's genres reached into a file's vectors, as far as you know.",
    ),
    "musicnn_wheel": (
        str,
        "Where musicnn-0.1.0-py3-none-any.whl lies, which holds the weights; 'auto' downloads it.",
    ),
    "model": (click.Choice(MODEL_NAMES), "What makes the embedding."),
    "level": (click.Choice(LEVELS), "Whose table or figures."),
    "algorithm": (
        click.Choice(["k-means", "agglomerative", "DBSCAN", "spectral"]),
        "The clusterer.",
    ),
    "n_clusters": (_AutoInt(2), "Number of clusters; 'auto': as many as there are genres."),
    "eps": (_AutoFloat(_ABOVE_ZERO), "DBSCAN's radius; 'auto': the knee of the k-distance curve."),
    "lyrics": (
        str,
        "A CSV or JSON file; 'control' (meaningless words, the honest null), 'themes' (words from "
        "the genre, an oracle) or 'none'; 'auto': the demo's own or <data>/lyrics.csv where it is "
        "there, else the control.",
    ),
    "lyrics_id": (str, "The file's column with the song's name."),
    "lyrics_text": (str, "The file's column with the words."),
    "lyrics_match": (
        click.Choice(["filename", "basename", "index"]),
        "How songs find tracks: by file name, by the number in it, or by place within the genre.",
    ),
    "lyrics_model": (str, "'tfidf', or a sentence-transformers model: a name or a folder."),
    "lyrics_dim": (_Whole(1, 4096), "Dimensions of the lyrics' embedding."),
    "lyrics_missing": (
        click.Choice(["zero", "mean", "drop", "genre_mean"]),
        "What a track without words gets; genre_mean uses the genre.",
    ),
    "lyrics_weight": (_FROM_ZERO, "Weight of the lyrics beside the audio's 1."),
    "faults": (
        click.Choice(["keep", "drop"]),
        "GTZAN's 70 faulty clips by name (Kereliuk et al., 2015): kept, or left out. Repeated "
        "tracks are listed and kept.",
    ),
    "run": (str, "A run's id in the tracking store, or its beginning; 'auto': what the level has."),
    "metric": (
        click.Choice(["auto", *METRICS]),
        "What chooses the champion; 'auto': AMI, or silhouette where no genres are known.",
    ),
    "register": (
        click.Choice(["yes", "no"]),
        "Whether to register the best label-free row as a model that takes audio.",
    ),
    "file": (str, "An audio file, or a folder of them."),
    "output": (str, "Where to write the answer: a file ending in .csv or .json; '' for none."),
    "model_uri": (str, "A registered or logged model."),
    "neighbours": (_Whole(0, 1000), "How many of the collection's nearest tracks to name."),
    "projection": (click.Choice(["tsne", "umap"]), "What draws maps; umap is an extra."),
    "condition": (
        click.Choice(["encoder+decoder", "decoder"]),
        "Whether a CVAE's encoder is told the genre as well as its decoder.",
    ),
    "condition_on": (
        click.Choice(["genre", "clusters"]),
        "What a CVAE is told: the genre, or the k-means cluster of its input (no label needed).",
    ),
    "encode_as": (
        click.Choice(["genre", "unknown"]),
        "Whether a CVAE makes its codes with the genre, or as of an unknown one.",
    ),
    "condition_dim": (_Whole(1, 1024), "Dimensions of the embedding of what a CVAE is told."),
    "mel_view": (click.Choice(["windows", "first"]), "Mel input: ten windows, or the first only."),
    "widths": (_Widths(), "Channels of the ConvVAE's three convolutions."),
    "latent_dim": (_AutoInt(1), "Dimensions of the embedding; 'auto': 16, with convolutions 32."),
    "beta": (
        _AutoFloat(_FROM_ZERO),
        "Weight of the KL term in the objective; 'auto': 1, BetaVAE 4. In hard and main a number "
        "is for the BetaVAE alone.",
    ),
    "contrast": (
        _AutoFloat(_FROM_ZERO),
        "Weight of the contrastive term in the ConvVAE's objective, 0 for none; 'auto': conv_vae "
        "0, contrastive_vae 300. In medium, hard and main a number is for contrastive_vae alone.",
    ),
    "temperature": (_Finite(0, min_open=True, max=100), "Of the contrastive term."),
    "betas": (_Floats(), "The weights of the KL term to try."),
    "epochs": (
        _AutoInt(1),
        "Passes over the tracks, at most; 'auto': 500, with convolutions 60.",
    ),
    "patience": (
        _AutoInt(1),
        "Epochs without a lower validation loss before stopping; 'auto': 50, ConvVAE 20, "
        "contrastive 30.",
    ),
    "batch_size": (_AutoInt(1), "Tracks in a training step; 'auto': 32, with convolutions 16."),
    "lr": (
        _AutoFloat(_ABOVE_ZERO),
        "Learning rate of Adam; 'auto': 0.001, with convolutions 0.002.",
    ),
    "seeds": (_Whole(1, 1000), "Members trained and clustered; intervals are over them."),
    "seed": (_Whole(0, 1_000_000_000), "The first member's seed; the next have the numbers after."),
    "device": (click.Choice(["auto", "cpu", "cuda", "mps"]), "Where models train."),
    "workers": (_AutoInt(1, 256), "Processes that read audio; 'auto': one for each core."),
}


class _OneLineCommand(click.Command):
    """A wrong argument gets one line on standard error and exit code 2."""

    def main(  # type: ignore[override]
        self, args: Sequence[str] | None = None, **extra: Any
    ) -> NoReturn:
        try:
            code = super().main(args, **(extra | {"standalone_mode": False}))
        except click.ClickException as error:
            _refuse(error.format_message())
        except (InputError, OSError) as error:
            _refuse(str(error))
        except (click.Abort, KeyboardInterrupt):
            sys.exit(130)
        sys.exit(code if isinstance(code, int) else 0)


def _refuse(message: str) -> NoReturn:
    click.echo(f"Error: {' '.join(message.split())}", err=True)
    sys.exit(2)


TRAINING = ("latent_dim", "beta", "epochs", "patience", "batch_size", "lr")
SEEDS = ("seeds", "seed", "device", "workers")
DATA = ("data", "faults")
CONDITION = ("condition", "condition_on", "encode_as")
CONV = ("mel_view", "widths", "contrast", "temperature")
INPUT = ("input", "input_about", "input_label_use", "musicnn_wheel")
LYRICS = (
    *("lyrics", "lyrics_id", "lyrics_text", "lyrics_match"),
    *("lyrics_model", "lyrics_dim", "lyrics_missing"),
)


def entry_point(
    *names: str,
) -> Callable[[Callable[[Tracker, Options], None]], click.Command]:
    """Make an entry point of a function: options parsed, a run opened, errors in one line.

    Parameters
    ----------
    names
        The options it has; the others keep their defaults.
    """

    def decorate(function: Callable[[Tracker, Options], None]) -> click.Command:
        def callback(**given: Any) -> None:
            # Importing MLflow makes a million objects that stay. Looking for garbage among them
            # less often, and not at all on the way out, takes a third off a run that only finds
            # finished work again.
            gc.set_threshold(100_000)
            atexit.register(gc.freeze)
            from genre_vae import tracking

            entry = function.__module__.rpartition(".")[2]
            entry = Path(sys.argv[0]).stem if entry == "__main__" else entry
            options = Options(**given, typed_in=caller_folder())
            resolved = {name: getattr(options, name) for name in names}
            try:
                with tracking.invocation(entry, resolved) as tracker:
                    function(tracker, options)
            except tracking.Terminated:
                sys.exit(128 + 15)

        command: click.Command = _OneLineCommand(
            name=function.__name__,
            callback=callback,
            help=function.__doc__,
            params=[_option(name) for name in names],
            context_settings={
                "show_default": True,
                "max_content_width": 100,
                "token_normalize_func": lambda token: token.replace("-", "_"),  # --n-clusters too
            },
        )
        return command

    return decorate


def caller_folder() -> Path:
    """The folder in which the person typed the command.

    ``mlflow run`` starts its command in the project's folder; the person's is then the working
    folder of the ``mlflow`` process above this one, or where that cannot be seen, the project's.
    """
    import psutil

    if "MLFLOW_RUN_ID" not in os.environ:
        return Path.cwd()
    for process in psutil.Process().parents():
        with contextlib.suppress(psutil.Error, OSError):
            if "mlflow" in {Path(word).name for word in process.cmdline()[:3]}:
                return Path(process.cwd())
    return Path.cwd()


def _option(name: str) -> click.Option:
    kind, text = _KINDS[name]
    default = {field.name: field.default for field in fields(Options)}[name]
    return click.Option([f"--{name}"], type=kind, default=default, help=text)
