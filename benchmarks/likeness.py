"""Trains what tells drawings of a hand from those of a program: `vlae_codec/likeness.npz`.

    python benchmarks/likeness.py --data DIR [--packages DIR]       # some minutes; then benchmarks/knowing.py

A network on what `vlae_codec/field/strokes.py` counts, with one output for each of digits, characters and silhouettes. Its
own images are those that the models were trained on; all others are icons, symbols and drawings by code of
`drawings_found` and `drawings_kinds`, and for characters also letters of typefaces. None is of a source of the held part.
"""

from __future__ import annotations

import argparse
import zlib
from collections.abc import Iterator
from pathlib import Path

import drawings_found
import numpy as np
import numpy.typing as npt
import torch
from drawings_corpus import WIDE
from drawings_found import INSTALLED, Levels
from drawings_kinds import KINDS
from torch import nn

from vlae_codec.field.likeness import SUBJECTS
from vlae_codec.field.shapes import rarer_ink
from vlae_codec.field.strokes import COUNTED, counted
from vlae_codec.picture.fields import Bits

ROOT = Path(__file__).parent.parent
Floats = npt.NDArray[np.float64]
_SEED = 11
_DIGITS, _PER_KIND, _PER_SOURCE = 20_000, 300, 3000
_BOLDEST = 0.6  # pixels on each side of a stroke, which one in two symbols has more
_HIDDEN, _STEPS, _BATCH, _RATE, _DECAY = (64, 32), 8000, 512, 2e-3, 1e-3
_RANDOM = {"digits": 0.4, "characters": 0.25, "silhouettes": 0.0}
"""The share that is binarised at random, by levels, and not halfway; of all others 0.15."""
_WEIGHTS = {"digits": 0.6, "characters": 1.6, "silhouettes": 0.8, "found": 3.3, "kinds": 0.6, "letters": 0.8}


def main() -> None:
    """Trains it, and writes its weights."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--packages", type=Path, default=INSTALLED)
    options = parser.parse_args()
    groups = {**own(options.data), **foreign(options.packages)}
    print({name: len(levels) for name, levels in groups.items()}, flush=True)
    weights = trained({name: counted(rarer_ink(binarised(name, levels))) for name, levels in groups.items()})
    np.savez(ROOT / "vlae_codec" / "likeness.npz", **weights)


def own(folder: Path) -> dict[str, Levels]:
    """Training images by subject: (n, 28, 28), 255 = ink."""
    with np.load(folder / "mnist_gray.npz") as stored:
        digits = stored["train_x"][:_DIGITS]
    with np.load(folder / "omniglot28.npz") as stored:
        characters = stored["train"].reshape(-1, 28, 28)
    with np.load(folder / "caltech101.npz") as stored:
        packed = np.concatenate([stored["train"], stored["valid"]])
    silhouettes = 255 * np.unpackbits(packed, axis=1)[:, :784].reshape(-1, 28, 28)
    both = np.concatenate([silhouettes, silhouettes[:, :, ::-1]])
    return dict(zip(SUBJECTS, (digits, characters, both), strict=True))


def foreign(packages: Path) -> dict[str, Levels]:
    """Drawings of no subject, and letters of typefaces: (n, 28, 28), 255 = ink."""
    return {
        "found": np.stack([*_found("tuning", packages)]),
        "kinds": np.stack([*_of_kinds()]),
        "letters": np.stack([*_found("letters", packages)]),
    }


def _found(part: str, packages: Path) -> Iterator[Levels]:
    for source in drawings_found.SOURCES[part]:
        there = drawings_found.items(source, packages)
        for number in range(_PER_SOURCE if part == "tuning" else _PER_SOURCE // 3):
            rng = np.random.default_rng([_SEED, zlib.crc32(source.name.encode()), number])
            bold = max(0.0, rng.uniform(-_BOLDEST, _BOLDEST))
            yield drawings_found.drawn(source, there[number % len(there)], rng, packages, bold=bold)


def _of_kinds() -> Iterator[Levels]:
    for kind, draw in KINDS.items():
        for number in range(0 if kind in WIDE else _PER_KIND):
            yield 255 * draw(np.random.default_rng([_SEED, zlib.crc32(kind.encode()), number]), 28, 28)


def binarised(name: str, levels: Levels) -> Bits:
    """Most halfway, the others at random."""
    rng = np.random.default_rng([_SEED, zlib.crc32(name.encode())])
    random = rng.random((len(levels), 1, 1)) < _RANDOM.get(name, 0.15)
    return (levels > np.where(random, rng.integers(0, 255, levels.shape), 127)).astype(np.uint8)


def trained(counts: dict[str, Floats]) -> dict[str, npt.NDArray[np.floating]]:
    """The weights of the network, by name, from the counts of each group: an output learns from what is told by it."""
    torch.manual_seed(0)
    rng, names = np.random.default_rng(0), [*counts]
    every = np.concatenate([*counts.values()])
    mean, deviation = every.mean(axis=0), every.std(axis=0) + 0.05
    x = torch.from_numpy(((every - mean) / deviation).clip(-6, 6)).float()
    group = np.repeat(np.arange(len(names)), [len(one) for one in counts.values()])
    is_own = torch.tensor([[float(name == subject) for subject in SUBJECTS] for name in names])
    told = torch.tensor([[float(_tells(name, subject)) for subject in SUBJECTS] for name in names])
    share = np.array([_WEIGHTS[name] / len(one) for name, one in counts.items()])[group]
    ends = np.cumsum(share / share.sum())
    net = nn.Sequential(
        nn.Linear(COUNTED, _HIDDEN[0]), nn.ReLU(), nn.Linear(*_HIDDEN), nn.ReLU(), nn.Linear(_HIDDEN[1], 3)
    )
    optimizer = torch.optim.AdamW(net.parameters(), _RATE, weight_decay=_DECAY)
    slower = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, _STEPS)
    for step in range(_STEPS):
        some = np.searchsorted(ends, rng.random(_BATCH)).clip(0, len(x) - 1)
        of = torch.from_numpy(group[some])
        losses = nn.functional.binary_cross_entropy_with_logits(net(x[some]), is_own[of], reduction="none")
        loss = (losses * told[of]).sum() / told[of].sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        slower.step()
        if step % 1000 == 0:
            print(f"step {step}: {loss.item():.4f} nats", flush=True)
    found = {"mean": mean.astype(np.float32), "deviation": deviation.astype(np.float32)}
    for name, layer in zip("abc", (layer for layer in net if isinstance(layer, nn.Linear)), strict=True):
        found[f"{name}_weights"] = layer.weight.detach().numpy().T.astype(np.float16)
        found[f"{name}_bias"] = layer.bias.detach().numpy().astype(np.float32)
    return found


def _tells(name: str, subject: str) -> bool:
    return name == subject or name in ("found", "kinds") or (name, subject) == ("letters", "characters")


if __name__ == "__main__":
    main()
