"""The reader of TensorFlow's checkpoints against a small writer of the format."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from genre_vae.features import tensorbundle
from tests.features.checkpoints import HEADER, MAGIC, bundle_entry, encode, one, table, varint


def some_arrays() -> dict[str, npt.NDArray[np.float32]]:
    rng = np.random.default_rng(0)
    shapes: dict[str, tuple[int, ...]] = {
        "beta1_power": (),
        "conv2d/bias": (204,),
        "conv2d/bias/Adam": (204,),
        "conv2d/kernel": (7, 38, 1, 20),
        "conv2d_1/kernel": (3, 1, 1, 2),
        "conv2d_10/kernel": (1, 2, 3, 4),
        "dense": (0, 3),
        "dense/kernel": (300, 5),
        "ä": (1,),
    }
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


# The laws


@pytest.mark.parametrize("per_block", [1, 2, 4, 100])
@pytest.mark.parametrize("restart_every", [1, 3, 16])
def test_what_is_written_is_read(per_block: int, restart_every: int) -> None:
    arrays = some_arrays()
    found = tensorbundle.read(*encode(arrays, per_block=per_block, restart_every=restart_every))
    assert list(found) == sorted(arrays)
    for name, array in arrays.items():
        assert found[name].dtype == np.float32
        assert found[name].shape == array.shape
        np.testing.assert_array_equal(found[name], array)


def test_the_writer_shares_prefixes_and_restarts() -> None:
    """The test above would say nothing of them if it wrote none."""
    index, _ = encode(some_arrays(), per_block=100, restart_every=100)
    assert index.count(b"conv2d") == 1
    assert encode(some_arrays(), per_block=100, restart_every=2)[0].count(b"conv2d") > 1
    assert len(encode(some_arrays(), per_block=1)[0]) > len(index)


def test_a_checkpoint_may_be_empty() -> None:
    assert tensorbundle.read(table([HEADER]), b"") == {}


def test_the_arrays_are_ones_own() -> None:
    """Not views of the file's bytes, which cannot be written to."""
    found = tensorbundle.read(*encode({"a": np.ones(3, dtype=np.float32)}))
    found["a"] += 1
    assert (found["a"] == 2).all()


GOOD = bundle_entry([2, 3], 0, 24)


@pytest.mark.parametrize(
    ("index", "said"),
    [
        pytest.param(b"", "not the index", id="empty"),
        pytest.param(MAGIC, "not the index", id="truncated footer"),
        pytest.param(one(GOOD)[-47:], "not the index", id="footer less a byte"),
        pytest.param(one(GOOD)[:-1] + b"\0", "not the index", id="bad magic"),
        pytest.param(one(GOOD)[:-1], "not the index", id="truncated"),
        pytest.param(one(GOOD, compression=1), "compressed", id="compressed"),
        pytest.param(one(bundle_entry([2, 3], 0, 24, dtype=2)), "a: type 2", id="float64"),
        pytest.param(one(bundle_entry([2, 3], 0, 24, shard=1)), "a: .*shard 1", id="shard"),
        pytest.param(one(bundle_entry([2, 2], 0, 24)), "a: 24 bytes", id="shape too small"),
        pytest.param(one(bundle_entry([7], 0, 24)), "a: 24 bytes", id="shape too large"),
        pytest.param(one(bundle_entry([], 0, 24)), "a: 24 bytes", id="no shape"),
        pytest.param(one(bundle_entry([2, 3], 1, 24)), "a: 24 bytes from 1", id="beyond the data"),
        pytest.param(one(bundle_entry([2, 3], 1 << 62, 24)), "a: 24 bytes", id="far beyond"),
        pytest.param(one(bundle_entry([2, 1 << 63], 0, 24)), "a: 24 bytes", id="negative size"),
        pytest.param(one(GOOD + b"\x20\xff"), "cut off", id="within a number"),
        pytest.param(one(GOOD + b"\x20" + b"\xff" * 11 + b"\1"), "a: 24 bytes", id="long number"),
        pytest.param(one(GOOD + b"\x2a\x05ab"), "cut off", id="within a string"),
        pytest.param(one(GOOD[:-1]), "cut off", id="within the checksum"),
        pytest.param(one(GOOD + b"\x41" + b"\0" * 8), "wire type 1", id="wire type"),
        pytest.param(one(b""), "a: type 0", id="nothing said"),
    ],
)
def test_what_is_malformed_is_refused(index: bytes, said: str) -> None:
    assert tensorbundle.read(one(GOOD), bytes(24))["a"].shape == (2, 3)
    with pytest.raises(ValueError, match=said):
        tensorbundle.read(index, bytes(24))


def pointing(offset: int, size: int, before: bytes) -> bytes:
    """A table whose footer says that its index lies at `offset`."""
    return before + (b"\0\0" + varint(offset) + varint(size)).ljust(40, b"\0") + MAGIC


@pytest.mark.parametrize(
    "index",
    [
        pytest.param(pointing(0, 1000, b"\0" * 9), id="block beyond the end"),
        pytest.param(pointing(1 << 40, 8, b"\0" * 9), id="block far beyond the end"),
        pytest.param(pointing(0, 3, b"\0" * 9), id="block without restarts"),
        pytest.param(pointing(0, 4, b"\xff\0\0\0" + b"\0" * 5), id="more restarts than bytes"),
        pytest.param(pointing(0, 9, b"\0\x05\0a" + b"\0\0\0\0\0" + b"\0" * 5), id="cut key"),
        pytest.param(pointing(0, 9, b"\x05\0\0\0\0" + b"\0" * 9), id="shares with no key"),
        pytest.param(b"\xff" * 40 + MAGIC, id="footer of an endless number"),
    ],
)
def test_a_table_whose_places_lead_nowhere_is_refused(index: bytes) -> None:
    with pytest.raises(ValueError, match="cut off"):
        tensorbundle.read(index, b"")


def test_a_cut_index_is_refused_wherever_it_is_cut() -> None:
    """The end is kept, as of a file with a hole: places in it lead too far, or amid something."""
    index, data = encode(some_arrays(), per_block=2, restart_every=2)
    checksum = 4  # of the last block, which is not read
    for place in range(len(index) - tensorbundle.FOOTER - checksum):
        with pytest.raises(ValueError, match=r"cut off|compressed|not the index|wire type|type \d"):
            tensorbundle.read(index[:place] + index[-tensorbundle.FOOTER :], data)
        with pytest.raises(ValueError, match="not the index"):
            tensorbundle.read(index[:place], data)


def test_no_wrong_byte_makes_anything_but_a_value_error() -> None:
    index, data = encode(some_arrays(), per_block=3, restart_every=2)
    refused = 0
    for place in range(len(index)):
        for wrong in (0x00, 0x01, 0x7F, 0x80, 0xFF):
            broken = index[:place] + bytes([wrong]) + index[place + 1 :]
            try:
                tensorbundle.read(broken, data)
            except ValueError:
                refused += 1
    assert refused > len(index)


def test_cut_data_is_refused() -> None:
    index, data = encode(some_arrays())
    for kept in (0, 1, len(data) // 2, len(data) - 1):
        with pytest.raises(ValueError, match="bytes from"):
            tensorbundle.read(index, data[:kept])
