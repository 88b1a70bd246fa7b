"""Pictures without a model: exactly, as the smallest of what well-kept libraries make of them.

`encode` and `decode` are for whole pictures, `encode_plane` and `decode_plane` for one plane of another family's. `verify`
looks at a payload without decoding it; `estimate_bytes` guesses how long one will be, and `least_bytes` how long at least,
`least_bytes_of_drawing` soonest of two colours.
"""

from __future__ import annotations

from .codec import decode, decode_plane, encode, encode_plane, verify
from .estimate import estimate_bytes, least_bytes, least_bytes_of_drawing

__all__ = [
    "decode",
    "decode_plane",
    "encode",
    "encode_plane",
    "estimate_bytes",
    "least_bytes",
    "least_bytes_of_drawing",
    "verify",
]
