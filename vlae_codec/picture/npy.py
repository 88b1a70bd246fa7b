"""One picture in an npy file: its array, of which no more is taken than the file has."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

from vlae_codec.errors import ImageError

MAGIC = b"\x93NUMPY"
_READERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def read_npy(data: bytes, name: str) -> npt.NDArray[Any]:
    """The array in an npy file's bytes; nothing is unpickled.

    Raises:
        ImageError: the file is damaged, or holds something else than numbers.
    """
    stream = io.BytesIO(data)
    try:
        shape, fortran, dtype = _READERS[npy.read_magic(stream)](stream)
    except Exception as error:  # numpy parses the header as Python source, which fails in many ways
        raise ImageError(f"{name} is not an npy file of numbers, or is damaged") from error
    rest = data[stream.tell() :]
    if dtype.hasobject or math.prod(shape) * dtype.itemsize != len(rest):
        raise ImageError(f"{name} claims an array of shape {shape} of {dtype}, which its {len(rest)} bytes are not")
    if len(shape) > 3 or shape[2:] > (4,) or not rest:
        raise ImageError(f"{name} has an array of shape {shape}, which is not one picture: pack takes arrays of many")
    array = np.frombuffer(rest, dtype).reshape(shape, order="F" if fortran else "C")
    return array.astype(dtype.newbyteorder("="))
