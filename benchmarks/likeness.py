"""Trains what tells drawings of a hand from those of a program: `vlae_codec/likeness.npz`.

    python benchmarks/likeness.py --data DIR [--packages DIR]       # half an hour of a core; then benchmarks/knowing.py

The network of `vlae_codec/field/likeness.py`, with one output for each of digits, characters and silhouettes. Its own images
are those that the models were trained on; all others are icons, symbols and drawings by code of `drawings_found` and
`drawings_kinds`, turned and mirrored anew at each look, and for characters also letters of typefaces. None is of a source of
the held part.
"""

from __future__ import annotations

import argparse
import copy
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import drawings_found
import numpy as np
import numpy.typing as npt
import torch
from drawings_corpus import WIDE
from drawings_found import INSTALLED, Levels
from drawings_kinds import KINDS
from torch import Tensor, nn

from vlae_codec.field.likeness import FARTHEST, INK, PAPER, SUBJECTS
from vlae_codec.field.shapes import rarer_ink
from vlae_codec.field.strokes import COUNTED, counted
from vlae_codec.picture.fields import SIDE, Bits

ROOT = Path(__file__).parent.parent
_SEED = 11
_PER_KIND, _LEAST_OF_SOURCE, _MOST_OF_SOURCE, _LETTERS = 400, 1500, 4000, 1500
_BOLDEST = 0.6  # pixels on each side of a stroke, which one in two symbols has more
_STEPS, _BATCH, _RATE, _DECAY, _DROPPED = 14000, 256, 3e-3, 1e-2, 0.2
_CERTAIN = 0.993, 0.003  # what the network is to say of its own, and of all others
_AVERAGED_FROM, _AVERAGE = 0.7, 0.995
_FARTHEST_SHIFT = 2
_CHANNELS, _COUNTS, _STROKES, _SEEN, _BOTH = (16, 32, 64), 96, 48, 64, 32
_RANDOM = {"digits": 0.4, "characters": 0.25, "silhouettes": 0.0}
"""The share that is binarised at random, by levels, and not halfway; of all others 0.15."""
_WEIGHTS = {"digits": 0.6, "characters": 1.6, "silhouettes": 0.8, "found": 3.3, "kinds": 0.6, "letters": 0.8}


@dataclass(frozen=True)
class Group:
    """Drawings of one subject, source or kind: levels (n, 28, 28), 255 = ink. part: what it is among `_WEIGHTS`."""

    name: str
    part: str
    levels: Levels

    @property
    def is_own(self) -> list[float]:
        """Of each subject, whether it is that."""
        return [float(self.part == subject) for subject in SUBJECTS]

    @property
    def tells(self) -> list[float]:
        """Of each subject, whether anything is to be learned of it: letters may be characters."""
        other = self.part in ("found", "kinds")
        return [
            float(other or self.part == subject or (self.part == "letters" and subject == "characters"))
            for subject in SUBJECTS
        ]


def main() -> None:
    """Trains it, and writes its weights."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--packages", type=Path, default=INSTALLED)
    options = parser.parse_args()
    groups = [*own(options.data), *foreign(options.packages)]
    print({group.name: len(group.levels) for group in groups}, flush=True)
    np.savez(ROOT / "vlae_codec" / "likeness.npz", **trained(groups))


def own(folder: Path) -> list[Group]:
    """Training images by subject; silhouettes with their mirror images."""
    with np.load(folder / "mnist_gray.npz") as stored:
        digits = stored["train_x"]
    with np.load(folder / "omniglot28.npz") as stored:
        characters = stored["train"].reshape(-1, 28, 28)
    with np.load(folder / "caltech101.npz") as stored:
        packed = np.concatenate([stored["train"], stored["valid"]])
    silhouettes = 255 * np.unpackbits(packed, axis=1)[:, :784].reshape(-1, 28, 28)
    both = np.concatenate([silhouettes, silhouettes[:, :, ::-1]])
    return [Group(name, name, levels) for name, levels in zip(SUBJECTS, (digits, characters, both), strict=True)]


def foreign(packages: Path) -> Iterator[Group]:
    """Drawings of no subject, and letters of typefaces."""
    for part, name in (("tuning", "found"), ("letters", "letters")):
        for source in drawings_found.SOURCES[part]:
            there = drawings_found.items(source, packages)
            several = min(_MOST_OF_SOURCE, max(_LEAST_OF_SOURCE, 4 * len(there)))
            count = several if name == "found" else _LETTERS
            yield Group(source.name, name, np.stack([*_drawn(source, there, count, packages)]))
    for kind, draw in KINDS.items():
        if kind not in WIDE:
            rngs = (_rng(kind, number) for number in range(_PER_KIND))
            yield Group(kind, "kinds", np.stack([255 * draw(rng, 28, 28) for rng in rngs]))


def _drawn(
    source: drawings_found.Source, there: tuple[int | Path, ...], count: int, packages: Path
) -> Iterator[Levels]:
    for number in range(count):
        rng = _rng(source.name, number)
        bold = max(0.0, rng.uniform(-_BOLDEST, _BOLDEST))
        yield drawings_found.drawn(source, there[number % len(there)], rng, packages, bold=bold)


def _rng(name: str, number: int) -> np.random.Generator:
    return np.random.default_rng([_SEED, zlib.crc32(name.encode()), number])


class Network(nn.Module):
    """That of `vlae_codec.field.likeness`, layer by layer with its names."""

    def __init__(self, counts: npt.NDArray[np.float64]) -> None:
        """counts: some, for their mean and deviation."""
        super().__init__()
        self.mean, self.deviation = counts.mean(axis=0), counts.std(axis=0) + 0.05
        first, second, last = _CHANNELS
        self.counts, self.strokes = nn.Linear(COUNTED, _COUNTS), nn.Linear(_COUNTS, _STROKES)
        self.first = nn.Conv2d(1, first, 3, padding=1)
        self.second, self.third = nn.Conv2d(first, second, 3, 2, 1), nn.Conv2d(second, second, 3, padding=1)
        self.fourth, self.fifth = nn.Conv2d(second, last, 3, 2, 1), nn.Conv2d(last, last, 3, padding=1)
        self.seen, self.both = nn.Linear(2 * last, _SEEN), nn.Linear(_STROKES + _SEEN, _BOTH)
        self.odds, self.dropped = nn.Linear(_BOTH, len(SUBJECTS)), nn.Dropout(_DROPPED)

    def forward(self, fields: Tensor, counts: Tensor) -> Tensor:
        """The log-odds (n, 3) of fields (n, 1, 28, 28) and of what is counted of them, in deviations."""
        strokes = self.strokes(self.counts(counts).relu()).relu()
        h = self.first(PAPER + (INK - PAPER) * fields).relu()
        h = self.second(h).relu()
        h = h + self.third(h).relu()
        h = self.fourth(h).relu()
        h = h + self.fifth(h).relu()
        seen = self.seen(torch.cat([h.mean((2, 3)), h.amax((2, 3))], 1)).relu()
        found: Tensor = self.odds(self.both(self.dropped(torch.cat([strokes, seen], 1))).relu())
        return found

    def of(self, bits: Bits) -> tuple[Tensor, Tensor]:
        """What it sees of fields (n, 28, 28)."""
        away = ((counted(bits) - self.mean) / self.deviation).clip(-FARTHEST, FARTHEST)
        return torch.from_numpy(bits)[:, None].float(), torch.from_numpy(away).float()

    def weights(self) -> dict[str, npt.NDArray[np.floating]]:
        """Its weights, by name, as `vlae_codec.field.likeness` has them."""
        found: dict[str, npt.NDArray[np.floating]] = {
            "mean": self.mean.astype(np.float32),
            "deviation": self.deviation.astype(np.float32),
        }
        for name, layer in self.named_children():
            if isinstance(layer, nn.Linear | nn.Conv2d):
                found[f"{name}_weights"] = layer.weight.detach().flatten(1).numpy().T.astype(np.float16)
                found[f"{name}_bias"] = layer.bias.detach().numpy().astype(np.float32)  # type: ignore[union-attr]
        return found


class Batches:
    """Drawings of all groups by their weights, binarised, shifted and, foreign ones, turned anew."""

    def __init__(self, groups: list[Group]) -> None:
        self.groups, self.rng = groups, np.random.default_rng(0)
        parts = {part: sum(len(one.levels) ** 0.5 for one in groups if one.part == part) for part in _WEIGHTS}
        shares = [_WEIGHTS[one.part] * len(one.levels) ** 0.5 / parts[one.part] for one in groups]
        self.shares = np.array(shares) / sum(shares)

    def next(self) -> tuple[Bits, npt.NDArray[np.int64]]:
        """Fields (n, 28, 28) with the rarer level as ink, and the group of each (n,)."""
        which = self.rng.choice(len(self.groups), _BATCH, p=self.shares)
        return rarer_ink(np.stack([self._one(self.groups[group]) for group in which])), which

    def _one(self, group: Group) -> Bits:
        rng, levels = self.rng, group.levels[self.rng.integers(len(group.levels))]
        random = rng.random() < _RANDOM.get(group.part, 0.15)
        bits = (levels > (rng.integers(0, 255, levels.shape) if random else 127)).astype(np.uint8)
        if group.part in ("found", "kinds"):
            bits = np.rot90(bits, rng.integers(4))[:, :: rng.choice([-1, 1])]
        return bits if group.part == "silhouettes" else self._shifted(bits)

    def _shifted(self, bits: Bits) -> Bits:
        """Away from where it was, with all of its ink."""
        for axis in (0, 1):
            inked = np.flatnonzero(bits.any(axis=1 - axis))
            room = (inked[0], SIDE - 1 - inked[-1]) if len(inked) else (0, 0)
            least, most = (min(int(side), _FARTHEST_SHIFT) for side in room)
            bits = np.roll(bits, self.rng.integers(-least, most + 1), axis)
        return bits


def trained(groups: list[Group]) -> dict[str, npt.NDArray[np.floating]]:
    """The weights of the network, averaged over the last steps: an output learns from what is told by it."""
    torch.manual_seed(0)
    batches = Batches(groups)
    network = Network(counted(np.concatenate([batches.next()[0] for _ in range(30)])))
    own, told = (torch.tensor([getattr(group, key) for group in groups]) for key in ("is_own", "tells"))
    optimizer = torch.optim.AdamW(network.parameters(), _RATE, weight_decay=_DECAY)
    rates = torch.optim.lr_scheduler.OneCycleLR(optimizer, _RATE, total_steps=_STEPS, pct_start=0.1)
    average, began = network, time.time()
    for step in range(_STEPS):
        bits, which = batches.next()
        with torch.autocast("cpu", torch.bfloat16):
            said = network(*network.of(bits))
        wanted = own[which] * (_CERTAIN[0] - _CERTAIN[1]) + _CERTAIN[1]
        losses = nn.functional.binary_cross_entropy_with_logits(said.float(), wanted, reduction="none")
        loss = (losses * told[which]).sum() / told[which].sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        rates.step()
        if step == int(_AVERAGED_FROM * _STEPS):
            average = copy.deepcopy(network)
        elif average is not network:
            with torch.no_grad():
                for mean, value in zip(average.parameters(), network.parameters(), strict=True):
                    mean.lerp_(value, 1 - _AVERAGE)
        if step % 1000 == 0:
            print(f"step {step}: {loss.item():.4f} nats; {time.time() - began:.0f} s", flush=True)
    return average.weights()


if __name__ == "__main__":
    main()
