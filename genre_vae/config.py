"""The frozen configs that stages take, made of the options at the door.

A stage never sees an option. Its config holds what decides its result beside its inputs, and
nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from genre_vae.clustering import DETERMINISTIC, FIND_THEIR_NUMBER
from genre_vae.methods import BY_KEY, Method, row_of
from genre_vae.models.config import CONVOLUTIONAL, TrainConfig
from genre_vae.options import Options
from genre_vae.records import InputError, LabelUse, Loudness

T = TypeVar("T")

WITHOUT_KL = ("autoencoder", "contrastive")  # models whose objective has no KL term to weigh


@dataclass(frozen=True)
class Counted:
    """How many clusters to make.

    Parameters
    ----------
    n_clusters
        The number; None takes one for each genre.
    by
        What it was taken from: ``given``, the ``genres``, ``chosen`` from the values, or ``no clear
        number`` where that gave a candidate only.
    why
        Why it was chosen, in a sentence.
    """

    n_clusters: int | None
    by: str
    why: str = ""


@dataclass(frozen=True)
class Given(Options):
    """What a person has set; the options that an entry point does not take have their defaults."""

    typed_in: Path = Path()  # where relative paths begin: no option, the command line fills it in

    def path(self, text: str) -> Path:
        """A path as the person meant it: from the folder in which the command was typed."""
        try:
            return (self.typed_in / Path(text).expanduser()).resolve()
        except (OSError, RuntimeError) as error:
            raise InputError(f"{text[:80]!r} is no path: {error}") from error

    def train(self, method: Method, *, among: Iterable[Method] = ()) -> TrainConfig:
        """The training of a method: its own defaults, and what was given.

        Parameters
        ----------
        method
            A method with a model.
        among
            The methods of its level: a number that one of them owns is for that one alone.
        """
        base = method.train
        assert base is not None, f"{method.key} has no model"
        others = {name for other in among if other is not method for name in other.owns}
        theirs = others - set(method.owns)
        beta = None if "beta" in theirs or base.model in WITHOUT_KL else self.beta
        contrast = None if "contrast" in theirs else self.contrast
        train = replace(
            base,
            latent_dim=_or(self.latent_dim, base.latent_dim),
            beta=_or(beta, base.beta),
            epochs=_or(self.epochs, base.epochs),
            patience=_or(self.patience, base.patience),
            batch_size=_or(self.batch_size, base.batch_size),
            lr=_or(self.lr, base.lr),
            seed=self.seed,
            device=self.device,
        )
        if base.model in CONVOLUTIONAL:
            train = replace(
                train,
                widths=_or(self.widths, base.widths),
                contrast=_or(contrast, base.contrast),
            )
        if base.model in CONVOLUTIONAL and train.contrast > 0:
            train = replace(train, temperature=self.temperature)
        return replace(train, condition_dim=self.condition_dim) if base.model == "cvae" else train

    def single(self) -> tuple[Method, TrainConfig | None]:
        """The row that the option ``model`` amounts to with the others, and its training."""
        method = BY_KEY[self.model]
        if method.train is None:
            return method, None
        train = self.train(method)
        if train.model == "cvae":
            train = replace(
                train,
                condition=self.condition,
                condition_on=self.condition_on,
                encode_as=self.encode_as,
            )
        return row_of(train), train

    def cluster(
        self,
        algorithm: str,
        counted: Counted,
        *,
        seeds: tuple[int, ...] = (),
        variant: str = "",
    ) -> ClusterConfig:
        """The clustering of an embedding; `seeds` are its members', where it has some.

        Where neither the embedding nor the clusterer is random, there is one seed: copies of one
        result are no repetition.
        """
        count = len(seeds) or (1 if algorithm in DETERMINISTIC else self.seeds)
        finds = algorithm in FIND_THEIR_NUMBER
        return ClusterConfig(
            algorithm=algorithm,
            n_clusters=counted.n_clusters,
            n_clusters_by="clusterer" if finds else counted.by,
            n_clusters_why="" if finds else counted.why,
            eps=self.eps if algorithm == "DBSCAN" else None,
            seed=seeds[0] if seeds else self.seed,
            seeds=count,
            variant=variant,
        )


def _or(given: T | None, default: T) -> T:
    return default if given is None else given


@dataclass(frozen=True)
class RowConfig:
    """What a method's embedding is called: fields of `genre_vae.records.Embedding`."""

    method: str
    title: str
    stem: str
    reads: str


@dataclass(frozen=True)
class BaselineConfig:
    """A baseline: principal components, or the input itself where `n_components` is None."""

    row: RowConfig
    n_components: int | None


@dataclass(frozen=True)
class TrainingConfig:
    """A model trained once per seed, from that of `train` on; `n_clusters` is for a CVAE
    conditioned on clusters."""

    row: RowConfig
    train: TrainConfig
    n_clusters: int | None
    seeds: int

    @property
    def numbers(self) -> tuple[int, ...]:
        """The seeds."""
        return tuple(range(self.train.seed, self.train.seed + self.seeds))


@dataclass(frozen=True)
class FuseConfig:
    """Lyrics joined to an embedding or an input; `seeds` is 0 for a fusion without any."""

    row: RowConfig
    fusion: str
    lyrics_weight: float
    with_genre: bool
    n_clusters: int | None
    seed: int
    seeds: int

    @property
    def numbers(self) -> tuple[int, ...]:
        """The seeds."""
        return tuple(range(self.seed, self.seed + self.seeds))


@dataclass(frozen=True)
class ClusterConfig:
    """A clustering, once per seed; `variant` sets the row of a sweep apart from the method's.

    `n_clusters_by` is what the number of clusters was taken from: ``given``, the ``genres``, the
    ``clusterer`` itself, or `Counted.by` with its reason in `n_clusters_why`.
    """

    algorithm: str
    n_clusters: int | None
    n_clusters_by: str
    n_clusters_why: str
    eps: float | None
    seed: int
    seeds: int
    variant: str = ""

    @property
    def numbers(self) -> tuple[int, ...]:
        """The seeds."""
        return tuple(range(self.seed, self.seed + self.seeds))


@dataclass(frozen=True)
class CountConfig:
    """The name of the input in which clusters are counted, and the seed of its random halves."""

    reads: str
    seed: int


@dataclass(frozen=True)
class LyricsConfig:
    """Lyrics of `kind` ``control``, ``themes`` or ``file``, and their embedding."""

    kind: str
    id_column: str
    text_column: str
    match: str
    model: str
    dim: int
    missing: str
    seed: int


@dataclass(frozen=True)
class VectorsConfig:
    """A file of vectors, and what was stated about it."""

    input: str
    input_about: str
    input_label_use: LabelUse


@dataclass(frozen=True)
class CombinedConfig:
    """The names of inputs that stand side by side."""

    reads: tuple[str, ...]


@dataclass(frozen=True)
class AuditConfig:
    """An audit's random draws."""

    seed: int


@dataclass(frozen=True)
class TableConfig:
    """A level's table; `names` are the Medium table's for each method, `against` is the run of the
    row that the others were asked to be compared with."""

    level: str
    collection: str
    names: tuple[tuple[str, str], ...]
    against: str | None = None


@dataclass(frozen=True)
class MapConfig:
    """A map; `name` is its file's, without suffix."""

    name: str
    collection: str
    projection: str
    seed: int


@dataclass(frozen=True)
class SweepConfig:
    """The betas of a sweep, in the order of its embeddings, and the title of its chart."""

    betas: tuple[float, ...]
    title: str


@dataclass(frozen=True)
class ModelConfig:
    """The seed of the registered member, how loud a clip is when it is described, and a hash of the
    code that will serve it."""

    seed: int
    loudness: Loudness
    code: str
