"""Permanent: the numbers by which files name models, and what is said about those that have one.

What encoders do well to know about a model, and no weights say, is keyed by the digest here and in `knowing.json`, so that
a `model.json` cannot say something else about a registered model.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

REGISTERED = {
    1: "0ea23294f7aea5bff1b6a6366362e94f9af96e38740300bcca05b14d1931f0c7",  # before any release; no longer distributed
    2: "6432ac5998d8732ed3c2fbdbd437acb753ca6b893ee97ab16080f880bace2a72",  # before any release; no longer distributed
    3: "996ab45b11be1f774f5c9a2ec4027bfcbe3fe1d1a460de99a814b9dfad8483e3",  # before any release; no longer distributed
    4: "651458b8570304c8866ea9fc90149eb36ad6211f0117a180492905dc8190191d",  # before any release; no longer distributed
    5: "34a4ca66dd01a35d4ebb98e19fba311ca36b16b176594ce8602edbb5aebc6397",
    6: "b1e2f6aec8f90870cc15eda8ecb2ce2aa7c7ee9a4f0d8fc28d3ae905b54a7661",
    7: "492e9629c145aec709a3ae6d3b2530c8e4566be1639bc95260c13f6aab69bd3e",
    8: "567cff4658f59a39eb9e14eaff0783b42c315777bacd94cd0df7284a1baa52a1",  # before any release; no longer distributed
    9: "4585c1d6f274f04fca5abd02783ac00875c75cee86be35dea23a2aa2f44c5b8e",
    10: "ee1895ce25cac44c18e9338abc90ffe899d0810bc1b8535bb0cfb8175ae2f5ec",
    11: "20ea839722ae51c3b1feea2c40fddbded7d3762e53e168ff5c1f7afd4b231742",
}
"""The SHA-256 that a number in a file stands for. A model that is not here is named by its digest."""

NO_MODEL = 0
"""What a file names that needs no model."""

_ABOUT: dict[str, dict[str, Any]] = {
    REGISTERED[5]: {
        "knows": "single handwritten digits, 28x28, one to a picture or to a cell of a sheet",
        "subject": "digits",
        "competes": True,
        "mostly_ink": 0.0,
    },
    REGISTERED[6]: {
        "knows": "filled silhouettes of things, 28x28, one to a picture",
        "subject": "silhouettes",
        "competes": True,
        "mostly_ink": 0.665,
    },
    REGISTERED[7]: {
        "knows": "single handwritten characters of fifty alphabets, 28x28, one to a picture or to a cell of a sheet",
        "subject": "characters",
        "competes": True,
        "mostly_ink": 0.0,
    },
    REGISTERED[9]: {
        "knows": "single handwritten digits, 28x28, as the paper's model; not chosen of itself",
        "subject": "digits",
        "mostly_ink": 0.0,
    },
    REGISTERED[10]: {
        "knows": "photographs, gray or colour, any size",
        "takes": "2.82 bits a sample exact (Kodak's pictures)",
    },
    REGISTERED[11]: {
        "knows": "pages, line art, icons, codes and other pictures in two colours, any size, exactly",
        "takes": "0.0273 bits a pixel exact (scanned pages)",
    },
}


def about(digest: bytes) -> Mapping[str, Any]:
    """What is said about a registered model: `knows`, a sentence; `takes`, of what is no set of images; thresholds of its
    family. Nothing about others.
    """
    return _ABOUT.get(digest.hex(), {})


def knowing(digest: bytes) -> Mapping[str, Any] | None:
    """What tells the pictures that a registered model knows from others, as of its family; None if nothing does.

    One that does not compete shares it with the one that does for its subject.
    """
    subject = about(digest).get("subject")
    shared = (sha for sha, said in _ABOUT.items() if said.get("competes") and said["subject"] == subject)
    found: Mapping[str, Any] | None = _knowing().get(digest.hex()) or _knowing().get(next(shared, ""))
    return found


@cache
def _knowing() -> dict[str, Any]:
    """Measured and written by `benchmarks/knowing.py`."""
    found: dict[str, Any] = json.loads((Path(__file__).parent / "knowing.json").read_text(encoding="utf-8"))
    return found


def number_of(digest: bytes) -> int | None:
    """The registered number of a model, 1 to 255, if it has one."""
    return next((number for number, registered in REGISTERED.items() if registered == digest.hex()), None)


def identity_of(digest: bytes) -> int | bytes:
    """What files name a model by: its number, else the first 8 bytes of its digest; `NO_MODEL` if there is no digest."""
    if not digest:
        return NO_MODEL
    number = number_of(digest)
    return digest[:8] if number is None else number
