"""The part of an archive's header that says how its images were packed, and what its sources were: the same in all versions.

1       options: lossy (1), set (1), log2 of samples (3 bits), 0 (3 bits); the least significant bit first
.       varint length, and that many bytes: the manifests as JSON, deflated with `DICTIONARY`
4       CRC-32 of all before it
"""

from __future__ import annotations

import json

from vlae_codec.coding.bits import read_varint, varint
from vlae_codec.errors import FormatError, ImageError, TruncatedError
from vlae_codec.sets import manifest
from vlae_codec.sets.manifest import Forms

from .heads import CHECK_BYTES, MOST_SAMPLES, Header, deflate, framed, inflate, read_checked

DICTIONARY = (
    b'[{"kind":"idx","file":"train-images-idx3-ubyte","gz":true,"packed":false},{"kind":"npy","file":"images.npy",'
    b'"dtype":"|b1","shape":[60000,28,28],"paper":0,"ink":1,"packed":false},{"kind":"files","count":100}]'
    b'[{"kind":"npz","file":"mnist.npz","dtype":"|u1","shape":[10000,98],"paper":0,"ink":255,"key":"test","packed":true}]'
)
"""What manifests are likely to contain."""
LARGEST_MANIFEST = 1 << 22
"""As JSON, which takes far more when parsed."""
_LOSSY, _SET, _SAMPLES_SHIFT = 1, 2, 2


def write(start: bytes, header: Header) -> bytes:
    """A header that begins so.

    Raises:
        ImageError: the forms are too many for one header.
    """
    manifests = json.dumps([form.manifest() for form in header.forms], ensure_ascii=False, separators=(",", ":"))
    if len(manifests.encode()) > LARGEST_MANIFEST:
        raise ImageError(f"{len(header.forms)} sources are too many for one archive: pack them in several")
    text = deflate(manifests.encode(), DICTIONARY)
    options = header.lossy * _LOSSY | (not header.ordered) * _SET | header.samples.bit_length() - 1 << _SAMPLES_SHIFT
    return framed(start + bytes([options]) + varint(len(text)) + text)


def read(model: int | bytes | None, data: bytes, at: int) -> tuple[Header, int]:
    """The header whose options stand at `at`, and the index after it.

    Raises:
        FormatError: it is not one, or it is damaged.
    """
    if len(data) <= at:
        raise TruncatedError("the archive ends within its header")
    options = data[at]
    length, at = read_varint(data, at + 1)
    text, end = data[at : at + length], at + length
    read_checked(data, end, "header")
    samples = 1 << (options >> _SAMPLES_SHIFT)
    if samples > MOST_SAMPLES or (options & _LOSSY and options != _LOSSY):
        raise FormatError("the archive has options that this version does not know; upgrade vlae-codec")
    try:
        manifests = json.loads(inflate(text, DICTIONARY, LARGEST_MANIFEST).decode())
    except (ValueError, RecursionError):
        manifests = None
    if not isinstance(manifests, list) or not manifests:
        raise FormatError("the archive does not say what its sources were: it is damaged")
    forms = Forms(map(manifest.read, manifests))
    return Header(model, bool(options & _LOSSY), not options & _SET, forms, samples), end + CHECK_BYTES
