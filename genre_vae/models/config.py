"""What a training is: a frozen config. It imports nothing heavy: the command line makes it."""

from __future__ import annotations

from dataclasses import dataclass

CONTRASTIVE = ("contrastive_vae", "contrastive")  # models with a contrastive term
CONVOLUTIONAL = ("conv_vae", *CONTRASTIVE)  # models that read mel windows
WITHOUT_DECODER = ("contrastive",)  # models that reconstruct nothing
MODELS = ("autoencoder", "vae", "betavae", "cvae", *CONVOLUTIONAL)


@dataclass(frozen=True)
class TrainConfig:
    """A model and how it is trained.

    Parameters
    ----------
    model
        A name among `MODELS`. A BetaVAE is the VAE with another `beta`, ``contrastive_vae`` the
        ConvVAE with a contrastive term, and ``contrastive`` an encoder that has nothing else.
    latent_dim
        Dimensions of the code.
    widths
        Channels after each convolution of a convolutional model; there are two or three.
    condition
        What is conditioned in a CVAE: ``encoder+decoder``, or the ``decoder`` alone.
    condition_on
        What a CVAE is conditioned on: the ``genre``, or the k-means ``clusters`` of its input.
    encode_as
        How a CVAE encodes: with the ``genre``, or as if it were ``unknown``. An unknown genre is
        then also a part of its training.
    condition_dim
        Dimensions of the embedding of a CVAE's condition.
    n_clusters
        Number of clusters that a CVAE is conditioned on, where it is.
    beta
        Weight of the KL term.
    calibrated
        Whether the decoder's variance is at its optimum, the mean squared error (sigma-VAE), or
        1/2. Early stopping then follows the held-out bound on the likelihood, with a sample of
        the code; else that of the code's mean.
    contrast
        Weight of the contrastive term of a model that reads mel windows. At 0 there is none; else
        two windows of each track are drawn in every epoch.
    temperature
        Temperature of the contrastive term.
    epochs
        The most epochs. One is a pass over the training tracks, or a part of a pass.
    epoch_tracks
        The most tracks of an epoch: of more training tracks it is a part of a pass, so that the
        number of steps does not grow with the collection.
    patience
        Epochs without a lower validation loss after which training stops.
    batch_size
        Tracks in a training step.
    lr
        Learning rate of Adam.
    annealed
        Whether the learning rate rises over the first tenth of the epochs and then falls to 0, by
        half a cosine; else it stays the same.
    val_fraction
        Share of the tracks held out for early stopping, which is of so many at the most as
        `genre_vae.models.members.split` says.
    seed
        Seed for the split, the initial weights, the order of batches and the noise.
    device
        A torch device; None takes the fastest that torch finds.
    """

    model: str = "vae"
    latent_dim: int = 16
    widths: tuple[int, ...] = (16, 32, 64)  # half as many as usual, at a third of the cost
    condition: str = "encoder+decoder"
    condition_on: str = "genre"
    encode_as: str = "genre"
    condition_dim: int = 8
    n_clusters: int = 10
    beta: float = 1.0
    calibrated: bool = False
    contrast: float = 0.0
    temperature: float = 0.2
    epochs: int = 500
    epoch_tracks: int = 96  # a pass over a collection of 100, and three batches of 32
    patience: int = 50  # with 20 the validation loss of dense models was still falling
    batch_size: int = 32
    lr: float = 1e-3
    annealed: bool = False
    val_fraction: float = 0.1
    seed: int = 0
    device: str | None = None
