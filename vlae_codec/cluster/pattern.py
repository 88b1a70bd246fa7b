"""The names of a set: of its shards by their numbers, of its manifest, of its lock, and of the folder of an unfinished run.

set-{shard:05d}.vlz     set-00000.vlz, set-00001.vlz, ...
                        set-manifest.json, set-manifest.lock, set-manifest.run/
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from vlae_codec import places
from vlae_codec.errors import OutputError
from vlae_codec.sets.shards import manifest_place

_FIELD = re.compile(r"\{shard(?::(0?\d{0,2})d?)?\}")


@dataclass(frozen=True)
class Pattern:
    """Places with a shard's number in their names: of `text` the last part holds {shard}, or {shard:05d}, once."""

    text: str

    @classmethod
    def of(cls, text: str) -> Pattern:
        """What a user gave.

        Raises:
            OutputError: it has no field for the number, or several, or others.
        """
        text = places.tidy(text)
        last = text.replace("\\", "/").rpartition("/")[2]
        if len(_FIELD.findall(last)) != 1 or re.search(r"[{}*?\[]", _FIELD.sub("", text, count=1)):
            raise OutputError(f"{text} has no place for a shard's number: write it as in 'set-{{shard:05d}}.vlz'")
        return cls(text)

    def place(self, shard: int) -> str:
        """Where the shard of that number is."""
        return _FIELD.sub(lambda found: format(shard, f"{found[1] or ''}d"), self.text)

    @property
    def wildcard(self) -> str:
        """What stands for all shards."""
        return _FIELD.sub("*", self.text)

    @property
    def manifest(self) -> str:
        """Where the manifest is."""
        return manifest_place(self.wildcard)

    @property
    def lock(self) -> str:
        """Where a run says that it is writing here."""
        return self.manifest.removesuffix(".json") + ".lock"

    @property
    def folder(self) -> str:
        """Where an unfinished run keeps what it needs."""
        return self.manifest.removesuffix(".json") + ".run"
