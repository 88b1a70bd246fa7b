"""The shards of a set: which archives belong together, by a pattern and by the manifest beside them.

    set-*.vlz            set-00000.vlz, set-00001.vlz, ... and set-manifest.json

The manifest is a JSON object. `complete` says whether the run that writes the set has ended well, and `shards` has, in
order, an object for each: `file`, its name beside the manifest, `images`, `bytes` and `sha256`. A set without a manifest is
whatever matches, numbers in names by their value.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vlae_codec import places
from vlae_codec.errors import FormatError

_WILDCARD = re.compile(r"\*|\[[^]]*\]|\?|\{\d+\.\.\d+\}")


@dataclass(frozen=True)
class Shard:
    """One archive of a set. images, bytes, sha256: what the manifest says; None without one."""

    place: str
    images: int | None = None
    bytes: int | None = None
    sha256: str | None = None


def manifest_place(pattern: str) -> str:
    """Where the manifest of the set is that a pattern with one wildcard stands for."""
    return _WILDCARD.sub("manifest", pattern, count=1).removesuffix(".vlz") + ".json"


def find(pattern: str) -> list[Shard]:
    """The shards that a pattern stands for, in order.

    Raises:
        FormatError: nothing matches, the set is not complete, or a shard of it is missing.
        OSError, PlaceError: it cannot be looked for.
    """
    there = sorted(places.expanded(pattern), key=_by_number)
    manifest = places.read_json(manifest_place(pattern)) if len(_WILDCARD.findall(pattern)) == 1 else None
    if manifest is not None and isinstance(manifest.get("shards"), list):
        return _listed(pattern, manifest, there)
    if not there:
        raise FormatError(f"no archive matches {pattern}")
    return [Shard(place) for place in there]


def _listed(pattern: str, manifest: dict[str, Any], there: Sequence[str]) -> list[Shard]:
    """The shards that a manifest names.

    Raises:
        FormatError: the manifest is damaged, the set is not complete, or a shard is missing.
    """
    where = manifest_place(pattern)
    try:
        shards = [_shard(where, entry) for entry in manifest["shards"]]
        complete = bool(manifest["complete"])
    except (KeyError, TypeError, ValueError) as error:
        raise FormatError(f"{where} is damaged: remove it to read the archives that are there") from error
    known = {*map(places.name, there)}
    missing = [shard.place for shard in shards if places.name(shard.place) not in known]
    if missing or not complete:
        what = f"lacks {places.shown(missing)}" if missing else "is not finished"
        raise FormatError(f"the set of {where} {what}: run its pack again, or name the archives that are there")
    return shards


def _shard(manifest: str, entry: Any) -> Shard:
    name, images, size, digest = (entry[key] for key in ("file", "images", "bytes", "sha256"))
    if not isinstance(name, str) or not name or type(images) is not int or images < 0:
        raise ValueError(name)
    head, slash, _ = manifest.rpartition("/")
    return Shard(head + slash + name, images, size, digest)


def _by_number(place: str) -> list[tuple[int, str]]:
    """What puts set-2 before set-10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", place)]
