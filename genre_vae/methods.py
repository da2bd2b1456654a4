"""The methods that can be compared: one row each.

A row says what a method is called, what it reads, how its model is trained, what is special about
it, and why it cannot serve a new track where it cannot. To add a method, add a row here and its key
to the levels (`genre_vae.levels`) that should have it.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from genre_vae.models.config import TrainConfig


class Reads(enum.Enum):
    """The input of a method."""

    VECTORS = "vectors"  # a vector for each track: MFCC statistics, or what ``input`` names
    MEL = "mel"  # mel windows, whatever ``input`` names
    VECTORS_OR_MEL = "vectors or mel"  # vectors where ``input`` names some, else mel windows


@dataclass(frozen=True)
class Method:
    """A row of the table.

    Parameters
    ----------
    key
        Its name in options and in the store.
    title
        What tables and figures call it.
    reads
        Its input.
    train
        Its model with its own defaults; None for a baseline or a fusion.
    fusion
        How lyrics are fused, a name in `genre_vae.features.fusion`; "" where there are none.
    fused_with
        The key of the method whose embedding the lyrics join; "" for the input itself.
    with_genre
        Whether the genre itself is fused as well.
    owns
        Options whose number is for this method alone in a level that has it.
    needs_genres
        Whether it takes the genres of the collection.
    unservable
        Why a registered model cannot be made of it; "" where one can.
    medium
        The ``dataset`` of its rows in the Medium table: the seed's name.
    file
        The stem of its arrays' files; "" takes ``Z_`` and the model's name.
    """

    key: str
    title: str
    reads: Reads = Reads.VECTORS
    train: TrainConfig | None = None
    fusion: str = ""
    fused_with: str = ""
    with_genre: bool = False
    owns: tuple[str, ...] = ()
    needs_genres: bool = False
    unservable: str = ""
    medium: str = ""
    file: str = ""

    @property
    def stem(self) -> str:
        """The name, without suffix, of its arrays' files: the seed's names where it has them."""
        model = self.key if self.train is None else self.train.model
        return self.file or f"Z_{model.replace('conv_vae', 'conv')}"

    def title_for(self, reads: str) -> str:
        """Its title on an input, which is named unless it is the audio's own."""
        if reads in AUDIO:
            return self.title
        return f"{self.title.removesuffix(' spectral')} ({reads})"


AUDIO = ("mfcc", "mel", "mel, first window")  # inputs that need no name in a title

# Dense models are small, so they may train until nothing moves. With a contrastive term and a
# decoder an epoch of 100 tracks costs 0.4 s of a core, without a decoder and the widest of its
# layers 0.08 s, and after 60 epochs the clusters hardly change.
_CONVOLUTIONAL = TrainConfig(
    model="conv_vae", latent_dim=32, epochs=60, patience=20, batch_size=16, lr=2e-3
)
# The plain ConvVAE costs 0.08 s an epoch. The held-out bound on the likelihood chose its size and
# how it is trained (docs/decisions.md). As many tracks to an epoch as the demo has for training.
_CONV_VAE = replace(
    _CONVOLUTIONAL,
    latent_dim=128,
    widths=(32, 16),
    epochs=30,
    epoch_tracks=184,
    batch_size=8,
    lr=3e-3,
    annealed=True,
    calibrated=True,
)
_CVAE = TrainConfig(model="cvae")
_MORE_THAN_AUDIO = "it needs more than audio"

ALL: tuple[Method, ...] = (
    Method("pca", "PCA", medium="RawFeatures_PCA"),
    Method(
        "raw",
        "Direct spectral",
        reads=Reads.VECTORS_OR_MEL,
        file="Z_spectral",
    ),
    Method("autoencoder", "Autoencoder", train=TrainConfig(model="autoencoder")),
    Method("vae", "VAE", train=TrainConfig(model="vae"), medium="VAE_Latents"),
    Method("betavae", "BetaVAE", train=TrainConfig(model="betavae", beta=4.0), owns=("beta",)),
    Method("conv_vae", "ConvVAE", Reads.MEL, train=_CONV_VAE, medium="ConvVAE_Latents"),
    Method(
        "contrastive_vae",
        "ConvVAE, contrastive",
        Reads.MEL,
        train=replace(
            _CONVOLUTIONAL, model="contrastive_vae", patience=30, contrast=10_000.0, calibrated=True
        ),
        owns=("contrast",),
        medium="ContrastiveVAE_Latents",
    ),
    Method(
        "contrastive",
        "Contrastive encoder",
        Reads.MEL,
        train=replace(
            _CONVOLUTIONAL,
            model="contrastive",
            widths=(32, 64),  # an epoch costs less than half of that with 16, 32 and 64 channels
            patience=30,
            lr=1e-3,
            contrast=1.0,
        ),
        medium="ContrastiveEncoder_Latents",
    ),
    Method("cvae", "CVAE", train=_CVAE, needs_genres=True),
    Method(
        "cvae_unknown",
        "CVAE, genre unknown",
        train=replace(_CVAE, encode_as="unknown"),
        needs_genres=True,
    ),
    Method(
        "cvae_decoder",
        "CVAE, decoder alone",
        train=replace(_CVAE, condition="decoder"),
        needs_genres=True,
    ),
    Method("cvae_clusters", "CVAE on clusters", train=replace(_CVAE, condition_on="clusters")),
    Method(
        "vae_lyrics",
        "VAE+Lyrics",
        fusion="weighted",
        fused_with="vae",
        medium="VAE+Lyrics",
        unservable=_MORE_THAN_AUDIO,
    ),
    Method(
        "conv_vae_lyrics",
        "ConvVAE+Lyrics",
        fusion="weighted",
        fused_with="conv_vae",
        medium="ConvVAE+Lyrics",
        unservable=_MORE_THAN_AUDIO,
    ),
    Method(
        "multimodal_concatenate",
        "Multimodal, concatenated",
        fusion="concatenate",
        file="multimodal_features",
        unservable=_MORE_THAN_AUDIO,
    ),
    Method(
        "multimodal",
        "Multimodal",
        fusion="weighted",
        file="multimodal_features",
        unservable=_MORE_THAN_AUDIO,
    ),
    Method(
        "multimodal_late",
        "Multimodal, late",
        fusion="late",
        file="multimodal_features",
        unservable=_MORE_THAN_AUDIO,
    ),
    Method(
        "multimodal_genre",
        "Multimodal+Genre",
        fusion="weighted",
        with_genre=True,
        needs_genres=True,
        file="multimodal_features",
        unservable=_MORE_THAN_AUDIO,
    ),
)
BY_KEY = {method.key: method for method in ALL}
RENAMED = {"spectral": "raw"}  # names of older versions, still read
MODELS = (  # what the option ``model`` takes: a CVAE's rows differ in its other options
    *("pca", "raw", "autoencoder", "vae", "betavae", "cvae"),
    *("conv_vae", "contrastive_vae", "contrastive"),
)


def select(names: Iterable[str] | None, keys: Sequence[str]) -> list[Method]:
    """Methods by key, in the order of `ALL`; without names those of `keys`, in their order."""
    if names is None:
        return [BY_KEY[key] for key in keys]
    asked = set(names)
    return [method for method in ALL if method.key in asked]


def row_of(train: TrainConfig) -> Method:
    """The row that a training of a model amounts to: a CVAE's says what it is conditioned on and
    when, a ConvVAE's whether it has a contrastive term."""
    if train.model in ("conv_vae", "contrastive_vae"):
        return BY_KEY["contrastive_vae" if train.contrast > 0 else "conv_vae"]
    if train.model != "cvae":
        return BY_KEY[train.model]
    if train.condition_on == "clusters":
        return BY_KEY["cvae_clusters"]
    if train.condition == "decoder":
        return BY_KEY["cvae_decoder"]
    return BY_KEY["cvae_unknown" if train.encode_as == "unknown" else "cvae"]
