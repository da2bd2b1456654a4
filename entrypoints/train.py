"""Features -> an embedding: PCA, or a model trained once per seed."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from entrypoints.features import features
from entrypoints.options import CONV, SEEDS, TRAINING, Options, entry_point
from genre_vae.records import FeatureSet

if TYPE_CHECKING:
    from genre_vae import training
    from genre_vae.tracking import Recorder, StageRun, Tracker


def train(tracker: Tracker, options: Options, source: StageRun, model: str) -> StageRun:
    """The embedding that `model` makes of its input, as a stage.

    The input is the MFCC statistics, and the mel windows for the ConvVAE. Its folder holds
    ``Z_<model>.npy`` and ``<model>_best.pth`` of the first seed at the top, and those of every
    further seed in ``seed_<number>``.
    """
    if model == "pca":
        return _pca(tracker, options, source)

    config: dict[str, Any] = {"model": model, **options.of(model)}
    if model != "autoencoder":  # which has no KL to weigh
        config["beta"] = options.beta
    name = "mfcc"
    if model == "conv_vae":
        config["widths"] = tuple(map(int, options.widths.split(",")))
        name = "mel" if options.mel_view == "windows" else "mel, first window"
    logged = config | {"input": name, "seed": options.seed, "seeds": options.seeds}

    def compute(record: Recorder) -> None:
        import numpy as np
        import pandas as pd
        import torch

        from genre_vae import figures, training

        data = _input(source, name)
        base = training.TrainConfig(**config, device=options.torch_device)
        seeds = range(options.seed, options.seed + options.seeds)
        # One thread a member: small models gain nothing from more, and it is bit-identical. The
        # ConvVAE leaves the interpreter for most of its time, so its members run side by side.
        torch.set_num_threads(1)
        workers = options.n_workers if model == "conv_vae" and base.device == "cpu" else 1
        stop = threading.Event()

        def member(seed: int) -> training.Fitted:
            folder = record.folder if seed == options.seed else record.folder / f"seed_{seed}"
            folder.mkdir(exist_ok=True)

            def on_epoch(epoch: training.Epoch) -> None:
                losses = epoch._asdict()
                step = losses.pop("epoch")
                record.metrics({f"{k}/seed_{seed}": v for k, v in losses.items()}, step=step)
                if stop.is_set():
                    raise InterruptedError

            checkpoint = folder / f"{model}_last.pth"
            own = replace(base, seed=seed)
            if checkpoint.exists():
                print(f"{'':<10} seed {seed} goes on from its last checkpoint", flush=True)
            fitted = training.fit(data, own, on_epoch=on_epoch, checkpoint=checkpoint)
            training.save(fitted, folder / f"{model}_best.pth")
            training.encode(fitted, data).save(folder, latents(model))
            return fitted

        with ThreadPoolExecutor(workers) as pool:
            try:
                fits = dict(zip(seeds, pool.map(member, seeds), strict=True))
            except BaseException:
                stop.set()  # Ctrl-C and SIGTERM reach this thread only
                pool.shutdown(cancel_futures=True)
                raise

        histories = {seed: fitted.history for seed, fitted in fits.items()}
        rows = [(seed, *epoch) for seed, history in histories.items() for epoch in history]
        columns = ["seed", *training.Epoch._fields]
        pd.DataFrame(rows, columns=columns).to_csv(record.folder / "history.csv", index=False)
        means = {
            name: float(np.mean([getattr(fitted.best, name) for fitted in fits.values()]))
            for name in ("epoch", "val_loss", "val_reconstruction", "val_kl")
        }
        record.metrics({f"best/{name}": value for name, value in means.items()})
        record.figure(
            f"{model}_loss.png", figures.loss_curves(histories, title=f"{model} on {data.name}")
        )
        record.note = (
            f"best epoch {means['epoch']:.0f}, validation loss {means['val_loss']:.2f} "
            f"(means over {options.seeds} seeds)"
        )

    return tracker.stage(
        "train",
        title=f"{model}({name}), {options.seeds} seed{'s' * (options.seeds > 1)}",
        dataset=source.dataset,
        config=logged | {"device": options.device},
        inputs=[source],
        tags={"model": model, "label_use": "none"},
        compute=compute,
    )


def _pca(tracker: Tracker, options: Options, source: StageRun) -> StageRun:
    latent_dim = options.of("pca")["latent_dim"]

    def compute(record: Recorder) -> None:
        from genre_vae.baselines import pca

        embedding = pca(FeatureSet.load(source.folder, "mfcc"), n_components=latent_dim)
        embedding.save(record.folder, latents("pca"))
        record.metrics({"components": embedding.values.shape[1]})

    return tracker.stage(
        "train",
        title="pca(mfcc)",
        dataset=source.dataset,
        config={"model": "pca", "latent_dim": latent_dim, "seeds": 1},
        inputs=[source],
        tags={"model": "pca", "label_use": "none"},
        compute=compute,
    )


def _input(source: StageRun, name: str) -> FeatureSet:
    """A feature set of the features stage; the mel windows stay on disk."""
    if name == "mfcc":
        return FeatureSet.load(source.folder, "mfcc")
    mel = FeatureSet.load(source.folder, "mel", mmap=True)
    return mel if name == "mel" else mel.derive(name, mel.values[:, :1])


def latents(model: str) -> str:
    """The file name, without suffix, of a model's latents: the seed's names."""
    return f"Z_{model.replace('conv_vae', 'conv')}"


def members(embedding: StageRun, model: str) -> list[FeatureSet]:
    """The embeddings that a stage made, one per seed (one altogether for PCA)."""
    folders = sorted(embedding.folder.glob("seed_*"), key=lambda path: int(path.name[5:]))
    return [FeatureSet.load(folder, latents(model)) for folder in [embedding.folder, *folders]]


@entry_point("data", "model", *TRAINING, *CONV, *SEEDS)
def main(tracker: Tracker, options: Options) -> None:
    """Train a model on a collection's features and embed the collection with it.

    Features that are not there yet are extracted first. A killed training goes on where it
    stopped when the same command is given again.
    """
    train(tracker, options, features(tracker, options), options.model)


if __name__ == "__main__":
    main()
