"""What a trained model makes of tracks: codes, reconstructions, and inputs decoded from codes.

Axes: ``n`` tracks, ``w`` windows of a track, ``d`` input dimensions, ``k`` latent dimensions.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from genre_vae.models import conditioning, members
from genre_vae.models.checkpoint import TrainedModel
from genre_vae.records import FeatureSet, FloatArray, LabelUse

BLOCK = 64  # tracks that are encoded at a time
ACTIVE = 0.01  # variance over tracks above which a dimension of the code is active


def encode(trained: TrainedModel, features: FeatureSet) -> FeatureSet:
    """The mean of every track's code, as a FeatureSet named e.g. ``vae(mfcc)``.

    (n, d) -> (n, k), or (n, w, 1, mel, t) -> (n, k): of windows, the mean over all their means.
    Tracks need not be those of the training. The label use of a CVAE's codes is that of
    `conditioning.label_use`.
    """
    config = trained.config
    conditions = conditions_of(trained, features)
    codes = []
    for start in range(0, len(features), BLOCK):
        block = np.asarray(features.values[start : start + BLOCK])
        x = torch.from_numpy(trained.scaler.transform(block)).reshape(-1, *trained.shape)
        condition = None if conditions is None else conditions[start : start + BLOCK]
        with torch.no_grad():
            mean, _ = trained.model.encode(x.to(trained.device), condition)
        # (b * w, k) -> (b, w, k) -> (b, k)
        codes.append(mean.reshape(len(block), -1, mean.shape[1]).mean(dim=1).cpu().numpy())
    use = LabelUse.NONE
    if conditions is not None:
        use = conditioning.label_use(
            condition=config.condition,
            condition_on=config.condition_on,
            encode_as=config.encode_as,
        )
    return features.derive(f"{config.model}({features.name})", np.concatenate(codes), use)


def reconstruct(trained: TrainedModel, features: FeatureSet) -> FeatureSet:
    """The reconstruction of tracks from their codes, in the shape and units of their values.

    A window is decoded from its own code. ValueError for an encoder alone.
    """
    _, scaled = scaled_pair(trained, features)
    return features.derive(f"{features.name}, reconstructed", trained.scaler.inverse(scaled))


def variance_explained(trained: TrainedModel, features: FeatureSet) -> float:
    """The share of the held-out tracks' variance that a model reconstructs from their codes.

    One minus the squared error, as the model sees its input, over the squared distance from what
    needs no code: of mel windows the clip's own mean spectrum, so that only what changes within a
    clip counts; of vectors the mean of the training tracks. It is 1 for a perfect reconstruction,
    below 0 for one that is worse than that mean, and nan where the tracks do not vary.

    Parameters
    ----------
    trained
        A model with a decoder; ValueError for an encoder alone.
    features
        The tracks that it was trained on and those held out, found as the training found them.
    """
    config = trained.config
    training = members.training_rows(features, config)
    windowed = features.values.ndim > 2
    known = None if windowed else trained.scaler.transform(features.values[training]).mean(axis=0)
    ids = features.ids[~training]
    error = spread = 0.0
    for start in range(0, len(ids), BLOCK):
        x, back = scaled_pair(trained, features.select(ids[start : start + BLOCK]))
        centre = x.mean(axis=(1, -1), keepdims=True) if known is None else known
        error += float(np.square(x - back).sum(dtype=np.float64))
        spread += float(np.square(x - centre).sum(dtype=np.float64))
    return 1 - error / spread if spread > 0 else float("nan")


def scaled_pair(trained: TrainedModel, features: FeatureSet) -> tuple[FloatArray, FloatArray]:
    """Tracks as the model reads them, and their reconstructions, in the shape of their values.

    ValueError for an encoder alone.
    """
    values = np.asarray(features.values)
    x = torch.from_numpy(trained.scaler.transform(values)).reshape(-1, *trained.shape)
    with torch.no_grad():
        condition = conditions_of(trained, features)
        output = trained.model(x.to(trained.device), None, condition)
    if output.reconstruction is None:
        raise ValueError(f"{trained.config.model} has no decoder")
    back = output.reconstruction.cpu().numpy()
    return x.numpy().reshape(values.shape), back.reshape(values.shape)


def active_units(codes: npt.NDArray[np.floating]) -> int:
    """Dimensions of codes (n, k) that tell tracks apart: their mean varies over tracks by more than
    0.01 (Burda, Grosse & Salakhutdinov, 2016, arXiv:1509.00519). The others have collapsed onto the
    prior, and the decoder has learned to do without them."""
    return int((codes.var(axis=0, dtype=np.float64) > ACTIVE).sum())


def decode(trained: TrainedModel, codes: npt.NDArray[np.floating]) -> FloatArray:
    """The input that codes stand for, in its own units: (n, k) -> (n, d), or windows
    (n, 1, mel, t) in dB. For models without a condition; ValueError for a CVAE."""
    z = torch.from_numpy(np.asarray(codes, dtype=np.float32)).to(trained.device)
    with torch.no_grad():
        scaled = trained.model.decode(z)
    return trained.scaler.inverse(scaled.cpu().numpy())


def conditions_of(trained: TrainedModel, features: FeatureSet) -> Tensor | None:
    """The conditions with which a model encodes tracks: (n,), or None where it has none."""
    if trained.conditioner is None:
        return None
    values = trained.scaler.transform(features.values)
    numbers = torch.from_numpy(trained.conditioner.numbers(features.labels, values))
    if trained.config.encode_as == "unknown":
        numbers = torch.zeros_like(numbers)
    return numbers.to(trained.device)
