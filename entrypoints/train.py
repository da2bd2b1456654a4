"""Features -> an embedding: a baseline, or a model trained once per seed."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from entrypoints.embed import Inputs, inputs
from entrypoints.options import CONDITION, CONV, DATA, INPUT, SEEDS, TRAINING, Options, entry_point
from genre_vae.models.conditioning import label_use
from genre_vae.records import FeatureSet, InputError, LabelUse, known_genres

if TYPE_CHECKING:
    from genre_vae.models import training
    from genre_vae.tracking import Recorder, StageRun, Tracker

LOG_EVERY = 5  # epochs between two points of a curve in the tracking store; history.csv has all


CONVOLUTIONAL = ("conv_vae", "contrastive_vae", "contrastive")  # see mel windows, whatever is given
CONTRASTIVE = CONVOLUTIONAL[1:]


def train(tracker: Tracker, options: Options, given: Inputs, model: str) -> StageRun:
    """The embedding that `model` makes of its input, as a stage.

    The input is the vectors given (MFCC statistics, if nothing else), but the mel windows for
    models with convolutions, and for the direct baseline where no vectors are given. Its folder
    holds ``Z_<model>.npy`` and ``<model>_best.pth`` of the first seed at the top, and those of
    every further seed in ``seed_<number>``. Its tag ``model`` is `row_of` the table, ``reads`` its
    input, and ``output`` the name of the file that it makes.
    """
    source, name = _input_of(given, options, model)
    if model in ("pca", "spectral"):
        return _baseline(tracker, options, source, name, model)

    config: dict[str, Any] = {"model": model, **options.of(model)}
    if model in ("autoencoder", "contrastive"):  # which have no KL to weigh
        del config["beta"]
    if config.get("contrast"):
        config["temperature"] = options.temperature
    n_clusters = None
    if model == "cvae":
        config |= {name: getattr(options, name) for name in (*CONDITION, "condition_dim")}
        n_clusters = options.n_clusters if options.condition_on == "clusters" else None
    if model in CONVOLUTIONAL:
        config["widths"] = tuple(map(int, options.widths.split(",")))
    logged = config | {"input": name, "seed": options.seed, "seeds": options.seeds}
    if n_clusters is not None:
        logged["n_clusters"] = n_clusters
    use = LabelUse[source.tags["label_use"].upper()]
    if model == "cvae":
        use = max(use, label_use(**{name: config[name] for name in CONDITION}))
    row = row_of(model, options)
    weighed = f", beta {config['beta']:g}" if model == "betavae" else ""

    def compute(record: Recorder) -> None:
        import numpy as np
        import pandas as pd
        import torch

        from genre_vae.models import training
        from genre_vae.report import figures

        data = read(source, name)
        base = training.TrainConfig(**config, device=options.torch_device)
        if n_clusters is not None:
            base = replace(base, n_clusters=how_many(n_clusters, scaled(data), options.seed))
        seeds = list(range(options.seed, options.seed + options.seeds))
        torch.set_num_threads(1)  # small models gain nothing from more, and one is bit-identical
        # Dense members train together. Those with convolutions would not gain by it; they leave the
        # interpreter for most of their time, so threads will do.
        together = [seeds] if len(data.values.shape) == 2 else [[seed] for seed in seeds]
        turns = training.Turns(options.n_workers if base.device == "cpu" else 1)
        stop = threading.Event()

        def fit(some: Sequence[int]) -> list[training.Fitted]:
            def on_epoch(seed: int, epoch: training.Epoch) -> None:
                if epoch.epoch % LOG_EVERY == 0:
                    losses = {"train_loss": epoch.train_loss, "val_loss": epoch.val_loss}
                    named = {f"{name}/seed_{seed}": value for name, value in losses.items()}
                    record.metrics(named, step=epoch.epoch)
                if stop.is_set():
                    raise InterruptedError
                turns.pass_on(epoch.epoch)

            checkpoint = member_folder(record.folder, some[0], options.seed) / f"{model}_last.pth"
            if checkpoint.exists():
                print(f"{'':<10} seed {some[0]} goes on from its last checkpoint", flush=True)
            with turns:
                return training.fit_members(
                    data, base, seeds=some, on_epoch=on_epoch, checkpoint=checkpoint
                )

        with ThreadPoolExecutor(len(together)) as pool:
            try:
                fits = [fitted for some in pool.map(fit, together) for fitted in some]
            except BaseException:
                stop.set()  # Ctrl-C and SIGTERM reach this thread only
                pool.shutdown(cancel_futures=True)
                raise
        for fitted in fits:
            folder = member_folder(record.folder, fitted.config.seed, options.seed)
            training.save(fitted, folder / f"{model}_best.pth")
            training.encode(fitted, data).save(folder, latents(model))
        histories = {fitted.config.seed: fitted.history for fitted in fits}
        rows = [(seed, *epoch) for seed, history in histories.items() for epoch in history]
        columns = ["seed", *training.Epoch._fields]
        pd.DataFrame(rows, columns=columns).to_csv(record.folder / "history.csv", index=False)
        means = {
            name: float(np.mean([getattr(training.best(h), name) for h in histories.values()]))
            for name in training.Epoch._fields
            if name != "train_loss"
        }
        record.metrics({f"best/{name}": value for name, value in means.items()})
        record.figure(
            f"{model}_loss.png", figures.loss_curves(histories, title=f"{model} on {data.name}")
        )
        record.note = (
            f"best epoch {means['epoch']:.0f}, validation loss {means['val_loss']:.2f} "
            f"(mean over seeds: {options.seeds})"
        )

    return tracker.stage(
        "train",
        title=f"{row}({name}){weighed}, {options.seeds} seed{'s' * (options.seeds > 1)}",
        dataset=source.dataset,
        config=logged | {"device": options.device},
        inputs=[source],
        tags=_tags(source, name, row, model, use),
        compute=compute,
    )


def _tags(source: StageRun, name: str, row: str, model: str, use: LabelUse) -> dict[str, object]:
    return {
        "model": row,
        "reads": name,
        "provenance": source.tags["provenance"],
        "output": latents(model),
        "label_use": use,
    }


def _baseline(
    tracker: Tracker, options: Options, source: StageRun, name: str, model: str
) -> StageRun:
    config: dict[str, Any] = {"model": model, "input": name, "seeds": 1}
    if model == "pca":
        config["latent_dim"] = options.of("pca")["latent_dim"]

    def compute(record: Recorder) -> None:
        from genre_vae.features import pca as baselines

        data = read(source, name)
        if model == "pca":
            fitted = baselines.fit_pca(data, n_components=config["latent_dim"])
            fitted.save(record.folder / "pca.npz")
            embedding = fitted.apply(data)
        else:
            embedding = baselines.classical_mds(data)
        embedding.save(record.folder, latents(model))
        record.metrics({"components": embedding.values.shape[1]})

    return tracker.stage(
        "train",
        title=f"{model}({name})",
        dataset=source.dataset,
        config=config,
        inputs=[source],
        tags=_tags(source, name, model, model, LabelUse[source.tags["label_use"].upper()]),
        compute=compute,
    )


def member_folder(top: Path, seed: int, first: int) -> Path:
    """Where a member's files go: the first seed's to the top."""
    folder = top if seed == first else top / f"seed_{seed}"
    folder.mkdir(exist_ok=True)
    return folder


def row_of(model: str, options: Options) -> str:
    """The name of a model's row in the tables: a CVAE's says what it is told and when, a ConvVAE's
    whether it has a contrastive term."""
    if model in ("conv_vae", "contrastive_vae"):
        return "contrastive_vae" if options.of(model)["contrast"] > 0 else "conv_vae"
    if model != "cvae":
        return model
    if options.condition_on == "clusters":
        return "cvae_clusters"
    if options.condition == "decoder":
        return "cvae_decoder"
    return "cvae_unknown" if options.encode_as == "unknown" else "cvae"


def how_many(n_clusters: str, features: FeatureSet, seed: int) -> int:
    """The number of clusters that ``--n_clusters`` means: one for each genre, or where those are
    not known, as many as `clustering.choose_n_clusters` finds."""
    if n_clusters != "auto":
        return int(n_clusters)
    if features.has_labels:
        genres = len(known_genres(features.labels))
        if genres >= len(features):
            raise InputError(
                f"{features.name}: {len(features)} tracks in {genres} genres cannot be clustered "
                "by genre: give n_clusters, or more tracks"
            )
        return genres
    from genre_vae.clustering import choose_n_clusters

    return choose_n_clusters(features.values, seed=seed)


def scaled(features: FeatureSet) -> FeatureSet:
    """Standardised values, whose distances can be compared."""
    from genre_vae.scaling import Scaler

    return features.derive(features.name, Scaler.standardise(features.values))


def check_count(options: Options, given: Inputs) -> None:
    """Refuse at the door what cannot be clustered, not after everything was trained."""
    vectors = given.load()
    if options.n_clusters != "auto" or vectors.has_labels:
        count = how_many(options.n_clusters, vectors, options.seed)
        if count >= len(vectors):
            raise InputError(
                f"n_clusters={count} with {len(vectors)} tracks: at most {len(vectors) - 1}"
            )


def _input_of(given: Inputs, options: Options, model: str) -> tuple[StageRun, str]:
    """The stage whose output a model sees, and what that is called."""
    if model not in CONVOLUTIONAL and (model != "spectral" or given.vectors is not given.audio):
        return given.vectors, given.vectors.tags["reads"]
    return given.audio, "mel" if options.mel_view == "windows" else "mel, first window"


def read(source: StageRun, name: str) -> FeatureSet:
    """What a stage of features or vectors made, by its name; mel windows stay on disk."""
    if name not in ("mel", "mel, first window"):
        return FeatureSet.load(source.folder, source.tags["output"])
    mel = FeatureSet.load(source.folder, "mel", mmap=True)
    return mel if name == "mel" else mel.derive(name, mel.values[:, :1])


def latents(model: str) -> str:
    """The file name, without suffix, of a model's latents: the seed's names where it has them."""
    return f"Z_{model.replace('conv_vae', 'conv')}"


def members(embedding: StageRun) -> list[FeatureSet]:
    """The embeddings that a stage made, one per seed (one where no seed plays a part)."""
    folders = sorted(embedding.folder.glob("seed_*"), key=lambda path: int(path.name[5:]))
    stem = embedding.tags["output"]
    return [FeatureSet.load(folder, stem) for folder in [embedding.folder, *folders]]


def own_seeds(embedding: StageRun, options: Options) -> Options:
    """The options with the seeds of an embedding's members, where it has several."""
    further = sorted(int(path.name[5:]) for path in embedding.folder.glob("seed_*"))
    if not further:
        return options
    return replace(options, seed=further[0] - 1, seeds=1 + len(further))


@entry_point(
    *(*DATA, *INPUT, "model", "n_clusters", *TRAINING),
    *(*CONDITION, "condition_dim", *CONV, *SEEDS),
)
def main(tracker: Tracker, options: Options) -> None:
    """Train a model on a collection's features and embed the collection with it.

    Features that are not there yet are extracted first. A killed training goes on where it
    stopped when the same command is given again.
    """
    train(tracker, options, inputs(tracker, options), options.model)


if __name__ == "__main__":
    main()
