"""An input -> an embedding: a baseline, or a model trained once per seed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from genre_vae.config import BaselineConfig, Counted, Given, RowConfig, TrainingConfig
from genre_vae.embedding import Embedding, member_folder
from genre_vae.methods import Method
from genre_vae.models.config import WITHOUT_DECODER, TrainConfig
from genre_vae.records import FeatureSet
from genre_vae.scaling import Scaler, read
from genre_vae.stages.count import count
from genre_vae.stages.inputs import Inputs, Source, row_config
from genre_vae.tracking.run import Run
from genre_vae.tracking.stage import Artifact, Recorder, stage

LOG_EVERY = 5  # epochs between two points of a curve in the tracking store; history.csv has all
WITHIN_CLIPS = "within_clip_variance_explained"  # of mel windows, held out
EXPLAINED = "variance_explained"  # of standardised vectors, held out
COMPONENTS = 16  # principal components, where ``latent_dim`` is not given: as dense models


@stage("train")
def baseline(record: Recorder, source: Source, *, config: BaselineConfig) -> Embedding:
    """Principal components of an input, or the input itself."""
    from genre_vae.features import pca

    row = config.row
    features = read(source, row.reads)
    encoder = ""
    if config.n_components is None and features.values.ndim > 2:
        embedding = pca.classical_mds(features)
    else:
        if config.n_components is None:
            projection = pca.Projection(Scaler.of(features))
        else:
            projection = pca.fit_pca(features, n_components=config.n_components)
        encoder = "pca.npz"
        projection.save(record.folder / encoder)
        embedding = projection.apply(features)
    record.metrics({"components": embedding.values.shape[1]})
    return _recorded(record, source, row, (embedding,), encoder)


@stage("train", without=("genre_vae.report",))
def fit(record: Recorder, source: Source, *, config: TrainingConfig) -> Embedding:
    """A model trained once per seed, and the tracks' codes by each member.

    A training that was killed continues from its last checkpoint.
    """
    import pandas as pd

    from genre_vae.models import checkpoint, encoding, training
    from genre_vae.report import charts

    row, model = config.row, config.train.model
    features = read(source, row.reads)
    train = _with_clusters(features, config)

    def on_epoch(seed: int, epoch: checkpoint.Epoch) -> None:
        if epoch.epoch % LOG_EVERY == 0:
            losses = {"train_loss": epoch.train_loss, "val_loss": epoch.val_loss}
            named = {f"{name}/seed_{seed}": value for name, value in losses.items()}
            record.metrics(named, step=epoch.epoch)

    def last(seed: int) -> Path:
        path = _folder(record, config, seed) / f"{model}_last.pth"
        if path.exists():
            print(f"{'':<10} seed {seed} continues from its last checkpoint", flush=True)
        return path

    trained = training.fit_seeds(
        features,
        train,
        seeds=config.numbers,
        workers=record.workers,
        on_epoch=on_epoch,
        checkpoint=last,
    )
    encoder = f"{model}_best.pth"
    for one in trained:
        checkpoint.save(one, _folder(record, config, one.config.seed) / encoder)
    histories = {one.config.seed: one.history for one in trained}
    rows = [(seed, *epoch) for seed, history in histories.items() for epoch in history]
    columns = ["seed", *checkpoint.Epoch._fields]
    pd.DataFrame(rows, columns=columns).to_csv(record.folder / "history.csv", index=False)
    means = {
        name: float(np.mean([getattr(one.best, name) for one in trained]))
        for name in checkpoint.Epoch._fields
        if name != "train_loss"
    }
    record.metrics({f"best/{name}": value for name, value in means.items()})
    members = tuple(encoding.encode(one, features) for one in trained)
    active = float(np.mean([encoding.active_units(codes.values) for codes in members]))
    record.metrics({"best/active_units": active, "best/latent_dim": train.latent_dim})
    title = f"{model} on {features.name}"
    record.figure(f"{model}_loss.png", charts.loss_curves(histories, title=title))
    unit = " nats" if train.calibrated else ""
    record.note = (
        f"best epoch {means['epoch']:.0f}, validation loss {means['val_loss']:.2f}{unit} "
        f"(mean over seeds: {config.seeds})"
    )
    if model not in WITHOUT_DECODER:
        name = WITHIN_CLIPS if features.values.ndim > 2 else EXPLAINED
        explained = float(np.mean([encoding.variance_explained(one, features) for one in trained]))
        record.metrics({f"best/{name}": explained})
        record.note += f"\nheld-out {name.replace('_', ' ')}: {100 * explained:.0f} %"
    if active < train.latent_dim / 2:
        record.note += (
            f"\nmost of the code is dead: {active:.0f} of its {train.latent_dim} dimensions tell "
            f"tracks apart"
        )
    return _recorded(record, source, row, members, encoder, seeds=config.numbers)


def _recorded(
    record: Recorder,
    source: Source,
    row: RowConfig,
    members: tuple[FeatureSet, ...],
    encoder: str,
    *,
    seeds: tuple[int, ...] = (),
) -> Embedding:
    made = Embedding(
        row.method,
        row.title,
        row.stem,
        row.reads,
        (row.reads,),
        source.provenance,
        members,
        seeds,
        encoder,
    )
    record.tags(made.tags())
    return made


def _with_clusters(features: FeatureSet, config: TrainingConfig) -> TrainConfig:
    """The training, with the number of clusters that a CVAE is conditioned on."""
    from genre_vae import clustering

    train = config.train
    if train.model != "cvae" or train.condition_on != "clusters":
        return train
    found = clustering.resolve_n_clusters(config.n_clusters, features)
    return replace(train, n_clusters=found)


def _folder(record: Recorder, config: TrainingConfig, seed: int) -> Path:
    folder = member_folder(record.folder, config.numbers, config.numbers.index(seed))
    folder.mkdir(exist_ok=True)
    return folder


def train(
    run: Run,
    given: Given,
    inputs: Inputs,
    method: Method,
    config: TrainConfig | None,
    counted: Counted | None = None,
) -> Artifact[Embedding]:
    """The embedding that a method makes of its input.

    Parameters
    ----------
    method
        A baseline, or a method with a model.
    config
        The training of its model, from `Given.train`; None for a baseline.
    counted
        How many clusters a CVAE is conditioned on, where it is; None counts them.
    """
    source, reads = inputs.of(method, given.mel_view)
    row = row_config(method, reads)
    if config is None:
        n_components = COMPONENTS if given.latent_dim is None else given.latent_dim
        chosen = None if method.key == "raw" else n_components
        title = f"{method.key}({reads})"
        return run.do(baseline, source, config=BaselineConfig(row, chosen), title=title)
    weighted = f", beta {config.beta:g}" if config.model == "betavae" else ""
    plural = "s" * (given.seeds > 1)
    clusters = None
    if method.key == "cvae_clusters":
        clusters = (counted or count(run, given, inputs)).n_clusters
    return run.do(
        fit,
        source,
        config=TrainingConfig(row, config, clusters, given.seeds),
        title=f"{method.key}({reads}){weighted}, {given.seeds} seed{plural}",
    )
