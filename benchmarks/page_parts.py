"""What each part of `ink` brings: bytes of held-out pages and small drawings, with one part at a time left out.

    python benchmarks/page_parts.py --data DIR/pages --drawings FOLDER --json results/page_parts.json   # some eight minutes

Of each document that the released model was not trained on the middle of its first page, at most 1024x1280 pixels; every
picture in FOLDER. Streams alone, without heads. Nothing is trained anew: weights begin as they were learned with all parts,
and go on learning, so a part that is missing is replaced as far as a page can teach that. Every row reads its drawings back.

The codec knows nothing of this: a part is left out by other arrays of the model, or by other functions in its modules before
these are compiled, each time in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
from pages import held_out

from vlae_codec import zoo
from vlae_codec.exact.compiled import compiled, uncached
from vlae_codec.family import Arrays
from vlae_codec.ink import binary, contexts, mixing, network, similar, stream, walk
from vlae_codec.ink.hands import Hand
from vlae_codec.ink.model import start_of
from vlae_codec.ink.near import smoothed
from vlae_codec.ink.state import (
    ALONG,
    CALM_INPUTS,
    CONTEXTS,
    KINDS,
    OTHERS,
    PLACE,
    REFERRED,
    SETS,
    SIMILAR,
    Ints,
    State,
)
from vlae_codec.ink.window import PLACES
from vlae_codec.picture.reading import read_picture

HEIGHT, WIDTH = 1280, 1024
_UNIT = 1 << 16
Bits = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Part:
    """How it is left out: by other arrays, by other values of names in modules; or, of edges, by a quality."""

    arrays: Callable[[Arrays], Arrays] = dict
    names: Sequence[tuple[ModuleType, Mapping[str, Any]]] = field(default=())
    quality: float = 100


@compiled
def no_place(state: State, column: int, at: int) -> None:
    """In place of `similar.find`: no place is like the pixel's."""
    for kept in range(SIMILAR):
        state.now[PLACE + kept] = -1


_find, _enter, _place = similar.find, contexts.enter, contexts.place


@compiled
def one_place(state: State, column: int, at: int) -> None:
    """In place of `similar.find`: all places but one are forgotten."""
    _find(state, column, at)
    for kept in range(1, SIMILAR):
        state.now[PLACE + kept] = -1


@compiled
def not_along(state: State, column: int) -> None:
    """In place of `contexts.along`: these contexts are always the same."""
    for kind in range(state.now[KINDS] + REFERRED, state.now[KINDS] + REFERRED + ALONG):
        state.now[CONTEXTS + kind] = _place(state, kind, 0)


@compiled
def lively(state: State, row: int, column: int) -> bool:
    """In place of `contexts.enter`: there is always something near."""
    _enter(state, row, column)
    return True


@compiled
def no_blank_row(state: State, stream: Ints, size: int, blank: bool, writing: bool) -> bool:
    """In place of what codes whether a row has ink."""
    return False


@compiled
def unrefined(state: State, chance: int) -> int:
    """In place of `mixing.refine`."""
    return max(1, min(chance, (1 << 16) - 1))


def without_network(arrays: Arrays) -> Arrays:
    """A model whose network says nothing."""
    return {name: array for name, array in arrays.items() if not name.startswith("network.")}


def without_view(arrays: Arrays) -> Arrays:
    """A model whose network sees the window alone."""
    weights = arrays["network.first.weight"].copy()
    weights[PLACES:] = 0
    return {**arrays, "network.first.weight": weights}


def with_contexts(*pixels: int) -> Callable[[Arrays], Arrays]:
    """A model of these contexts alone; those it has of them keep their weights, others have none to begin with."""

    def changed(arrays: Arrays) -> Arrays:
        had, old = [int(one) for one in arrays["contexts"]], arrays["mixers"]
        mixers = np.zeros((len(old), 2 * (len(pixels) + REFERRED + ALONG) + OTHERS), old.dtype)
        for kind, one in enumerate(pixels):
            if one in had:
                mixers[:, 2 * kind : 2 * kind + 2] = old[:, 2 * had.index(one) : 2 * had.index(one) + 2]
        mixers[:, 2 * len(pixels) :] = old[:, 2 * len(had) :]
        return {**arrays, "contexts": np.array(pixels, np.uint8), "mixers": mixers}

    return changed


def untaught(arrays: Arrays) -> Arrays:
    """Mixers that begin with trust in all alike, and in the network."""
    mixers, inputs = np.zeros_like(arrays["mixers"]), arrays["mixers"].shape[1] - OTHERS
    mixers[:, :inputs], mixers[:, inputs] = _UNIT // inputs, _UNIT // 2
    calm = np.where(np.arange(CALM_INPUTS) < CALM_INPUTS - 1, _UNIT // (CALM_INPUTS - 1), 0).astype(np.int32)
    return {**arrays, "mixers": mixers, "finals": np.full(len(SETS), _UNIT // len(SETS), np.int32), "calm": calm}


def alone(arrays: Arrays) -> Arrays:
    """The average of one mixer is what it says."""
    return {**arrays, "finals": np.full(len(SETS), _UNIT, np.int32)}


PARTS = {
    "all": Part(),
    "network": Part(without_network),
    "places in the network": Part(without_view),
    "last layer": Part(names=[(network, {"_RATE": 0})]),
    "more contexts": Part(with_contexts(12, 16, 22, 30, 40, 52, 70)),
    "contexts": Part(with_contexts(1, 2, 3)),
    "edges": Part(names=[(contexts, {"along": not_along})]),
    "similar places": Part(names=[(similar, {"find": no_place})]),
    "other places": Part(names=[(similar, {"find": one_place})]),
    "three mixers": Part(alone, [(mixing, {"_MIXERS": 1})]),
    "average": Part(names=[(mixing, {"_SLOW": 0})]),
    "refining": Part(names=[(mixing, {"refine": unrefined})]),
    "learning": Part(names=[(mixing, {"_RATE": 0, "_SLOW": 0})]),
    "teaching": Part(untaught),
    "calm": Part(names=[(contexts, {"enter": lively})]),
    "blank rows": Part(names=[(walk, {"_coded_blank": no_blank_row})]),
    "quality 50": Part(quality=50),
    "quality 0": Part(quality=0),
}
"""What is left out, or with a quality added."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder of pages")
    parser.add_argument("--drawings", type=Path, required=True, help="a folder of icons, codes and signatures")
    parser.add_argument("--json", type=Path, default=Path("results/page_parts.json"))
    arguments = parser.parse_args()
    pages, drawings = [*first_pages(arguments.data)], sorted(arguments.drawings.glob("*.png"))
    made = {
        "pages": [path.name for path in pages],
        "drawings": [path.name for path in drawings],
        "most": [WIDTH, HEIGHT],
        "pixels": sum(read_bits(path).size for path in pages),
        "parts": {},
    }
    with get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        for name, row in pool.imap(measured, [(name, pages, drawings) for name in PARTS], chunksize=1):
            made["parts"][name] = row
            print(name, row, flush=True)
            arguments.json.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")


def first_pages(folder: Path) -> list[Path]:
    """Of each document one page."""
    found = dict[str, Path]()
    for path in sorted(held_out(folder)):
        found.setdefault(path.name.split(".")[0], path)
    return [*found.values()]


def measured(task: tuple[str, Sequence[Path], Sequence[Path]]) -> tuple[str, dict[str, Any]]:
    """What the streams of pages and drawings take without a part, in bytes, and the seconds of the pages."""
    name, pages, drawings = task
    part = PARTS[name]
    for module, values in part.names:
        for one, value in values.items():
            assert hasattr(module, one)
            setattr(module, one, value)
    start = start_of(part.arrays(dict(zoo.named(zoo.INK).arrays)))  # type: ignore[attr-defined]
    hand = Hand(uncached(binary.begin), uncached(walk.walk), uncached(binary.finish), True)
    sizes, began = {"drawings": 0, "pages": 0}, 0.0
    for kind, paths in (("drawings", drawings), ("pages", pages)):
        began = time.process_time()  # of drawings it is not used, since they compile
        for path in paths:
            bits = smoothed(read_bits(path), part.quality)
            data = stream.encode(start, bits, hand=hand)
            assert data is not None
            sizes[kind] += len(data)
            if kind == "drawings":
                assert np.array_equal(stream.decode(start, data, *bits.shape, hand=hand), bits)
    return name, {**sizes, "seconds": round(time.process_time() - began, 1)}


def read_bits(path: Path) -> Bits:
    """A picture, or its middle: (H, W) of 0 and 1."""
    two = read_picture(path.read_bytes(), path.name).raster.in_two()
    assert two is not None
    bits = two.two_levels()
    top, left = (max(0, size - most) // 2 for size, most in zip(bits.shape, (HEIGHT, WIDTH), strict=True))
    return np.ascontiguousarray(bits[top : top + HEIGHT, left : left + WIDTH])


if __name__ == "__main__":
    main()
