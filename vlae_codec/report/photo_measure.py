"""The codec measured on somebody's own photographs, beside the codecs that one would pick instead.

In: photographs in RGB. Out: a `PhotoMeasurement`: whole exact files and their times; curves of lossy files, decoded with and
without drawn texture; how many bytes more or fewer equal quality takes; and crops of files of one size side by side.

Everything is written and decoded again; what is lossless is compared. What is done is kept on disk until all is, picture by
picture, so that a measurement which was stopped goes on.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

import numpy as np

from vlae_codec import codec
from vlae_codec.errors import Progress, VlaeError
from vlae_codec.family import DEFAULT_EFFORT, Ask, Coder, Sampling
from vlae_codec.picture.raster import Kind, PixelFormat, Raster

from . import photo_codecs, rates
from .kept import Kept, place
from .photo_codecs import Baseline
from .quality import METRICS, SMALLEST_SIDE, Samples
from .rates import Point

Row = dict[str, Any]
QUALITIES = (0, 15, 30, 45, 60, 75)
"""Of the files of our curves."""
AT_ZERO, AT_DEFAULT = Sampling(temperature=0.0), Sampling()
OURS = "ours", "ours_mean"
"""Our curves: as files decode by default, and without drawn texture."""
_CROP, _CROP_QUALITY = 160, 30
MOST_CROPS = 4


@dataclass(frozen=True)
class Photographs:
    """Photographs to measure, (H, W, 3) uint8 each: where they came from, their names, and what was done to get them."""

    source: str
    names: list[str]
    samples: list[Samples]
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Crop:
    """A piece of a picture as files of one size show it: (title, bytes of the whole file or None, samples) of each."""

    name: str
    shown: list[tuple[str, int | None, Samples]]


@dataclass(frozen=True)
class PhotoMeasurement:
    """What was measured.

    exact: by codec its name, bytes of each picture, seconds to compress and decompress all. lossy: by codec its name and the
    points of its curve (see `rates`), each with seconds. bd_rate: by curve of ours, metric and anchor as of
    `rates.compared`. metrics: what was measured of decoded pictures.
    """

    source: str
    model: str
    sha256: str
    names: list[str]
    pixels: list[int]
    metrics: list[str]
    exact: dict[str, Row]
    lossy: dict[str, Row]
    bd_rate: dict[str, dict[str, dict[str, dict[str, float | None]]]]
    crops: list[Crop]
    unavailable: list[str]
    notes: list[str]


def measure(
    photographs: Photographs,
    model: Coder,
    effort: int = DEFAULT_EFFORT,
    with_baselines: bool = True,
    *,
    crops: int = MOST_CROPS,
    progress: Progress | None = None,
) -> PhotoMeasurement:
    """All that there is to measure, and so many crops at most.

    What is done is kept on disk until all is, and a later call goes on from there.

    Raises:
        VlaeError: what is lossless does not decode to what it was.
    """
    notes, unavailable = list(photographs.notes), photo_codecs.unavailable() if with_baselines else []
    work = _Work(
        Kept(place(_content(photographs, model, effort, with_baselines))), progress, _metrics(photographs, notes)
    )
    ours = _Ours(model, effort)
    exact_codecs = [ours.exact, *(photo_codecs.available(photo_codecs.LOSSLESS) if with_baselines else ())]
    lossy_codecs = photo_codecs.available(photo_codecs.LOSSY) if with_baselines else []
    work.total = len(photographs.names) * (
        len(exact_codecs) + len(QUALITIES) + sum(len(c.settings) for c in lossy_codecs)
    )
    exact = {one.key: work.exact(one, photographs) for one in exact_codecs}
    lossy = work.ours(ours, photographs)
    lossy |= {one.key: work.lossy(one, photographs) for one in lossy_codecs}
    pixels = [x.shape[0] * x.shape[1] for x in photographs.samples]
    found = PhotoMeasurement(
        source=photographs.source,
        model=model.name,
        sha256=model.digest.hex(),
        names=photographs.names,
        pixels=pixels,
        metrics=work.metrics,
        exact=exact,
        lossy=lossy,
        bd_rate=_bd_rates(lossy, work.metrics, pixels, notes) if with_baselines else {},
        crops=[_crop(name, x, ours, lossy_codecs) for name, x in _some(photographs, crops)],
        unavailable=unavailable,
        notes=[*notes, "Everything was decoded again: exact files give every pixel back."],
    )
    work.kept.clear()
    return found


def together(parts: Sequence[PhotoMeasurement]) -> PhotoMeasurement:
    """One measurement of several of the same model, of different photographs."""
    if len(parts) == 1:
        return parts[0]
    pixels, metrics = [n for part in parts for n in part.pixels], [*parts[0].metrics]
    metrics = [name for name in metrics if all(name in part.metrics for part in parts)]
    notes = [*dict.fromkeys(note for part in parts for note in part.notes)]
    lossy = {key: _joined_curve([part.lossy[key] for part in parts], metrics, pixels) for key in parts[0].lossy}
    crops = [crop for part in parts for crop in part.crops]
    shown = {*np.linspace(0, len(crops) - 1, MOST_CROPS).astype(int).tolist()} if crops else set[int]()
    return replace(
        parts[0],
        names=[name for part in parts for name in part.names],
        pixels=pixels,
        metrics=metrics,
        exact={key: _joined([part.exact[key] for part in parts]) for key in parts[0].exact},
        lossy=lossy,
        bd_rate=_bd_rates(lossy, metrics, pixels, notes) if {*lossy} - {*OURS} else {},
        crops=[crops[at] for at in sorted(shown)],
        notes=[*notes, f"Measured in {len(parts)} parts."],
    )


def _joined(rows: Sequence[Row]) -> Row:
    """Rows of different pictures as one: lists one after the other, all else as the first has it."""
    return {
        key: [one for row in rows for one in row[key]] if isinstance(value, list) else value
        for key, value in rows[0].items()
    }


def _joined_curve(curves: Sequence[Row], metrics: Sequence[str], pixels: Sequence[int]) -> Row:
    """The curve of one codec, of curves of different pictures, with those metrics."""
    settings, left = [point["setting"] for point in curves[0]["points"]], {*METRICS} - {*metrics}
    by = [{point["setting"]: point for point in curve["points"]} for curve in curves]
    points = [{k: v for k, v in _joined([one[setting] for one in by]).items() if k not in left} for setting in settings]
    for point in points:
        point["bpp"] = float(np.mean(8 * np.array(point["bytes"]) / pixels))
    return {**curves[0], "points": sorted(points, key=lambda point: float(point["bpp"]))}


def summary(found: PhotoMeasurement) -> Row:
    """All but the crops, ready for JSON."""
    return {key: value for key, value in vars(found).items() if key != "crops"}


def _content(photographs: Photographs, model: Coder, effort: int, with_baselines: bool) -> Iterator[bytes]:
    """All that results depend on."""
    yield model.digest
    yield json.dumps([effort, with_baselines, photo_codecs.versions()]).encode()
    for samples in photographs.samples:
        yield repr(samples.shape).encode() + samples.tobytes()


def _metrics(photographs: Photographs, notes: list[str]) -> list[str]:
    """What can be measured of these pictures, with what is installed."""
    found = list(METRICS)
    if min(min(x.shape[:2]) for x in photographs.samples) < SMALLEST_SIDE:
        found.remove("ms_ssim_db")
        notes.append(f"MS-SSIM was not measured: it needs pictures of at least {SMALLEST_SIDE} pixels each way.")
    try:
        METRICS["ssimulacra2"](*2 * [np.zeros((64, 64, 3), np.uint8)])
    except VlaeError as error:
        found.remove("ssimulacra2")
        notes.append(f"SSIMULACRA 2 was not measured: {error}.")
    return found


@dataclass(frozen=True)
class _Ours:
    """This codec, as baselines are."""

    model: Coder
    effort: int

    @property
    def exact(self) -> Baseline:
        """Exact files."""
        ask = Ask(lossless=True, effort=self.effort)
        return Baseline("ours", "vlae-codec, exact", lambda x, _: self._file(x, ask), self.decode)

    def lossy(self, samples: Samples, quality: float) -> bytes:
        """A lossy file."""
        return self._file(samples, Ask(quality=quality, effort=self.effort))

    def decode(self, data: bytes, sampling: Sampling = AT_DEFAULT) -> Samples:
        """In RGB."""
        found = codec.decode([data], sampling, model=self.model)[0].raster.colours()
        return np.repeat(found, 3 // found.shape[2], axis=2).astype(np.uint8)

    def _file(self, samples: Samples, ask: Ask) -> bytes:
        view = self.model.view(Raster(samples, PixelFormat(Kind.RGB)), ask)
        (made,) = codec.encode_views([view], self.model, ask)
        return made.data


@dataclass
class _Work:
    """What is measured picture by picture; each result is kept."""

    kept: Kept
    progress: Progress | None
    metrics: list[str]
    total: int = 0
    done: int = 0

    def part(self, name: str, what: str, make: Callable[[], Row]) -> Row:
        """A result, made now or kept from an earlier run."""
        made = self.kept.part(name, lambda: {"json": np.array(json.dumps(make()))})
        found: Row = json.loads(str(made["json"]))
        self.done += 1
        if self.progress:
            self.progress(what, self.done, self.total)
        return found

    def exact(self, one: Baseline, photographs: Photographs) -> Row:
        """Exact files of all pictures."""
        rows = [
            self.part(f"exact-{one.key}-{at}", one.name, partial(_exact, one, x))
            for at, x in enumerate(photographs.samples)
        ]
        return {"name": one.name, **{key: [row[key] for row in rows] for key in rows[0]}}

    def lossy(self, one: Baseline, photographs: Photographs) -> Row:
        """The curve of a codec."""
        points = []
        for setting in one.settings:
            rows = [
                self.part(f"{one.key}-{setting}-{at}", one.name, partial(self._shown, one, x, setting))
                for at, x in enumerate(photographs.samples)
            ]
            points.append(_point(setting, rows, photographs.samples))
        return {"name": one.name, "points": sorted(points, key=lambda point: float(point["bpp"]))}

    def ours(self, one: _Ours, photographs: Photographs) -> dict[str, Row]:
        """Our two curves, of the same files."""
        curves: dict[str, list[Point]] = {key: [] for key in OURS}
        for quality in QUALITIES:
            rows = [
                self.part(f"ours-{quality}-{at}", "vlae-codec", partial(self._both, one, x, quality))
                for at, x in enumerate(photographs.samples)
            ]
            for key in OURS:
                curves[key].append(_point(quality, [row[key] for row in rows], photographs.samples))
        names = "vlae-codec", "vlae-codec, without texture"
        return {key: {"name": name, "points": curves[key]} for key, name in zip(OURS, names, strict=True)}

    def _both(self, one: _Ours, samples: Samples, quality: float) -> Row:
        data, seconds = _timed(lambda: one.lossy(samples, quality))
        made = {"bytes": len(data), "encode_seconds": seconds}
        ways = zip(OURS, (AT_DEFAULT, AT_ZERO), strict=True)
        return {key: made | self._judged(samples, partial(one.decode, data, sampling)) for key, sampling in ways}

    def _shown(self, one: Baseline, samples: Samples, setting: float) -> Row:
        data, seconds = _timed(lambda: one.encode(samples, setting))
        return {"bytes": len(data), "encode_seconds": seconds, **self._judged(samples, lambda: one.decode(data))}

    def _judged(self, original: Samples, decode: Callable[[], Samples]) -> Row:
        decoded, seconds = _timed(decode)
        judged = {name: round(METRICS[name](original, decoded), 4) for name in self.metrics}
        return {"decode_seconds": seconds, **judged}


T = TypeVar("T")


def _timed(make: Callable[[], T]) -> tuple[T, float]:
    """What is made, and in how many seconds."""
    begun = time.perf_counter()
    made = make()
    return made, time.perf_counter() - begun


def _exact(one: Baseline, samples: Samples) -> Row:
    data, encode_seconds = _timed(lambda: one.encode(samples, 0))
    shown, decode_seconds = _timed(lambda: one.decode(data))
    if not np.array_equal(shown, samples):
        raise VlaeError(f"a file of {one.name} does not decode to what was coded: please report this")
    return {"bytes": len(data), "encode_seconds": encode_seconds, "decode_seconds": decode_seconds}


def _point(setting: float, rows: Sequence[Row], samples: Sequence[Samples]) -> Point:
    """One setting on all pictures, as `rates.point` has it."""
    bpp = [8 * row["bytes"] / (x.shape[0] * x.shape[1]) for row, x in zip(rows, samples, strict=True)]
    return {"setting": setting, "bpp": float(np.mean(bpp)), **{key: [row[key] for row in rows] for key in rows[0]}}


def _bd_rates(
    lossy: dict[str, Row], metrics: Sequence[str], pixels: Sequence[int], notes: list[str]
) -> dict[str, dict[str, dict[str, dict[str, float | None]]]]:
    try:
        return {
            ours: {
                metric: {
                    key: rates.compared(row["points"], lossy[ours]["points"], metric, pixels)
                    for key, row in lossy.items()
                    if key not in OURS
                }
                for metric in metrics
            }
            for ours in OURS
        }
    except VlaeError as error:
        notes.append(f"No BD-rates: {error}.")
        return {}


def _some(photographs: Photographs, most: int) -> list[tuple[str, Samples]]:
    """A few pictures from all over the set."""
    which = np.unique(np.linspace(0, len(photographs.names) - 1, most).astype(int))
    return [(photographs.names[at], photographs.samples[at]) for at in which]


def _crop(name: str, samples: Samples, ours: _Ours, codecs: Sequence[Baseline]) -> Crop:
    """The middle of a picture: the original, ours, and what others make of as many bytes, or a little fewer."""
    data = ours.lossy(samples, _CROP_QUALITY)
    shown: list[tuple[str, int | None, Samples]] = [("original", None, _middle(samples))]
    for title, sampling in ("vlae-codec", AT_DEFAULT), ("without texture", AT_ZERO):
        shown.append((title, len(data), _middle(ours.decode(data, sampling))))
    for one in codecs:
        if not one.key.endswith("_psnr") and (made := one.within(samples, len(data))) is not None:
            shown.append((one.name.partition(",")[0], len(made), _middle(one.decode(made))))
    return Crop(name, shown)


def _middle(samples: Samples) -> Samples:
    height, width = (min(_CROP, size) for size in samples.shape[:2])
    top, left = (samples.shape[0] - height) // 2, (samples.shape[1] - width) // 2
    return samples[top : top + height, left : left + width]
