"""Arrays of gray and coloured pictures in npy, npz and IDX files, damaged or forged: one clear line, and no memory."""

from __future__ import annotations

import gzip
import io
import math
import struct
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vlae_codec.errors import ImageError
from vlae_codec.sets.sources import gather, pick

GRAY = np.arange(3 * 6 * 7, dtype=np.uint8).reshape(3, 6, 7)
COLOURED = np.arange(2 * 5 * 6 * 3, dtype=np.uint8).reshape(2, 5, 6, 3)
DEEP = (np.arange(2 * 4 * 5) * 1111).astype(np.uint16).reshape(2, 4, 5)
HUGE = 1 << 30
MOST_BYTES = 1 << 21
"""What reading a file of a few hundred bytes may take, whatever it claims: numpy's header, zlib's windows."""


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def npy(array, shape=None, order=False):
    """An npy file, whose header may claim another shape."""
    head = {"descr": array.dtype.str, "fortran_order": order, "shape": shape or array.shape}
    text = repr(head).encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + array.tobytes()


def npz(deflated=True, claimed=None, **members):
    """An npz file; the directory may claim other sizes than members have."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED if deflated else zipfile.ZIP_STORED) as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.npy", data)
    data = bytearray(out.getvalue())
    if claimed is not None:
        at = data.rfind(b"PK\1\2")
        struct.pack_into("<L", data, at + 24, claimed)
        struct.pack_into("<L", data, 22, claimed)
    return bytes(data)


def idx(array, shape=None):
    return bytes([0, 0, 8, 3]) + struct.pack(">3I", *(shape or array.shape)) + array.tobytes()


FILES = {
    "gray.npy": npy(GRAY),
    "deep.npy": npy(DEEP),
    "coloured.npy": npy(COLOURED),
    "gray.npz": npz(a=npy(GRAY), b=npy(DEEP)),
    "coloured.npz": npz(a=npy(COLOURED), deflated=False),
    "gray.idx": idx(GRAY),
    "gray.idx.gz": gzip.compress(idx(GRAY), mtime=0),
}


def samples(path):
    """All pictures of a file, as samples."""
    with gather([path]) as gathered:
        count = sum(source.count for source in gathered.sources)
        return [one.picture().raster.samples for _, one in pick(gathered.sources, np.arange(count))]


@pytest.mark.parametrize("name", FILES)
def test_sound_files_are_read(name):
    Path(name).write_bytes(FILES[name])
    found = samples(name)
    expected = [*(DEEP if "deep" in name else COLOURED if "coloured" in name else GRAY)]
    expected += [*DEEP] if name == "gray.npz" else []
    for one, other in zip(found, expected, strict=True):
        assert np.array_equal(one.reshape(other.shape), other)


def refused(name, data):
    """What is said of a file that is refused, if it is; and that it takes no memory."""
    Path(name).write_bytes(data)
    tracemalloc.start()
    try:
        samples(name)
        said = None
    except ImageError as error:
        said = str(error)
    finally:
        held = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert held < MOST_BYTES, f"{held} bytes for {len(data)}"
    assert said is None or (said and "\n" not in said and name.partition(".")[0] in said)
    return said


@pytest.mark.parametrize("name", FILES)
def test_cut_files_are_refused(name):
    for size in range(0, len(FILES[name]), 3):
        assert refused(name, FILES[name][:size]), size


@given(st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_files_are_read_or_refused(data):
    name = data.draw(st.sampled_from(sorted(FILES)))
    damaged = bytearray(FILES[name])
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    refused(name, bytes(damaged))


SHAPES = [(HUGE, 6, 7), (3, 1 << 20, 1 << 20), (1, HUGE, HUGE), (1 << 62, 1 << 62, 4), (0, 6, 7), (3, 0, 7), (3, 6, 8)]
ODD = [(-3, 6, 7), (3, -6, -7), (3, 6, 7, 1 << 40), (1, HUGE, HUGE, 3), (HUGE, 1, 1, 3)]


@pytest.mark.parametrize("shape", [*SHAPES, *ODD], ids=str)
@pytest.mark.parametrize("order", [False, True], ids=["C", "Fortran"])
def test_forged_shapes_are_refused_before_anything_is_allocated(shape, order):
    forged = npy(GRAY, shape, order)
    size = len(forged) - GRAY.size + abs(int(np.prod([float(side) for side in shape])))
    assert refused("a.npy", forged)
    assert refused("a.npz", npz(a=forged))
    assert refused("a.npz", npz(a=forged, claimed=min(size, 0xFFFFFFFF)))


@pytest.mark.parametrize("shape", [(1 << 26, 6, 7), (1 << 20, 32, 42, 3), (HUGE, 1, 1, 3)], ids=str)
def test_forged_shapes_that_a_forged_directory_agrees_with_are_refused(shape):
    """Both say some gigabytes, of which a few hundred bytes are there."""
    forged = npy(GRAY, shape)
    claimed = len(forged) - GRAY.size + math.prod(shape)
    said = refused("a.npz", npz(a=forged, claimed=claimed))
    assert said is not None
    assert "takes" not in said


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if max(shape) < 1 << 32] + [(0xFFFFFFFF, 1, 1)], ids=str)
def test_forged_idx_files_are_refused_before_anything_is_allocated(shape):
    assert refused("a.idx", idx(GRAY, shape))
    assert refused("a.idx.gz", gzip.compress(idx(GRAY, shape)))


def test_what_inflates_to_far_more_than_is_claimed_is_refused():
    bomb = zlib.compress(bytes(1 << 26), 9)
    head = gzip.compress(b"")[:10]
    data = head + bomb[2:-4] + struct.pack("<2L", zlib.crc32(bytes(1 << 26)), 1 << 26)
    assert refused("a.idx.gz", gzip.compress(idx(GRAY)) + data)


@pytest.mark.parametrize(
    ("command", "name"),
    [
        *((command, name) for command in ("pack", "measure") for name in ("gray.npz", "gray.idx.gz", "coloured.npy")),
        ("compress", "coloured.npy"),
    ],
)
def test_commands_say_it_in_one_line(run, command, name):
    Path(name).write_bytes(FILES[name][:-20])
    result = run(command, name, *(["-o", "a.vlz"] if command != "measure" else []), expect=1)
    assert len(result.stderr.strip().splitlines()) == 1
    assert result.stderr.startswith("Error: ")
    assert not Path("a.vlz").exists()
