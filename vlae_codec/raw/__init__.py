"""Pictures without a model: exactly, as the smallest of what well-kept libraries make of them.

`encode` and `decode` are for whole pictures, `encode_plane` and `decode_plane` for one plane of another family's.
"""

from __future__ import annotations

from .codec import decode, decode_plane, encode, encode_plane

__all__ = ["decode", "decode_plane", "encode", "encode_plane"]
