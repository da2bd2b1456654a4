"""Writers of TensorFlow's checkpoint format, and of a wheel with a checkpoint like musicnn's."""

from __future__ import annotations

import hashlib
import io
import struct
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from genre_vae.records import FloatArray

Entries = Sequence[tuple[bytes, bytes]]
MAGIC = bytes.fromhex("57fb808b247547db")


def varint(value: int) -> bytes:
    content = bytearray()
    while value >= 0x80:
        content.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*content, value])


def field(number: int, value: int | bytes) -> bytes:
    """A field of a protocol buffer; a number that is 0 is not written."""
    if isinstance(value, bytes):
        return varint(number << 3 | 2) + varint(len(value)) + value
    return varint(number << 3) + varint(value) if value else b""


def bundle_entry(
    shape: Sequence[int], offset: int, size: int, *, dtype: int = 1, shard: int = 0
) -> bytes:
    dimensions = b"".join(field(2, field(1, length)) for length in shape)
    crc = varint(6 << 3 | 5) + b"\xff\xfe\xfd\xfc"
    return (
        field(1, dtype)
        + field(2, dimensions)
        + field(3, shard)
        + field(4, offset)
        + field(5, size)
        + crc
    )


def block(entries: Entries, *, restart_every: int) -> bytes:
    """Keys by what they do not share with the one before; at a restart they share nothing."""
    content, restarts, before = b"", [0], b""
    for number, (key, value) in enumerate(entries):
        shared = 0
        if number % restart_every == 0:
            restarts[number // restart_every :] = [len(content)]
        else:
            while key[:shared] == before[:shared] and shared <= min(len(key), len(before)):
                shared += 1
            shared -= 1
        content += varint(shared) + varint(len(key) - shared) + varint(len(value))
        content += key[shared:] + value
        before = key
    return content + struct.pack(f"<{len(restarts) + 1}I", *restarts, len(restarts))


def table(
    entries: Entries, *, per_block: int = 4, restart_every: int = 3, compression: int = 0
) -> bytes:
    content, places = b"", []

    def put(written: bytes) -> bytes:
        nonlocal content
        handle = varint(len(content)) + varint(len(written))
        content += written + bytes([compression]) + b"\xaa\xbb\xcc\xdd"
        return handle

    for start in range(0, len(entries), per_block):
        part = entries[start : start + per_block]
        places.append((part[-1][0], put(block(part, restart_every=restart_every))))
    meta = put(block([], restart_every=1))
    index = put(block(places, restart_every=1))
    return content + (meta + index).ljust(40, b"\0") + MAGIC


HEADER = (b"", field(1, 1) + field(3, field(1, 1)))


def encode(
    arrays: Mapping[str, npt.NDArray[np.float32]], *, per_block: int = 4, restart_every: int = 3
) -> tuple[bytes, bytes]:
    """The index and the data of a checkpoint."""
    entries, data = [HEADER], b""
    for name, array in sorted(arrays.items()):
        content = array.astype("<f4").tobytes()
        entries.append((name.encode(), bundle_entry(array.shape, len(data), len(content))))
        data += content
    return table(entries, per_block=per_block, restart_every=restart_every), data


def one(entry: bytes, *, compression: int = 0) -> bytes:
    """The index of a checkpoint that holds one array, "a"."""
    return table([HEADER, (b"a", entry)], compression=compression)


# musicnn's

LICENCE = "ISC License\n\nPermission to use, copy, modify, and/or distribute it\n"
REST = 1e-12  # the size of a kernel's values that weight decay has put to rest
KERNELS = (  # (height, width, filters), as TensorFlow numbers them
    *((7, 38, 204), (7, 67, 204), (128, 1, 51), (64, 1, 51), (32, 1, 51)),
    *((7, 561, 64), (7, 64, 64), (7, 64, 64)),
)
Arrays = dict[str, FloatArray]


def numbered(name: str, number: int) -> str:
    return f"{name}_{number}" if number else name


def random_arrays(seed: int = 0) -> Arrays:
    """A checkpoint of TensorFlow's like the true one, where it is random: many filters at rest,
    biases, scales of either sign, variances down to far below the epsilon of the normalisation."""
    rng = np.random.default_rng(seed)
    arrays: dict[str, npt.NDArray[np.float64]] = {"beta1_power": np.array(0.9)}

    def norm(number: int, channels: int) -> None:
        name = numbered("batch_normalization", number)
        arrays[f"{name}/gamma"] = rng.normal(size=channels)
        arrays[f"{name}/gamma/Adam"] = rng.normal(size=channels)
        arrays[f"{name}/beta"] = rng.normal(size=channels) / 2
        arrays[f"{name}/moving_mean"] = rng.normal(size=channels) / 2
        arrays[f"{name}/moving_variance"] = rng.uniform(0.01, 2, size=channels)

    norm(0, 1)
    for number, (height, width, filters) in enumerate(KERNELS):
        kernel = rng.normal(size=(height, width, 1, filters)) / np.sqrt(height * width)
        kernel[..., rng.random(filters) < 0.6] *= REST
        arrays[f"{numbered('conv2d', number)}/kernel"] = kernel
        arrays[f"{numbered('conv2d', number)}/bias"] = rng.normal(size=filters) / 2
        norm(number + 1, filters)
    norm(9, 1506)
    norm(10, 200)
    for number, (inputs, outputs) in enumerate([(1506, 200), (200, 50)]):
        name = numbered("dense", number)
        arrays[f"{name}/kernel"] = rng.normal(size=(inputs, outputs)) / np.sqrt(inputs)
        arrays[f"{name}/bias"] = rng.normal(size=outputs) / 2
    return {name: array.astype(np.float32) for name, array in arrays.items()}


def wheel_of(
    arrays: Arrays, path: Path, *, licence: str = LICENCE, code: str = "raise ImportError"
) -> str:
    """Write a wheel like musicnn's, and say its SHA-256."""
    content = io.BytesIO()
    index, data = encode(arrays, per_block=10, restart_every=16)
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("musicnn/__init__.py", code)
        archive.writestr("musicnn/MSD_musicnn/.index", index)
        archive.writestr("musicnn/MSD_musicnn/.data-00000-of-00001", data)
        archive.writestr("musicnn-0.1.0.dist-info/LICENSE.md", licence)
    path.write_bytes(content.getvalue())
    return hashlib.sha256(content.getvalue()).hexdigest()
