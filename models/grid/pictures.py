"""Training pictures: folders that need not fit into memory, crops scaled anew at each look.

A source is a folder with how its pictures are looked at: `scaled` ones (photographs that went through lossy codecs) at a
random scale, which washes out what the codecs left; others, lossless ones, at their own size. A thread decodes and crops
while the model trains; decoded pictures are kept up to a limit of bytes, and replaced at random.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vlae_codec.picture.scaling import grayed, read_rgb, scaled

Crops = npt.NDArray[np.uint8]
"""Training crops: (B, S, S, 3) RGB."""
_SCALES = 0.4, 0.75
_GRAY = 0.06
"""Share of crops that are shown without their colours."""


@dataclass(frozen=True)
class Source:
    """A folder of training pictures. weight: the share of looks; scaled: at a random scale, or as they are."""

    files: tuple[Path, ...]
    weight: float
    scaled: bool


class Pictures:
    """An endless stream of batches of crops, made from a seed by a thread, which ends with what is iterated over."""

    def __init__(
        self, sources: Sequence[Source], size: int, batch: int, seed: int, memory_bytes: int = 3 << 30
    ) -> None:
        self.sources, self.size, self.batch, self.memory_bytes = sources, size, batch, memory_bytes
        self._rng = np.random.default_rng(seed)
        self._kept: dict[Path, npt.NDArray[np.uint8]] = {}
        self._bytes = 0
        self._ready: queue.Queue[Crops] = queue.Queue(4)
        self._stop = threading.Event()

    def __iter__(self) -> Iterator[Crops]:
        threading.Thread(target=self._work, daemon=True).start()
        try:
            while True:
                yield self._ready.get()
        finally:
            self._stop.set()

    def _work(self) -> None:
        while not self._stop.is_set():
            made = np.stack([self._crop() for _ in range(self.batch)])
            while not self._stop.is_set():
                try:
                    self._ready.put(made, timeout=1.0)
                    break
                except queue.Full:
                    continue

    def _crop(self) -> npt.NDArray[np.uint8]:
        rng = self._rng
        weights = np.array([one.weight for one in self.sources])
        chosen = self.sources[rng.choice(len(weights), p=weights / weights.sum())]
        picture = self._picture(chosen.files[rng.integers(len(chosen.files))])
        scale = rng.uniform(*_SCALES) if chosen.scaled else 1.0
        side = min(round(self.size / scale), *picture.shape[:2])
        row, column = (rng.integers(length - side + 1) for length in picture.shape[:2])
        crop = picture[row : row + side, column : column + side]
        if side != self.size:
            crop = scaled(crop, self.size, self.size, area=rng.random() < 0.5)
        if rng.random() < 0.5:
            crop = crop[:, ::-1]
        if rng.random() < 0.25:
            crop = crop.transpose(1, 0, 2)
        if rng.random() < _GRAY:
            crop = grayed(crop)
        return crop

    def _picture(self, path: Path) -> npt.NDArray[np.uint8]:
        if path not in self._kept:
            decoded = read_rgb(path)
            while self._kept and self._bytes + decoded.nbytes > self.memory_bytes:
                dropped = list(self._kept)[self._rng.integers(len(self._kept))]
                self._bytes -= self._kept.pop(dropped).nbytes
            self._kept[path] = decoded
            self._bytes += decoded.nbytes
        return self._kept[path]
