"""TensorFlow's checkpoint format, read as plain data: an index of names and offsets, and arrays.

The index is a table like LevelDB's (sorted blocks of keys that share prefixes); each of its values
is a small protocol buffer, ``BundleEntryProto`` in TensorFlow's ``tensor_bundle.proto``. Only
checkpoints of float32 arrays in one shard are read.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator

import numpy as np

from genre_vae.records import FloatArray

MAGIC = 0xDB4775248B80FB57  # the last eight bytes of every such table
FOOTER = 48  # bytes
FLOAT32 = 1  # TensorFlow's DT_FLOAT
UNCOMPRESSED = 0


def read(index: bytes, data: bytes) -> dict[str, FloatArray]:
    """The arrays of a checkpoint by name.

    Parameters
    ----------
    index, data
        Contents of the files ``.index`` and ``.data-00000-of-00001``.

    Returns
    -------
    dict of float32 arrays
        Copies, which can be written to.

    Raises
    ------
    ValueError
        If the index is not such a table, is cut off or compressed, or an array is not float32, lies
        in another shard, or not within `data`.
    """
    if len(index) < FOOTER or struct.unpack("<Q", index[-8:])[0] != MAGIC:
        raise ValueError("not the index of a TensorFlow checkpoint")
    _, place = _handle(index, len(index) - FOOTER)  # of the metaindex, which is empty
    (offset, size), _ = _handle(index, place)
    arrays = {}
    for _, where in _entries(_block(index, offset, size)):
        (offset, size), _ = _handle(where, 0)
        for name, entry in _entries(_block(index, offset, size)):
            if name:  # the empty name holds the header: how many shards, in which byte order
                arrays[name.decode()] = _array(name.decode(), entry, data)
    return arrays


def _array(name: str, entry: bytes, data: bytes) -> FloatArray:
    dtype, shard, offset, size = (_number(entry, field) for field in (1, 3, 4, 5))
    # the shape has a message for each dimension, whose first field is its size
    dimensions = [
        _number(dimension, 1) for shape in _messages(entry, 2) for dimension in _messages(shape, 2)
    ]
    if dtype != FLOAT32 or shard != 0:
        raise ValueError(f"{name}: type {dtype} in shard {shard}; float32 in the first is read")
    if size != 4 * math.prod(dimensions) or offset + size > len(data):
        raise ValueError(f"{name}: {size} bytes from {offset} do not hold an array {dimensions}")
    array = np.frombuffer(data, "<f4", size // 4, offset).reshape(dimensions)
    return array.astype(np.float32)


def _number(message: bytes, field: int) -> int:
    """The value of a numeric field of a protocol buffer. A missing field is 0: zeros are not
    written."""
    return next(
        (value for number, value in _fields(message) if number == field and isinstance(value, int)),
        0,
    )


def _messages(message: bytes, field: int) -> list[bytes]:
    """The values of a repeated field of a protocol buffer that holds messages."""
    return [
        value for number, value in _fields(message) if number == field and isinstance(value, bytes)
    ]


def _block(table: bytes, offset: int, size: int) -> bytes:
    block = _part(table, offset, size + 1)
    if block[-1] != UNCOMPRESSED:
        raise ValueError("a compressed block, which is not read")
    return block[:-1]


def _entries(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a block; a key is stored as the length of the prefix that it shares with
    the one before it, and the rest."""
    (restarts,) = struct.unpack("<I", _part(block, len(block) - 4, 4))
    block = _part(block, 0, len(block) - 4 * (restarts + 1))
    place, key = 0, b""
    while place < len(block):
        shared, place = _varint(block, place)
        own, place = _varint(block, place)
        length, place = _varint(block, place)
        key = _part(key, 0, shared) + _part(block, place, own)
        yield key, _part(block, place + own, length)
        place += own + length


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a protocol buffer: number and value."""
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        number, kind = tag >> 3, tag & 7
        if kind == 0:
            value, place = _varint(message, place)
            yield number, value
        elif kind == 2:
            size, place = _varint(message, place)
            yield number, _part(message, place, size)
            place += size
        elif kind == 5:  # 32 bits: the checksum
            place += len(_part(message, place, 4))
        else:
            raise ValueError(f"field {number} is of wire type {kind}, which is not read")


def _handle(table: bytes, place: int) -> tuple[tuple[int, int], int]:
    """The offset and the size of a block, and the place after them."""
    offset, place = _varint(table, place)
    size, place = _varint(table, place)
    return (offset, size), place


def _varint(message: bytes, place: int) -> tuple[int, int]:
    """A varint (groups of seven bits, the lowest first), and the place after it."""
    value = shift = 0
    while True:
        (byte,) = _part(message, place, 1)
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return value, place


def _part(content: bytes, place: int, size: int) -> bytes:
    """`size` bytes from `place`; ValueError where there are fewer (a slice would be shorter)."""
    if place < 0 or size < 0 or place + size > len(content):
        raise ValueError(f"cut off: {size} bytes from {place} are not among {len(content)}")
    return content[place : place + size]
