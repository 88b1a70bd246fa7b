"""What a worker does with one shard: packs it, checks that it is whole, decodes it, or unpacks it.

Each takes what all tasks share and an item, and gives a small tally back. A worker holds one chunk in memory; models are
loaded once a process.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cache
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

from vlae_codec import places, zoo
from vlae_codec.archive import api
from vlae_codec.archive import unpack as unpacking
from vlae_codec.archive.chunks import ArchiveLedger
from vlae_codec.archive.opened import Opened
from vlae_codec.archive.options import Options
from vlae_codec.container import MOST_BYTES
from vlae_codec.errors import ModelError
from vlae_codec.family import Coder
from vlae_codec.options import wrong
from vlae_codec.sets.shards import Shard
from vlae_codec.sets.sources import Gathered

from .pattern import Pattern
from .record import Receipt, check_held, receipt_place
from .survey import Part

_BLOCK_BYTES = 1 << 20


class Named(NamedTuple):
    """A model by its name, or its folder, which all workers see; and the SHA-256 of its weights in hexadecimal."""

    name: str
    digest: str

    @classmethod
    def of(cls, name: str | None, seen: Callable[[str], str]) -> Named | None:
        """A model that was asked for; `seen` makes a path what workers know it by.

        Raises:
            ModelError: there is none of that name.
            OptionError: it is not a text.
        """
        if name is None:
            return None
        if not isinstance(name, str):
            raise wrong("model", "a name or the path of a folder, as a text", name)
        is_folder = name not in zoo.released_names()
        return cls(seen(name) if is_folder else name, zoo.named(name).digest.hex())


def coder_of(model: Named | None) -> Coder | None:
    """The model, loaded once a process; None of none.

    Raises:
        ModelError: it is not here, or another one is in its place.
    """
    return None if model is None else _loaded(model)


@cache
def _loaded(model: Named) -> Coder:
    found = zoo.named(model.name)
    if found.digest.hex() != model.digest:
        raise ModelError(f"the model in {model.name} is another one here than where the set was asked for")
    return found


@dataclass(frozen=True)
class Packing:
    """What all tasks of packing share: what they write where, and for which run."""

    pattern: Pattern
    run: str
    plan: str
    options: Options
    model: Named | None


def said(options: Options, model: Named | None) -> dict[str, Any]:
    """Options as a manifest has them; the model by what its weights are."""
    return {**asdict(options), "keep": options.keep.__name__, "model": model and model.digest}


@dataclass(frozen=True)
class OneShard:
    """A shard of a set that is read, and its number."""

    number: int
    images: int
    shard: Shard


@dataclass(frozen=True)
class Several:
    """Shards that may be there already, by their numbers; `number` is that of the first."""

    numbers: Sequence[int]
    images: int

    @property
    def number(self) -> int:
        """Of no other task."""
        return self.numbers[0]


@dataclass(frozen=True)
class Reading:
    """What all tasks of reading share. folder: where images go to, if anywhere. only: their names."""

    model: Named | None = None
    folder: str = ""
    only: tuple[str, ...] = ()
    seed: int = 0
    temperature: float | None = None
    max_bytes: int = MOST_BYTES


@dataclass(frozen=True)
class Read:
    """What came of reading a shard: a line for each problem and note, how many files were written, and bytes read.

    unmatched: names that no image has; lost_names: they may be among those that are lost. sampled: whether drawings were
    re-sampled. unused: as of `archive.api.Unpacked`.
    """

    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    written: int = 0
    bytes: int = 0
    unmatched: tuple[str, ...] = ()
    lost_names: bool = False
    sampled: bool = False
    unused: frozenset[str] = frozenset()


def pack(shared: Packing, part: Part) -> Receipt:
    """Packs a shard and leaves its receipt, in that order.

    Raises:
        ImageError: an image cannot be read or coded.
        OutputError: it cannot be written, or the run no longer holds the set.
    """
    options = shared.options
    choice = options.chooser(coder_of(shared.model))
    with Gathered(part.packed.opened(), ()) as gathered:
        suited = api.suited(gathered, choice, options.skip_unsuitable)
        with places.whole(shared.pattern.place(part.number), force=True) as file:
            out = _Hashing(file)
            packed = api.pack_suited(suited, cast(IO[bytes], out), choice, options.settings)
            check_held(shared.pattern.lock, shared.run)  # what is raised here leaves no file
    tallies = {"ledger": _tallied(packed.ledger), "unsuitable": list(packed.unsuitable)}
    receipt = Receipt(part.number, packed.ledger.images, out.bytes, out.digest.hexdigest(), tallies)
    places.write(receipt_place(shared.pattern, part.number), receipt.written(shared.plan), force=True)
    return receipt


def whole(shared: Packing, several: Several) -> list[Receipt]:
    """The receipts of those shards that are what their receipts say."""
    return [receipt for number in several.numbers if (receipt := _receipt(shared, number)) is not None]


def _receipt(shared: Packing, number: int) -> Receipt | None:
    found = places.read_json(receipt_place(shared.pattern, number))
    if found is None or found.pop("plan", None) != shared.plan:
        return None
    try:
        receipt = Receipt(**found)
        same = _digest(shared.pattern.place(number)) == (receipt.size, receipt.sha256)
    except (OSError, TypeError):
        return None
    return receipt if same else None


def test(shared: Reading, one: OneShard) -> Read:
    """Decodes a shard, writing nothing."""
    with places.open_read(one.shard.place) as file:
        opened = Opened(file)
        problems = unpacking.verify(opened, model=coder_of(shared.model), most_bytes=shared.max_bytes)
        size = opened.bytes
    if one.shard.images is not None and one.shard.images != opened.header.forms.images:
        problems.append(f"it has {opened.header.forms.images} images, and the manifest says {one.shard.images}")
    return Read(tuple(problems), bytes=size)


def unpack(shared: Reading, one: OneShard) -> Read:
    """Unpacks a shard into the folder, by way of one of this machine if that is a URL; files are overwritten.

    Raises:
        FormatError, ModelError, OutputError, OSError: as `archive.api.unpack`.
    """
    with tempfile.TemporaryDirectory(prefix="vlae-") as here:
        folder = here if places.is_url(shared.folder) else places.tidy(shared.folder)
        with places.open_read(one.shard.place) as file:
            size = Opened(file).bytes
            found = api.unpack(
                file,
                folder,
                only=shared.only,
                seed=shared.seed,
                temperature=shared.temperature,
                model=coder_of(shared.model),
                force=True,
                max_bytes=shared.max_bytes,
            )
        if places.is_url(shared.folder):
            for path in found.written:
                places.put(path, places.beside(shared.folder, *path.relative_to(Path(here)).parts), force=True)
    missing = {unpacking.unmatched(pattern, lost): (pattern, lost) for pattern in shared.only for lost in (False, True)}
    unmatched = [missing[problem] for problem in found.problems if problem in missing]
    problems = [problem for problem in found.problems if problem not in missing]
    return Read(
        tuple(problems),
        found.notes,
        len(found.written),
        size,
        tuple(pattern for pattern, _ in unmatched),
        any(lost for _, lost in unmatched),
        found.sampled,
        found.unused,
    )


def ledger_of(receipt: Receipt) -> ArchiveLedger:
    """Where the bits of a shard went, without those of each image."""
    said = dict(receipt.tallies.get("ledger", {}))
    return ArchiveLedger(**{**said, "notes": Counter(said.get("notes", {}))})


def _tallied(ledger: ArchiveLedger) -> dict[str, Any]:
    """A ledger as a small JSON object."""
    said = {one.name: getattr(ledger, one.name) for one in fields(ArchiveLedger) if one.name != "image_bits"}
    found: dict[str, Any] = json.loads(json.dumps(said))
    return found


def _digest(place: str) -> tuple[int, str]:
    """How many bytes a file has, and their SHA-256 in hexadecimal."""
    digest, size = hashlib.sha256(), 0
    with places.open_read(place) as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
            size += len(block)
    return size, digest.hexdigest()


class _Hashing:
    """A file that is written front to back, and its SHA-256."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self.digest, self.bytes = file, hashlib.sha256(), 0

    def write(self, data: bytes) -> int:
        """Writes some bytes."""
        self.digest.update(data)
        self.bytes += len(data)
        return self._file.write(data)
