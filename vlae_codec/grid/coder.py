"""The photo family behind the seam: rasters to sections, and back.

    view      gray or RGB samples of 8 bits, and alpha beside them; what is neither is converted for lossy files
    encode    latents at the quality asked for, and of exact files every tile's pixels given them
    decode    the latents, the decoded picture block by block, and of exact files the pixels of its tiles

An exact file begins with the lossy file at the quality at which its code pays for itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from vlae_codec import raw
from vlae_codec.errors import FormatError, ImageError, ModelError, Progress
from vlae_codec.exact.logistics import MEAN_BITS
from vlae_codec.exact.memory import give_back
from vlae_codec.exact.threads import in_threads
from vlae_codec.family import OF_DRAWING, Ask, Banded, Decoded, Identity, Sampling, Sections, Terms
from vlae_codec.picture.raster import Geometry, Kind, PixelFormat, Raster

from . import adaptation, latents, pixels, sections
from .choosing import REFINED_FROM, Chosen, Search, passes_of, passes_within
from .colour import Planes
from .decoding import Painter, Samples, pixel_check, planes_of
from .model import Model
from .network import PATCH, Arrays, Latents
from .passes import Passes
from .sections import Found
from .texture import Texture
from .tiles import Box, Region, blocks, decode_block, spread, tile_count, tile_number, tiles_of

DEFAULT_QUALITY = 55.0
"""On the scale of 0 to 100 that users see."""
PREVIEW_GROUPS = 2
"""Groups of latents that a preview decodes: the means of luma and of both chromas."""
_CORRECTIONS, _PIXELS, _DECODED = 1.0, 3.5, 1.0
"""What these take: the corrections, the pixels of exact files, the decoded picture of others; in passes over the latents."""
_HOPED_SIDE, _HOPED = 32, 0.5  # of the blocks from which a file is estimated; of what they say, as they are few

Regions = Callable[[Box], Region]
"""A block of a picture -> how it is decoded."""


class Looked(NamedTuple):
    """What the PixelCNN's last layer sees of n pixels: inner (n, C), and their predictions (n, 3)."""

    inner: npt.NDArray[np.int16]
    predicted: npt.NDArray[np.int16]


@dataclass(frozen=True)
class GridView:
    """A picture of 8-bit samples: `colours` (H, W, 3), `alpha` (H, W) or None; gray pictures have three equal channels."""

    geometry: Geometry
    colours: Samples
    alpha: Samples | None
    note: str | None = None

    @property
    def raster(self) -> Raster:
        """What an exact file decodes to."""
        return _raster(self.colours, self.alpha, self.geometry.format)

    @property
    def gray(self) -> bool:
        """Whether it has no chroma."""
        return self.geometry.format.kind == Kind.GRAY


@dataclass(frozen=True)
class GridParsed:
    """A file taken apart; `qualities` is how many its model has."""

    geometry: Geometry
    found: Found
    start: int
    qualities: int

    @property
    def whole(self) -> bool:
        """Whether all of it is there and its checks hold."""
        return self.found.complete

    def about(self) -> dict[str, Any]:
        """What the file says of itself, with the bytes at which its parts end or begin."""
        ends, begins = [self.start + end for end in self.found.ends], self.found.begins
        about: dict[str, Any] = {
            "kind": "lossless" if self.found.exact else "lossy",
            "quality": _quality_of(self.found.quality, self.qualities),
            "quality_level": self.found.quality,
            "preview_ends_at_byte": ends[PREVIEW_GROUPS],
            "first_group_ends_at_byte": ends[1],
            "latents_end_at_byte": ends[-1],
            "corrections_bytes": len(self.found.corrections),
            "tiles": len(self.found.tiles) if self.found.tiles is not None else 0,
        }
        if begins.alpha is not None:
            about["alpha_begins_at_byte"] = self.start + begins.alpha
        if begins.corrections is not None:
            about["corrections_begin_at_byte"] = self.start + begins.corrections
        if begins.tiles:
            tiles = [self.start + tile for tile in begins.tiles]
            about |= {"first_tile_begins_at_byte": tiles[0], "last_tile_begins_at_byte": tiles[-1]}
            about["tiles_begin_at_byte"] = tiles
        return about


@dataclass(frozen=True)
class GridCoder:
    """A photo model that codes."""

    identity: Identity
    arrays: Arrays
    family: str = "grid"
    version: int = 2

    def check(self) -> None:
        """Codes a picture: a folder may hold anything.

        Raises:
            ModelError: the parts do not fit each other, or an array has values that it cannot have.
        """
        view = GridView(Geometry(16, 8, PixelFormat(Kind.RGB)), np.full((8, 16, 3), 99, np.uint8), None)
        try:
            made = self._encode(view, Ask(lossless=True), None)
            self._decode(self.parse(view.geometry, made.data, 0), [Sampling(), Sampling(preview=True)], None)
        except (FormatError, ValueError, IndexError, TypeError, KeyError, OverflowError) as error:
            raise ModelError(f"the parts of the model {self.name!a} do not fit each other: {error}") from error

    @property
    def name(self) -> str:
        """The model's name, for people."""
        return self.identity.name

    @property
    def digest(self) -> bytes:
        """The SHA-256 of its weights."""
        return self.identity.digest

    @property
    def qualities(self) -> int:
        """How many steps of quality there are."""
        return self.model.qualities

    @cached_property
    def model(self) -> Model:
        """The networks."""
        return Model(self.arrays)

    def view(self, raster: Raster, ask: Ask) -> GridView:
        """The picture as this model codes it.

        Raises:
            ImageError: an exact file is asked for of samples that are not of 8 bits.
        """
        form = raster.format
        if ask.lossless and (form.pair or form.palette or form.depth == 16):
            what = "16 bits a sample" if form.depth == 16 else "two colours" if form.pair else "a palette"
            raise ImageError(f"the photo model keeps gray and colour pictures of 8 bits exactly, not those of {what}")
        stored, note = raster.colours(), None
        if stored.dtype == np.uint16:
            note = "16 bits a sample became 8"
            samples = ((np.arange(1 << 16) * 255 + 32767) // 65535).astype(np.uint8).take(stored)
        else:
            samples = stored.astype(np.uint8, copy=False)
        alpha = samples[..., -1] if samples.shape[2] in (2, 4) else None
        opaque = samples[..., : samples.shape[2] - (alpha is not None)]
        if not ask.lossless:
            gray = bool((opaque[..., :1] == opaque).all())
            form = PixelFormat(Kind.GRAY if gray else Kind.RGB, 8, alpha is not None)
            opaque = opaque[..., :1] if gray else opaque
        geometry = Geometry(samples.shape[1], samples.shape[0], form)
        return GridView(geometry, np.broadcast_to(opaque, (*samples.shape[:2], 3)), alpha, note)

    def least_bits(self, geometry: Geometry) -> int:
        """The fewest bits that a whole file of such a picture holds."""
        return 8 * (2 + len(self.model.prior.groups) + 2 + 4)

    def encode(self, views: Sequence[GridView], ask: Ask, progress: Progress | None = None) -> list[Sections]:
        """Codes pictures one by one, each on all cores."""
        return [self._encode(view, ask, progress) for view in views]

    def _encode(self, view: GridView, ask: Ask, progress: Progress | None) -> Sections:
        alpha = raw.encode_plane(view.alpha, ask.effort) if view.alpha is not None else None
        is_long = tile_count(view.geometry.height, view.geometry.width) > 1
        passes = Passes(progress if is_long else None, self._passes(ask))
        chosen = self._chosen(view, ask, alpha, passes)
        quality, coded, z = chosen.quality, chosen.coded, chosen.z
        z <<= MEAN_BITS
        # a picture of one block is decoded once, for all
        decoded = lru_cache(1)(partial(decode_block, self.model.decoder, z, quality, gray=view.gray))
        looked = self._looked(view, decoded) if ask.lossless and ask.effort else {}
        corrections = self._corrections(view, looked) if looked else b""
        passes.add(1, 1, _CORRECTIONS if ask.lossless else 0.0)
        texture = self.model.corrected(corrections) if ask.lossless else None
        tiles, pixel_bits, error, differing = self._tiles(view, decoded, texture, looked, passes)
        del chosen, z, decoded, looked  # which are larger than the file
        data = sections.write(sections.Content(quality, coded.streams, alpha, tiles, corrections))
        pixel_bits += 8 * len(corrections)
        stored = 8 * sum(map(len, [*coded.streams, corrections, *(stream for _, stream in tiles or ())]))
        figures = {} if ask.lossless else {"psnr_db": _psnr(error)}
        figures |= {} if alpha is None else {"opacity_bits": 8.0 * len(alpha)}
        passes.end()
        return Sections(
            data,
            kl_bits=coded.kl_bits,
            distortion_bits=pixel_bits,
            ideal_bits=coded.ideal_bits + pixel_bits,
            coded_bits=float(stored),
            differing_samples=differing,
            figures={**figures, "quality": quality, "latent_bits": 8.0 * sum(map(len, coded.streams))},
        )

    def _passes(self, ask: Ask) -> float:
        """How many passes over a picture its file takes, about."""
        if ask.lossless:
            return passes_of(min(ask.effort, REFINED_FROM)) + _CORRECTIONS + _PIXELS
        rated = ask.size_bytes is not None or ask.bpp is not None
        return (passes_within(self.qualities, ask.effort) if rated else passes_of(ask.effort)) + _DECODED

    def _chosen(self, view: GridView, ask: Ask, alpha: bytes | None, passes: Passes) -> Chosen:
        """The latents that are asked for.

        Raises:
            ImageError: no quality is as small as that.
        """
        search = Search(self.model, view.colours, passes=passes)
        if ask.lossless:
            return search.chosen(int(self.arrays["exact_quality"]), min(ask.effort, REFINED_FROM))
        if ask.size_bytes is None and ask.bpp is None:
            wanted = DEFAULT_QUALITY if ask.quality is None else ask.quality
            return search.chosen(_level_of(wanted, self.qualities), ask.effort)
        pixels = view.geometry.width * view.geometry.height
        size = ask.size_bytes if ask.size_bytes is not None else (ask.bpp or 0.0) * pixels / 8

        def size_of(coded: latents.Coded, quality: int) -> int:
            return ask.around_bytes + len(sections.write(sections.Content(quality, coded.streams, alpha, None)))

        return search.within(size, size_of, ask.effort)

    def _looked(self, view: GridView, decoded: Regions) -> dict[Box, Looked]:
        """What the PixelCNN's last layer sees, of all tiles of a small picture, and of boxes spread over a large one."""
        height, width = view.colours.shape[:2]
        found, looked = blocks(height, width), dict[Box, Looked]()
        is_small = height * width <= _SMALL_PIXELS
        texture = self.model.texture

        def look(box: Box) -> tuple[Box, Looked]:
            return box, Looked(*texture.inner(_planes(view, box), region.tiles(texture, [box], width)))

        few = found if is_small else found[:: -(-len(found) // _BLOCKS_SEEN)]
        for block in few:
            region = decoded(block)
            boxes = list(tiles_of(block)) if is_small else spread(block, _BOXES_SEEN // len(few), _SEEN)
            looked |= dict(in_threads(look, boxes))
        return looked

    def _corrections(self, view: GridView, looked: Mapping[Box, Looked]) -> bytes:
        """What the PixelCNN is told of this picture; nothing if that does not pay."""
        height, width = view.colours.shape[:2]
        residuals = [_planes(view, box).reshape(-1, 3) - one.predicted for box, one in looked.items()]
        inner, channels = np.concatenate([one.inner for one in looked.values()]), 1 if view.gray else 3
        corrections = adaptation.fit(
            self.model.texture.output, inner, np.concatenate(residuals), channels, height * width
        )
        return adaptation.write(corrections) if corrections else b""

    def _tiles(
        self,
        view: GridView,
        decoded: Regions,
        texture: Texture | None,
        looked: Mapping[Box, Looked],
        passes: Passes,
    ) -> tuple[list[tuple[bytes, bytes]] | None, float, float, int]:
        """The tiles of an exact file and the information in their pixels, given its texture; the decoded picture's mean
        squared error; and how many pixels of what the file decodes to differ.
        """
        height, width = view.colours.shape[:2]
        tiles: dict[int, tuple[bytes, bytes]] = {}
        bits, squares, differing, count = 0.0, 0.0, 0, tile_count(height, width)
        for block in blocks(height, width):
            region = decoded(block)
            own = view.colours[block.top : block.bottom, block.left : block.right]
            differences = region.picture().astype(np.int32) - own
            squares += float((differences**2).sum())
            differing += int(differences.any(axis=2).sum())
            if texture is None:
                passes.add(block.height * block.width, height * width, _DECODED)
                continue

            def write(box: Box, region: Region = region, texture: Texture = texture) -> tuple[Box, bytes, pixels.Coded]:
                x = _planes(view, box)
                if box in looked:
                    said = texture.said(*looked[box])
                else:
                    said = texture.parameters(x, region.tiles(texture, [box], width))
                check = pixel_check(view.colours[box.top : box.bottom, box.left : box.right])
                return box, check, pixels.write(said, x, 1 if view.gray else 3)

            for box, check, coded in in_threads(write, list(tiles_of(block))):
                tiles[tile_number(box, width)] = check, coded.stream
                bits += coded.ideal_bits
                passes.add(box.height * box.width, height * width, _PIXELS)
            give_back()
        error = squares / view.colours.size
        return (None, bits, error, differing) if texture is None else ([tiles[i] for i in range(count)], bits, error, 0)

    def hoped_bits(self, view: GridView, enough_bits: float = math.inf) -> float:
        """See `family.Estimating`: from a few blocks of the picture, side by side."""
        height, width = view.colours.shape[:2]
        if min(height, width) < 2 * _HOPED_SIDE:
            return 0.0
        down, across = ([0, (size - _HOPED_SIDE) // 2, size - _HOPED_SIDE] for size in (height, width))
        some = np.concatenate(
            [
                np.concatenate([view.colours[y : y + _HOPED_SIDE, x : x + _HOPED_SIDE] for x in across], axis=1)
                for y in down
            ]
        )
        part = GridView(Geometry(some.shape[1], some.shape[0], view.geometry.format), some, None)
        coded = self._encode(part, Ask(lossless=True), None)
        scale = height * width / (some.shape[0] * some.shape[1])
        return float(_HOPED * 8 * len(coded.data) * scale)

    def parse(self, geometry: Geometry, data: bytes, at: int, partial: bool = False) -> GridParsed:
        """Takes sections apart.

        Raises:
            FormatError: it is not of a format that this family has.
            FormatError, TruncatedError: as of `sections.read`.
        """
        form = geometry.format
        if form.kind == Kind.PALETTE or form.pair or form.depth == 16:
            raise FormatError(
                "the file says it is a photograph in two colours, with a palette or 16 bits a sample: it is damaged"
            )
        tiles = tile_count(geometry.height, geometry.width)
        found = sections.read(
            data, at, len(self.model.prior.groups), self.model.qualities, tiles, geometry.format.alpha, partial
        )
        return GridParsed(geometry, found, at, self.qualities)

    def decode(
        self, files: Sequence[GridParsed], samplings: Sequence[Sampling], progress: Progress | None = None
    ) -> list[list[Decoded]]:
        """For each file, a picture for each sampling.

        Raises:
            FormatError: a file turns out to be damaged.
            ImageError: a region lies beyond the border of the picture.
        """
        return [self._decode(file, samplings, _among(progress, place, len(files))) for place, file in enumerate(files)]

    def _decode(self, file: GridParsed, samplings: Sequence[Sampling], progress: Progress | None) -> list[Decoded]:
        read: dict[bool, Latents] = {}
        made: dict[Sampling, Decoded] = {}
        for sampling in samplings:
            if sampling.preview not in read:
                read[sampling.preview] = self._latents(file, sampling.preview)
            if sampling not in made:
                made[sampling] = self._bands(file, read[sampling.preview], sampling, progress).joined()
        return [made[sampling] for sampling in samplings]

    def bands(self, file: GridParsed, sampling: Sampling, progress: Progress | None = None) -> Banded:
        """See `family.Banding`: a band is a row of blocks."""
        return self._bands(file, self._latents(file, sampling.preview), sampling, progress)

    def _latents(self, file: GridParsed, preview: bool) -> Latents:
        """The latents of a file, or those of a preview."""
        geometry, found = file.geometry, file.found
        shape = -(-geometry.height // PATCH), -(-geometry.width // PATCH)
        prior = self.model.prior.of_first(PREVIEW_GROUPS) if preview else self.model.prior
        count = len(prior.groups)
        return latents.read(prior, found.groups[:count], found.whole[:count], shape, found.quality)[0]

    def _bands(self, file: GridParsed, z: Latents, sampling: Sampling, progress: Progress | None) -> Banded:
        geometry, found, model = file.geometry, file.found, self.model
        height, width, gray = geometry.height, geometry.width, _is_gray(geometry.format)
        left, top, right, bottom = sampling.region(width, height)
        crop = Box(top, left, bottom, right)
        tiles = found.tiles if found.tiles is not None and not sampling.preview else ()
        all_there = len(found.whole) == len(model.prior.groups) and all(found.whole)
        drawing = model.grain if all_there and not sampling.preview else None
        temperature = drawing.temperature(found.quality, sampling.temperature) if drawing else 0
        texture = model.corrected(found.corrections) if tiles else model.texture
        painter = Painter(
            model, height, width, gray, z, found.quality, texture, tiles, temperature, sampling.seed, sampling.preview
        )
        channels, (exact, drawn), alpha = 1 if gray else 3, painter.counts(crop), self._alpha(file, crop)

        def made() -> Iterator[Raster]:
            top = 0
            for band in painter.bands(crop, progress):
                opacity = None if alpha is None else alpha[top : top + len(band)]
                top += len(band)
                yield _raster(band, opacity, geometry.format)

        whole = Geometry(crop.width, crop.height, geometry.format)
        unused = OF_DRAWING if drawing is None or exact == crop.height * crop.width else frozenset[str]()
        unused |= frozenset() if drawn else {"seed"}
        return Banded(whole, made(), channels * exact, channels * drawn, file.whole, unused=unused)

    def _alpha(self, file: GridParsed, crop: Box) -> npt.NDArray[np.uint8] | None:
        """The opacity of a region, if the picture has any; full where the file was cut before it."""
        geometry, stored = file.geometry, file.found.alpha
        if not geometry.format.alpha:
            return None
        if stored is None:
            return np.full((crop.height, crop.width), 255, np.uint8)
        whole = raw.decode_plane(geometry.height, geometry.width, np.uint8, stored)
        return whole[crop.top : crop.bottom, crop.left : crop.right].astype(np.uint8)

    def theory(self, views: Sequence[GridView], progress: Progress | None = None) -> Terms:
        """KL and E[-log2 p(x|z)] of exact files of the views, the latter of the rounded code."""
        kl, distortion = [], []
        for view in views:
            coded = self._encode(view, Ask(lossless=True), progress)
            kl.append(coded.kl_bits)
            distortion.append(coded.distortion_bits)
        return Terms(np.array(kl), np.array(distortion))


_SMALL_PIXELS = 1 << 19
"""Corrections are fitted on all pixels of a picture that has no more."""
_BLOCKS_SEEN, _BOXES_SEEN, _SEEN = 4, 48, 56
"""Of a larger one on those of so many boxes, of so many pixels each way, in so many blocks at most."""


def _planes(view: GridView, box: Box) -> Planes:
    """The pixels of a box in YCoCg-R."""
    return planes_of(view.colours[box.top : box.bottom, box.left : box.right], view.gray)


@dataclass(frozen=True)
class GridFamily:
    """Photographs: gray or colour, any size."""

    name: str = "grid"

    def load(self, identity: Identity, arrays: Arrays) -> GridCoder:
        """The coder of a model of this family.

        Raises:
            ModelError: the arrays are not a model of this family.
        """
        needed = ("levels", "lambdas", "exact_quality", "prior.groups", "texture.layers")
        missing = [name for name in needed if name not in arrays]
        if missing:
            raise ModelError(
                f"the model {identity.name!a} lacks {missing[0]}: its file is damaged or not a photo model"
            )
        return GridCoder(identity, arrays)


FAMILY = GridFamily()


def _among(progress: Progress | None, place: int, count: int) -> Progress | None:
    """Tells of one of several pictures, in hundredths of each."""
    if progress is None or count == 1:
        return progress
    return lambda what, done, of: progress(what, 100 * place + 100 * done // of, 100 * count)


def _raster(colours: Samples, alpha: npt.NDArray[np.uint8] | None, form: PixelFormat) -> Raster:
    """A picture of that format; of gray ones the first of three equal channels, at the nearest level that it has."""
    opaque = colours[..., :1] if _is_gray(form) else colours
    if form.depth < 8:
        step = 255 // ((1 << form.depth) - 1)
        opaque = ((opaque.astype(np.uint16) + step // 2) // step * step).astype(np.uint8)
    return Raster(opaque if alpha is None else np.concatenate([opaque, alpha[..., None]], 2), form)


def _level_of(quality: float, qualities: int) -> int:
    """The model's step for a quality of 0 to 100."""
    return round(quality / 100 * (qualities - 1))


def _quality_of(level: int, qualities: int) -> float:
    """The shortest number of 0 to 100 that asks for a step of the model."""
    quality = 100 * level / max(1, qualities - 1)
    return next(one for one in (round(quality), round(quality, 1), quality) if _level_of(one, qualities) == level)


def _psnr(error: float) -> float:
    return float(10 * np.log10(255**2 / error)) if error else 99.0


def _is_gray(form: PixelFormat) -> bool:
    return form.kind == Kind.GRAY
