"""Features -> an embedding: PCA, or a model trained once per seed."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from entrypoints.features import features
from entrypoints.options import Options, entry_point
from genre_vae.records import FeatureSet

if TYPE_CHECKING:
    from genre_vae.tracking import Recorder, StageRun, Tracker


def train(tracker: Tracker, options: Options, source: StageRun, model: str) -> StageRun:
    """The embedding that `model` makes of the MFCC statistics, as a stage.

    Its folder holds ``Z_<model>.npy`` and ``<model>_best.pth`` of the first seed at the top, and
    those of every further seed in ``seed_<number>``.
    """
    if model == "pca":
        return _pca(tracker, options, source)

    config: dict[str, Any] = {
        "model": model,
        **{name: getattr(options, name) for name in ("latent_dim", "beta", "epochs", "patience")},
        **{name: getattr(options, name) for name in ("batch_size", "lr", "seed", "device")},
    }

    def compute(record: Recorder) -> None:
        import numpy as np
        import pandas as pd
        import torch

        from genre_vae import figures, training

        torch.set_num_threads(1)  # faster for models this small, and bit-identical on a machine
        mfcc = FeatureSet.load(source.folder, "mfcc")
        base = training.TrainConfig(**config | {"device": options.torch_device})
        histories = {}
        for member in range(options.seeds):
            seed = options.seed + member
            folder = record.folder if member == 0 else record.folder / f"seed_{seed}"
            folder.mkdir(exist_ok=True)

            def on_epoch(epoch: training.Epoch, seed: int = seed) -> None:
                losses = epoch._asdict()
                step = losses.pop("epoch")
                record.metrics({f"{k}/seed_{seed}": v for k, v in losses.items()}, step=step)

            fitted = training.fit(
                mfcc,
                dataclasses.replace(base, seed=seed),
                on_epoch=on_epoch,
                checkpoint=folder / f"{model}_last.pth",
            )
            training.save(fitted, folder / f"{model}_best.pth")
            training.encode(fitted, mfcc).save(folder, f"Z_{model}")
            histories[seed] = fitted.history

        rows = [(seed, *epoch) for seed, history in histories.items() for epoch in history]
        columns = ["seed", *training.Epoch._fields]
        pd.DataFrame(rows, columns=columns).to_csv(record.folder / "history.csv", index=False)
        bests = [min(history, key=lambda e: e.val_loss) for history in histories.values()]
        means = {
            name: float(np.mean([getattr(best, name) for best in bests]))
            for name in ("epoch", "val_loss", "val_reconstruction", "val_kl")
        }
        record.metrics({f"best/{name}": value for name, value in means.items()})
        record.figure(
            f"{model}_loss.png", figures.loss_curves(histories, title=f"{model} on {mfcc.name}")
        )
        record.note = (
            f"best epoch {means['epoch']:.0f}, validation loss {means['val_loss']:.2f} "
            f"(means over {options.seeds} seeds)"
        )

    return tracker.stage(
        "train",
        title=f"{model}(mfcc), {options.seeds} seed{'s' * (options.seeds > 1)}",
        dataset=source.dataset,
        config=config | {"seeds": options.seeds},
        inputs=[source],
        tags={"model": model, "label_use": "none"},
        compute=compute,
    )


def _pca(tracker: Tracker, options: Options, source: StageRun) -> StageRun:
    def compute(record: Recorder) -> None:
        from genre_vae.baselines import pca

        embedding = pca(FeatureSet.load(source.folder, "mfcc"), n_components=options.latent_dim)
        embedding.save(record.folder, "Z_pca")
        record.metrics({"components": embedding.values.shape[1]})

    return tracker.stage(
        "train",
        title="pca(mfcc)",
        dataset=source.dataset,
        config={"model": "pca", "latent_dim": options.latent_dim, "seeds": 1},
        inputs=[source],
        tags={"model": "pca", "label_use": "none"},
        compute=compute,
    )


def members(embedding: StageRun, model: str) -> list[FeatureSet]:
    """The embeddings that a `train` stage made, one per seed (one altogether for PCA)."""
    folders = sorted(embedding.folder.glob("seed_*"), key=lambda path: int(path.name[5:]))
    return [FeatureSet.load(folder, f"Z_{model}") for folder in [embedding.folder, *folders]]


@entry_point(
    *("data", "model", "latent_dim", "beta", "epochs", "patience", "batch_size", "lr"),
    *("seeds", "seed", "device", "workers"),
)
def main(tracker: Tracker, options: Options) -> None:
    """Train a model on a collection's features and embed the collection with it.

    Features that are not there yet are extracted first. A killed training goes on where it
    stopped when the same command is given again.
    """
    train(tracker, options, features(tracker, options), options.model)


if __name__ == "__main__":
    main()
