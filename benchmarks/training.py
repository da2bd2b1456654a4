"""What a clip costs by each input, and an epoch by each model and objective.

    python benchmarks/training.py <folder of audio> [clips]

CPU milliseconds of one thread, medians over rounds in which all take turns, so that a change in the
machine's speed meets all alike. Of musicnn the true weights are fetched, once.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from genre_vae import methods
from genre_vae.collection import audio, catalog
from genre_vae.features import musicnn
from genre_vae.features import spectral as features
from genre_vae.models import training
from genre_vae.models.config import CONVOLUTIONAL
from genre_vae.records import FeatureSet

ROUNDS = 5
EPOCHS = 6  # of each model in a round; the first warms up
CACHE = Path(__file__).resolve().parent.parent / ".cache"


def epochs(data: FeatureSet, model: str) -> list[float]:
    """CPU milliseconds of epochs with the model's own defaults."""
    config = methods.BY_KEY[model].train
    assert config is not None, f"{model} has no model"
    ends: list[float] = []
    training.fit(
        data,
        replace(config, epochs=EPOCHS),
        on_epoch=lambda epoch: ends.append(time.process_time()),
    )
    return [1e3 * spent for spent in np.diff(ends)]


def main() -> None:
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    torch.set_num_threads(1)
    paths = catalog.scan(Path(sys.argv[1])).tracks["path"].tolist()
    paths = paths[: int(sys.argv[2]) if len(sys.argv) == 3 else 100]
    filters = features.mel_filters()
    net = musicnn.load(musicnn.fetch(CACHE / f"musicnn-{musicnn.SHA256[:8]}.safetensors"))

    spent: dict[str, list[float]] = {"MFCC statistics and mel windows": [], "musicnn": []}
    found = []
    for path in paths:
        wave = audio.load(path).waveform
        started = time.process_time()
        found.append(features.extract(wave, filters))
        between = time.process_time()
        musicnn.extract(wave, net)
        spent["MFCC statistics and mel windows"].append(1e3 * (between - started))
        spent["musicnn"].append(1e3 * (time.process_time() - between))
    print("| input | CPU ms per clip |\n|---|---|")
    for name, each in spent.items():
        print(f"| {name} | {np.median(each):.1f} |")

    ids, unknown = np.array(paths, dtype=str), np.full(len(paths), "")
    vectors = np.random.default_rng(0).normal(size=(len(ids), musicnn.EMBEDDING))
    sets = {
        "mfcc": FeatureSet("mfcc", ids, np.stack([one.mfcc for one in found]), unknown),
        "musicnn": FeatureSet("musicnn", ids, vectors.astype(np.float32), unknown),
        "mel": FeatureSet("mel", ids, np.stack([one.mel for one in found]), unknown),
    }
    work = [(model, name) for name in ("mfcc", "musicnn") for model in ("autoencoder", "vae")]
    work += [(model, "mel") for model in CONVOLUTIONAL]
    of_epochs: dict[tuple[str, str], list[float]] = {one: [] for one in work}
    for _ in range(ROUNDS):
        for model, name in work:
            of_epochs[model, name] += epochs(sets[name], model)
    print(f"\n| model, input ({len(ids)} tracks) | CPU ms per epoch |\n|---|---|")
    for (model, name), each in of_epochs.items():
        print(f"| {model}, {name} | {np.median(each):.0f} |")


if __name__ == "__main__":
    main()
