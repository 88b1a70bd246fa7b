"""The reader of npz files gives what numpy gives, and refuses what is damaged or too much."""

from __future__ import annotations

import io
import struct
import zipfile

import numpy as np
import pytest

from vlae_codec import npz, zoo

ARRAYS = {
    "a": np.arange(600, dtype=np.int16).reshape(2, 300),
    "b.weight": np.array(-7, np.int64),
    "family": np.array("grid"),
    "empty": np.zeros((0, 3), np.uint8),
    "fortran": np.asfortranarray(np.eye(5, dtype=np.int8)),
}


def saved(save=np.savez, **arrays) -> bytes:
    out = io.BytesIO()
    save(out, **(arrays or ARRAYS))
    return out.getvalue()


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_are_those_that_numpy_reads(save):
    found = npz.read(saved(save), 1 << 20)
    assert [*found] == [*ARRAYS]
    for name, array in found.items():
        assert array.dtype == ARRAYS[name].dtype
        assert np.array_equal(array, ARRAYS[name])


def test_released_models_are_read_as_numpy_reads_them():
    for folder in zoo.released():
        data = (folder / "weights.npz").read_bytes()
        with np.load(io.BytesIO(data)) as expected:
            found = npz.read(data, 1 << 28)
            assert {*found} == {*expected}
            assert all(np.array_equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_changed_byte_is_refused_or_changes_no_array(save):
    data = saved(save, a=ARRAYS["a"], b=ARRAYS["b.weight"])
    for at in range(len(data)):
        for bits in (0x01, 0x80, 0xFF):
            try:
                found = npz.read(data[:at] + bytes([data[at] ^ bits]) + data[at + 1 :], 1 << 20)
            except ValueError:
                continue
            assert len(found) <= 2
            assert all(any(np.array_equal(one, ARRAYS[name]) for name in ("a", "b.weight")) for one in found.values())


def test_a_cut_file_is_refused():
    data = saved()
    for end in range(len(data)):
        with pytest.raises(ValueError, match=r"npz|damaged"):
            npz.read(data[:end], 1 << 20)


def test_no_more_is_inflated_than_is_allowed_or_claimed():
    data = saved(np.savez_compressed, a=np.zeros(1 << 20, np.uint8))
    with pytest.raises(ValueError, match="more than 1048576 bytes"):
        npz.read(data, 1 << 20)
    size = struct.pack("<L", (1 << 20) + 128)
    assert data.count(size) == 2  # before the member, and in the directory
    with pytest.raises(ValueError, match="damaged"):
        npz.read(data.replace(size, struct.pack("<L", 200)), 1 << 20)


def test_pickles_and_other_compressions_are_refused():
    with pytest.raises(ValueError, match="Object arrays"):
        npz.read(saved(a=np.array([{}], object)), 1 << 20)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("a.npy", saved(a=np.zeros(3)))
    with pytest.raises(ValueError, match="damaged"):
        npz.read(out.getvalue(), 1 << 20)
