"""The levels: which methods, clusterers and figures each has, and its stages in order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from genre_vae import methods
from genre_vae.clustering import ALGORITHMS
from genre_vae.config import Counted, Given
from genre_vae.embedding import Embedding
from genre_vae.evaluation.table import RANKED_BY, Row, newest
from genre_vae.methods import Method
from genre_vae.records import InputError, LabelUse
from genre_vae.stages.cluster import Clustering, cluster
from genre_vae.stages.collect import catalog_of, collect
from genre_vae.stages.compare import Table, clusterings_of, compare, evaluate, rows_of
from genre_vae.stages.count import count
from genre_vae.stages.draw import Figures, draw, draw_hard
from genre_vae.stages.embed import Key, Made, embed
from genre_vae.stages.inputs import inputs
from genre_vae.stages.register import is_servable, register
from genre_vae.tracking.run import Run
from genre_vae.tracking.stage import Artifact


@dataclass(frozen=True)
class Level:
    """A level.

    Parameters
    ----------
    name
    methods
        The keys of its methods, in the order in which they are made.
    clusterers
    beside
        Methods that stand in hard_task_metrics.csv and not in the level's own table.
    figures
        The maps that it draws: the key of a method, and the name of the file.
    lyrics
        Whether it reads lyrics, and so audits what carries the label.
    on_descriptor
        Methods that read the descriptor as well, where ``input`` is ``audio``: it is from scratch
        too.
    on_request
        Methods of the level that are made where they are asked for by name alone.
    """

    name: str
    methods: tuple[str, ...]
    clusterers: tuple[str, ...] = ("k-means",)
    beside: tuple[str, ...] = ()
    figures: Mapping[str, str] = field(default_factory=dict)
    lyrics: bool = True
    on_descriptor: tuple[str, ...] = ()
    on_request: tuple[str, ...] = ()

    def chosen(self, given: Given) -> list[Method]:
        """The methods that are made: its own, or those given."""
        found = methods.select(given.methods, self.methods)
        fused = [method.key for method in found if method.fusion]
        if fused and not self.lyrics:
            raise InputError(f"method {fused[0]!r} reads lyrics, which {self.name} does not")
        return found

    def compared(self, given: Given) -> list[str]:
        """The keys of the methods in its table."""
        chosen = [method.key for method in self.chosen(given)]
        return [key for key in chosen if given.methods or key not in self.beside]

    @property
    def own(self) -> list[Method]:
        """Its methods, whichever are given, and those on request."""
        return [methods.BY_KEY[key] for key in (*self.methods, *self.on_request)]


# In Easy the autoencoder stands between the two: the VAE's network without its variational part.
EASY = Level(
    "easy",
    ("pca", "autoencoder", "vae"),
    figures={key: f"easy_task_{key}_tsne" for key in ("pca", "autoencoder", "vae")},
    lyrics=False,
)
# It costs more than any other model, and on real clips the contrastive encoder is ahead of it.
CONTRASTIVE_VAE = ("contrastive_vae",)
MEDIUM = Level(
    "medium",
    ("pca", "vae", "conv_vae", "contrastive", "vae_lyrics", "conv_vae_lyrics"),
    ALGORITHMS,
    figures={
        "conv_vae": "medium_task_conv_vae_tsne",
        "vae_lyrics": "medium_task_vae_lyrics_tsne",
        "conv_vae_lyrics": "medium_task_conv_vae_lyrics_tsne",
    },
    on_request=CONTRASTIVE_VAE,
)
FUSIONS = ("multimodal_concatenate", "multimodal", "multimodal_late", "multimodal_genre")
HARD = Level(
    "hard",
    (
        *("pca", "raw", "autoencoder", "vae", "conv_vae", "betavae"),
        *("cvae", "cvae_decoder", "cvae_clusters", "contrastive", *FUSIONS),
    ),
    beside=("multimodal_concatenate", "multimodal_late"),
    on_descriptor=("raw", "pca", "autoencoder", "vae", "betavae"),
    on_request=CONTRASTIVE_VAE,
)
LEVELS = {level.name: level for level in (EASY, MEDIUM, HARD)}
FUSED_CLUSTERERS = ("k-means", "agglomerative")  # of fusions in Hard, and of multimodal


Clusterings = dict[tuple[Key, str], Artifact[Clustering]]  # by embedding and clusterer


@dataclass(frozen=True)
class Outcome:
    """What a level has made: its table, and the other artifacts whose files its run shows."""

    table: Artifact[Table]
    shown: Sequence[Artifact[Any]]


def cluster_all(
    run: Run,
    given: Given,
    counted: Counted,
    embeddings: Mapping[Key, Artifact[Embedding]],
    clusterers: Sequence[str],
) -> Clusterings:
    """Every embedding with every clusterer."""
    return {
        (key, algorithm): cluster(run, given, embedding, algorithm, counted)
        for key, embedding in embeddings.items()
        for algorithm in clusterers
    }


def maps(
    run: Run, given: Given, level: Level, made: Made, clusterings: Clusterings
) -> list[Artifact[Figures]]:
    """The maps of a level, each with its k-means clusters."""
    return [
        draw(run, given, made.embeddings[Key(key)], clusterings[Key(key), "k-means"], name)
        for key, name in level.figures.items()
        if (Key(key), "k-means") in clusterings
    ]


def table_of(
    run: Run, given: Given, level: Level, made: Made, found: Sequence[Artifact[Clustering]]
) -> Artifact[Table]:
    """A level's table."""
    dataset = made.inputs.audio.dataset
    rows = rows_of(run, dataset, found)
    return compare(run, level.name, dataset, in_table(level, given, rows), found)


def in_table(level: Level, given: Given, rows: Sequence[Row]) -> list[Row]:
    """The newest rows of a level's methods."""
    return newest(rows, models=level.compared(given), algorithms=level.clusterers)


def embed_all(run: Run, given: Given, level: Level, among: Iterable[Method] = ()) -> Made:
    """The embeddings of a level's methods; `among` are those between which a number of an option is
    for its owner: the level's own, if none are given."""
    return embed(
        run,
        given,
        level.chosen(given),
        rivals=list(among) or level.own,
        reads_lyrics=level.lyrics,
        also_on_descriptor=level.on_descriptor,
    )


def easy_or_medium(run: Run, given: Given, level: Level, among: Iterable[Method] = ()) -> Outcome:
    """Every stage of the Easy or the Medium level, in order."""
    made = embed_all(run, given, level, among)
    kept = {key: made.embeddings[key] for key in _asked(level, given, made)}
    clusterings = cluster_all(run, given, made.counted, kept, level.clusterers)
    figures = maps(run, given, level, made, clusterings)
    return Outcome(table_of(run, given, level, made, list(clusterings.values())), figures)


def _asked(level: Level, given: Given, made: Made) -> list[Key]:
    """The embeddings that were asked for, without those that only a fusion needed."""
    asked = {method.key for method in level.chosen(given)}
    return [key for key in made.embeddings if key.method in asked]


def hard(
    run: Run,
    given: Given,
    level: Level = HARD,
    among: Iterable[Method] = (),
    *,
    registers: bool = True,
) -> Outcome:
    """Every stage of the Hard level, in order; the last one, which registers the best model, where
    the caller wants a model and ``register`` says yes."""
    made = embed_all(run, given, level, among)
    assert made.audited is not None, "Hard audits"
    keys = _asked(level, given, made)
    kept = {key: made.embeddings[key] for key in keys}
    clusterings = cluster_all(run, given, made.counted, kept, level.clusterers)
    fused = {key: one for key, one in kept.items() if methods.BY_KEY[key.method].fusion}
    more = cluster_all(run, given, made.counted, fused, FUSED_CLUSTERERS[1:])
    found = [*clusterings.values(), *more.values()]
    dataset = made.inputs.audio.dataset
    by_id = {row.run_id: row for row in rows_of(run, dataset, found)}
    rows = [by_id[one.run_id] for one in found]
    evaluated = evaluate(run, made.inputs.audio, rows, found)
    ranked = in_table(level, given, rows)
    compared = compare(run, level.name, dataset, ranked, found)
    shown: list[Artifact[Any]] = [evaluated, made.audited]
    shown += _figures(run, given, made, clusterings, compared)
    wanted = registers and given.register == "yes"
    if wanted and any(is_servable(row) for row in ranked):
        register(run, given, made.inputs.audio, ranked, found)
    elif wanted:
        print(f"{'register':<10} nothing: no row that labels left alone can place a new track")
    return Outcome(compared, shown)


def _figures(
    run: Run, given: Given, made: Made, clusterings: Clusterings, compared: Artifact[Table]
) -> list[Artifact[Figures]]:
    """The figures of the trained model whose clusters rank highest, with the ConvVAE's
    reconstructions beside its own; of the best row, where nothing was trained."""
    frame = compared.value.frame
    ranked = [str(run_id) for run_id in frame["run_id"][frame["rank"].notna()]]
    key_of = {one.run_id: key for (key, _), one in clusterings.items()}
    best = [key_of[run_id] for run_id in ranked]
    trained = [key for key in best if methods.BY_KEY[key.method].train is not None]
    if not best:
        return []
    key = (trained or best)[0]
    other = made.embeddings.get(Key("vae" if key.method == "conv_vae" else "conv_vae"))
    beside = [] if other is None or not trained else [other]
    embedding, clustering = made.embeddings[key], clusterings[key, "k-means"]
    return [draw_hard(run, given, made.inputs, embedding, clustering, beside=beside)]


DO = {"easy": easy_or_medium, "medium": easy_or_medium, "hard": hard}


def do(run: Run, given: Given, name: str, among: Iterable[Method] = ()) -> Outcome:
    """A level by its name."""
    return DO[name](run, given, LEVELS[name], among)


def do_all(run: Run, given: Given) -> None:
    """Every level in turn, under one run with the best scores on it."""
    among = [method for level in LEVELS.values() for method in level.own]
    outcomes = []
    for name in LEVELS:
        print(f"\n{name} level", flush=True)
        with run.group(name) as child:
            outcome = do(child, given, name, among)
            summarise(child, [outcome], listed=False)
        outcomes.append(outcome)
    summarise(run, outcomes)


def multimodal(run: Run, given: Given) -> Artifact[Table]:
    """Audio and lyrics fused in every way, clustered and scored."""
    level = Level("multimodal", FUSIONS)
    made = embed_all(run, given, level)
    found = list(cluster_all(run, given, made.counted, made.embeddings, FUSED_CLUSTERERS).values())
    rows = rows_of(run, made.inputs.audio.dataset, found)
    return evaluate(run, made.inputs.audio, rows, found)


def register_best(run: Run, given: Given) -> None:
    """Register the best of the Hard level's newest rows, or the clustering run that is given."""
    dataset = catalog_of(run, given)
    if given.run is None:
        rows = in_table(HARD, given, rows_of(run, dataset))
        if not rows:
            raise InputError(
                f"no finished hard clustering of {dataset.folder} in the tracking store: "
                "run the entry point hard first"
            )
        register(run, given, collect(run, given), rows)
        return
    rows, found = clusterings_of(run, dataset, given.run)
    about = rows[0].about
    if about.label_use != LabelUse.NONE:
        raise InputError(
            f"{about.method} is an oracle (label use {about.label_use}): it cannot be registered, "
            "since the genre of a new track is not known"
        )
    register(run, given, collect(run, given), rows, found)


def draw_level(run: Run, given: Given, level: Level) -> None:
    """The figures of a level; nothing is registered."""
    if level is HARD:
        summarise(run, [hard(run, given, registers=False)])
        return
    if not any(method.key in level.figures for method in level.chosen(given)):
        raise InputError(f"{level.name} draws {', '.join(level.figures)}, none of those methods")
    made = embed_all(run, given, level)
    kept = {key: made.embeddings[key] for key in _asked(level, given, made)}
    drawn = maps(run, given, level, made, cluster_all(run, given, made.counted, kept, ["k-means"]))
    if drawn:  # all of them, not the last one's alone
        run.summary(drawn[-1], drawn)


def draw_run(run: Run, given: Given, run_id: str) -> None:
    """The Hard level's figures of one run of train, fuse or cluster."""
    seen = inputs(run, given)
    found = run.find(run_id, seen.audio.dataset)
    if found.stage.name == "cluster":
        (embedding,) = run.inputs(found)
        draw_hard(run, given, seen, embedding, found)
    elif found.stage.name in ("train", "fuse"):
        counted = count(run, given, seen)
        draw_hard(run, given, seen, found, cluster(run, given, found, "k-means", counted))
    else:
        what = "runs of train, fuse and cluster can be drawn"
        raise InputError(f"run {run_id!r} is one of {found.stage.name}: {what}")


def summarise(run: Run, outcomes: Sequence[Outcome], *, listed: bool = True) -> None:
    """Put the best row's scores, the tables and the figures of levels on their run."""
    best = max((outcome.table for outcome in outcomes), key=_rank)
    shown = [one for outcome in outcomes for one in (outcome.table, *outcome.shown)]
    run.summary(best, shown, listed=listed)


def _rank(table: Artifact[Table]) -> tuple[float, ...]:
    """Orders the best rows of levels as a table orders its rows."""
    return tuple(table.metrics.get(f"best/{metric}", float("-inf")) for metric in RANKED_BY)
