"""What a set says of itself while it is written, and after: its manifest, a receipt for each finished shard, and a lock.

    set-manifest.json       the plan: run, options, how many images each shard has; in the end also bytes and SHA-256
    set-manifest.run/       00003.json, the receipt that shard 3 is whole; copies of compressed sources; gone in the end
    set-manifest.lock       the run that is writing

A shard counts only with a receipt that was written after it, names this plan, and holds its SHA-256: what is half there has
none. Whoever publishes a shard looks at the lock first, so that a worker that was forgotten writes into no later run.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vlae_codec import places
from vlae_codec.errors import OutputError

from .pattern import Pattern

VERSION = 1
"""Of manifests."""


@dataclass(frozen=True)
class Plan:
    """What a set is to be. options: how images are coded. inventory: a digest of their names. images: of each shard."""

    options: Mapping[str, Any]
    inventory: str
    images: tuple[int, ...]

    def matches(self, manifest: Mapping[str, Any]) -> str | None:
        """What of it a manifest contradicts, in words; None if nothing."""
        if manifest.get("options") != dict(self.options):
            return "other options"
        if manifest.get("inventory") != self.inventory:
            return "other images"
        return None


@dataclass(frozen=True)
class Receipt:
    """That a shard is whole: its size in bytes and their SHA-256, and what was counted in it."""

    shard: int
    images: int
    size: int
    sha256: str
    tallies: Mapping[str, Any]

    def written(self, plan: str) -> bytes:
        """As a file; `plan` names what it belongs to."""
        return (json.dumps({"plan": plan, **self.__dict__, "tallies": dict(self.tallies)}) + "\n").encode()


class Record:
    """The manifest and the receipts of the set of a pattern, on behalf of one run."""

    def __init__(self, pattern: Pattern, run: str) -> None:
        self.pattern, self.run = pattern, run

    def manifest(self) -> dict[str, Any] | None:
        """What an earlier run wrote; None if there is nothing of use."""
        found = places.read_json(self.pattern.manifest)
        return found if found and found.get("manifest") == VERSION and isinstance(found.get("shards"), list) else None

    def write(self, plan: Plan, receipts: Mapping[int, Receipt], plan_id: str) -> None:
        """Writes the manifest; the set is complete if each shard has its receipt."""
        shards = [
            {
                "file": places.name(self.pattern.place(number)),
                "images": receipts[number].images if number in receipts else images,
                "planned": images,
                "bytes": receipts[number].size if number in receipts else None,
                "sha256": receipts[number].sha256 if number in receipts else None,
            }
            for number, images in enumerate(plan.images)
        ]
        about = {"manifest": VERSION, "run": self.run, "plan": plan_id, "complete": len(receipts) == len(shards)}
        about |= {"options": dict(plan.options), "inventory": plan.inventory, "shards": shards}
        places.write(self.pattern.manifest, (json.dumps(about, indent=1) + "\n").encode(), force=True)

    def forget(self, manifest: Mapping[str, Any] | None) -> None:
        """Removes the shards that a manifest names, and all that runs left behind."""
        head, slash, _ = self.pattern.manifest.rpartition("/")
        for entry in manifest["shards"] if manifest else ():
            name = entry.get("file") if isinstance(entry, dict) else None
            if isinstance(name, str) and name and "/" not in name:
                places.remove(head + slash + name)
        places.remove(self.pattern.folder)
        places.remove(self.pattern.manifest)


def receipt_place(pattern: Pattern, shard: int) -> str:
    """Where the receipt of a shard is."""
    return places.beside(pattern.folder, f"{shard:05d}.json")


def planned(manifest: Mapping[str, Any]) -> tuple[int, ...]:
    """How many images each shard has in the plan of a manifest.

    Raises:
        OutputError: the manifest is damaged.
    """
    try:
        return tuple(int(entry["planned"]) for entry in manifest["shards"])
    except (KeyError, TypeError, ValueError) as error:
        raise OutputError("the manifest is damaged: force=True begins anew") from error


@contextlib.contextmanager
def locked(pattern: Pattern, run: str) -> Iterator[None]:
    """Within the context no other run writes to the set.

    Raises:
        OutputError: another one does.
    """
    said = {"run": run, "host": socket.gethostname(), "process": os.getpid()}
    data = (json.dumps(said) + "\n").encode()
    if not _created(pattern.lock, data):
        if not _has_ended(places.read_json(pattern.lock) or {}):
            raise OutputError(_refusal(pattern))
        places.remove(pattern.lock)
        if not _created(pattern.lock, data):
            raise OutputError(_refusal(pattern))
    check_held(pattern.lock, run)
    try:
        yield
    finally:
        with contextlib.suppress(OutputError, OSError):
            if (places.read_json(pattern.lock) or {}).get("run") == run:
                places.remove(pattern.lock)


def check_held(lock: str, run: str) -> None:
    """Refuses to write into a set on behalf of a run that it does not belong to, or no longer.

    Raises:
        OutputError: that is so.
    """
    if (places.read_json(lock) or {}).get("run") != run:
        raise OutputError(f"{lock} is no longer held by this run: another one has taken over, or this one was stopped")


def _created(lock: str, data: bytes) -> bool:
    """Whether the lock is ours: exclusively where the store can, else by writing it where there was none."""
    try:
        return places.create(lock, data)
    except NotImplementedError:
        if places.exists(lock):
            return False
        places.write(lock, data, force=True)
        return True


def _has_ended(holder: Mapping[str, Any]) -> bool:
    """Whether the run that holds a lock was on this machine, and its process is gone."""
    process = holder.get("process")
    if holder.get("host") != socket.gethostname() or type(process) is not int or os.name == "nt":
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def _refusal(pattern: Pattern) -> str:
    holder = places.read_json(pattern.lock) or {}
    who = f"process {holder.get('process')} on {holder.get('host')}"
    return f"another run, {who}, writes {pattern.wildcard}: wait for it; if it has ended, remove {pattern.lock}"


def shard_list(numbers: Sequence[int]) -> str:
    """Some shards, for people."""
    shown = ", ".join(map(str, numbers[:5]))
    return f"shard{'s' * (len(numbers) > 1)} {shown}" + (f" and {len(numbers) - 5} more" if len(numbers) > 5 else "")
