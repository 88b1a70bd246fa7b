"""The photo family behind the seam: rasters to sections, and back.

    view      gray or RGB samples of 8 bits, and alpha beside them; what is neither is converted for lossy files
    encode    latents at the quality asked for, and of exact files every tile's pixels given them
    decode    the latents, the decoded picture block by block, and of exact files the pixels of its tiles

An exact file begins with the lossy file at the quality at which its code pays for itself.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from vlae_codec import raw
from vlae_codec.errors import FormatError, ImageError, ModelError, Progress
from vlae_codec.exact.threads import in_threads
from vlae_codec.family import Ask, Decoded, Identity, Sampling, Sections, Terms
from vlae_codec.picture.raster import Geometry, Kind, PixelFormat, Raster

from . import adaptation, latents, pixels, sections
from .colour import Planes, to_rgb, to_ycocg
from .network import (
    BITS,
    LARGEST_LATENT,
    LEVEL_STEPS,
    PATCH,
    Arrays,
    Decoder,
    Encoder,
    Latents,
)
from .prior import Prior
from .sections import Found
from .texture import Texture, Tiles
from .tiles import Box, Region, blocks, decode_block, spread, tile_count, tile_number, tiles_of

DEFAULT_QUALITY = 50.0
"""On the scale of 0 to 100 that users see."""
PREVIEW_GROUPS = 2
"""Groups of latents that a preview decodes: the means of luma and of both chromas."""
_BATCH = 16  # tiles that are decoded together by one thread: fewer on each of several threads take longer in all

Samples = npt.NDArray[np.uint8]


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
    """A file taken apart."""

    geometry: Geometry
    found: Found
    start: int

    @property
    def whole(self) -> bool:
        """Whether all of it is there and its checks hold."""
        return self.found.complete

    def about(self) -> dict[str, Any]:
        """What the file says of itself, with the byte at which each part of it ends."""
        ends = [self.start + end for end in self.found.ends]
        return {
            "kind": "lossless" if self.found.exact else "lossy",
            "quality": self.found.quality,
            "preview_ends_at_byte": ends[PREVIEW_GROUPS],
            "first_group_ends_at_byte": ends[1],
            "latents_end_at_byte": ends[-1],
            "corrections_bytes": len(self.found.corrections),
            "tiles": len(self.found.tiles) if self.found.tiles is not None else 0,
        }


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
            self._decode(self.parse(view.geometry, made.data, 0), [Sampling()], None)
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

    @cached_property
    def encoder(self) -> Encoder:
        """q(z|x)."""
        return Encoder.of(self.arrays)

    @cached_property
    def decoder(self) -> Decoder:
        """The decoded picture."""
        return Decoder.of(self.arrays)

    @cached_property
    def prior(self) -> Prior:
        """p(z)."""
        return Prior.of(self.arrays)

    @cached_property
    def texture(self) -> Texture:
        """p(x|z)."""
        return Texture.of(self.arrays)

    @property
    def qualities(self) -> int:
        """How many steps of quality there are."""
        return (int(self.arrays["levels"]) - 1) * LEVEL_STEPS + 1

    def view(self, raster: Raster, ask: Ask) -> GridView:
        """The picture as this model codes it.

        Raises:
            ImageError: an exact file is asked for of samples that are not of 8 bits.
        """
        form = raster.format
        if ask.lossless and (form.pair or form.palette or form.depth == 16):
            what = "16 bits a sample" if form.depth == 16 else "a palette"
            raise ImageError(f"the photo model keeps gray and colour pictures of 8 bits exactly, not those of {what}")
        stored, note = raster.colours(), None
        if stored.dtype == np.uint16:
            note = "16 bits a sample became 8"
            samples = ((stored.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
        else:
            samples = stored.astype(np.uint8)
        alpha = samples[..., -1] if samples.shape[2] in (2, 4) else None
        opaque = samples[..., : samples.shape[2] - (alpha is not None)]
        if not ask.lossless:
            gray = bool((opaque[..., :1] == opaque).all())
            form = PixelFormat(Kind.GRAY if gray else Kind.RGB, 8, alpha is not None)
            opaque = opaque[..., :1] if gray else opaque
        geometry = Geometry(samples.shape[1], samples.shape[0], form)
        return GridView(geometry, np.repeat(opaque, 3 // opaque.shape[2], axis=2), alpha, note)

    def least_bits(self, geometry: Geometry) -> int:
        """The fewest bits that a whole file of such a picture holds."""
        return 8 * (2 + len(self.prior.groups) + 2 + 4)

    def encode(self, views: Sequence[GridView], ask: Ask, progress: Progress | None = None) -> list[Sections]:
        """Codes pictures one by one, each on all cores."""
        return [self._encode(view, ask, progress) for view in views]

    def _encode(self, view: GridView, ask: Ask, progress: Progress | None) -> Sections:
        padded = _padded(view.colours)
        alpha = raw.encode_plane(view.alpha, ask.effort) if view.alpha is not None else None
        quality = self._quality(padded, len(alpha or b""), ask)
        means = self.encoder.means(padded, quality) * 2.0**-BITS
        z = self._latents(means, quality, ask.effort)
        coded = latents.write(self.prior, z, quality)
        corrections = self._corrections(view, z, quality) if ask.lossless and ask.effort else b""
        texture = self._texture(corrections) if ask.lossless else None
        tiles, pixel_bits, error, differing = self._tiles(view, z, quality, texture, progress)
        data = sections.write(sections.Content(quality, coded.streams, alpha, tiles, corrections))
        pixel_bits += 8 * len(corrections)
        stored = 8 * sum(map(len, [*coded.streams, corrections, *(stream for _, stream in tiles or ())]))
        figures = {} if ask.lossless else {"psnr_db": _psnr(error)}
        return Sections(
            data,
            kl_bits=latents.kl_bits(self.prior, means, z, quality),
            distortion_bits=pixel_bits,
            ideal_bits=coded.ideal_bits + pixel_bits,
            coded_bits=float(stored),
            differing_samples=differing,
            figures={**figures, "quality": quality, "latent_bits": 8.0 * sum(map(len, coded.streams))},
        )

    def _latents(self, means: npt.NDArray[np.float64], quality: int, effort: int) -> Latents:
        """The rounded means; with any effort, rounded with an eye to the rate."""
        if not effort:
            return np.clip(np.floor(means + 0.5), -LARGEST_LATENT, LARGEST_LATENT).astype(np.int32)
        gains = self.encoder.gains(quality) * 2.0**-BITS
        level, part = divmod(quality, LEVEL_STEPS)
        lambdas = np.append(self.arrays["lambdas"], self.arrays["lambdas"][-1]) * 2.0**-24
        weight = lambdas[level] ** (1 - part / LEVEL_STEPS) * lambdas[level + 1] ** (part / LEVEL_STEPS)
        return latents.thinned(self.prior, means, quality, _CAUTION * weight * 255**2 / 3 / gains**2)

    def _quality(self, padded: Samples, alpha_bytes: int, ask: Ask) -> int:
        """The step of quality that is asked for.

        Raises:
            ImageError: no quality is as small as that.
        """
        if ask.lossless:
            return int(self.arrays["exact_quality"])
        if ask.size_bytes is None and ask.bpp is None:
            wanted = DEFAULT_QUALITY if ask.quality is None else ask.quality
            return round(wanted / 100 * (self.qualities - 1))
        size = ask.size_bytes if ask.size_bytes is not None else (ask.bpp or 0.0) * padded[..., 0].size / 8
        return self._within(padded, size, alpha_bytes + _OVERHEAD_BYTES, ask.effort)

    def _within(self, padded: Samples, size: float, overhead: int, effort: int) -> int:
        """The highest quality whose latents leave so much room in a file of at most so many bytes.

        It is looked for by estimates, and lowered until the streams themselves are small enough.
        """
        low, high = 0, self.qualities - 1
        while low < high:
            middle = low + high + 1 >> 1
            fits = self._latent_bits(padded, middle, effort) <= 8 * (size - overhead)
            low, high = (middle, high) if fits else (low, middle - 1)
        while (needed := self._latent_bytes(padded, low, effort) + overhead) > size:
            if low == 0:
                raise ImageError(f"no file of this picture is smaller than {needed} bytes")
            low -= max(1, low >> 6)
        return low

    def _latent_bytes(self, padded: Samples, quality: int, effort: int) -> int:
        z = self._latents(self.encoder.means(padded, quality) * 2.0**-BITS, quality, effort)
        return sum(map(len, latents.write(self.prior, z, quality).streams))

    def _latent_bits(self, padded: Samples, quality: int, effort: int) -> float:
        z = self._latents(self.encoder.means(padded, quality) * 2.0**-BITS, quality, effort)
        return latents.cost_bits(self.prior, z, quality)

    def _texture(self, corrections: bytes) -> Texture:
        """The PixelCNN of a file with these corrections, if there are any."""
        if not corrections:
            return self.texture
        inputs, outputs = self.texture.output.weight.shape
        return adaptation.adapted(self.texture, adaptation.read(corrections, inputs, outputs))

    def _corrections(self, view: GridView, z: Latents, quality: int) -> bytes:
        """What the PixelCNN is told of this picture, fitted on boxes spread over it; nothing if that does not pay."""
        height, width = view.colours.shape[:2]
        found = blocks(height, width)
        inner, residuals = list[Any](), list[Any]()

        def see(box: Box) -> tuple[Any, Planes]:
            x = _planes(view.colours[box.top : box.bottom, box.left : box.right], view.gray)
            seen, predicted = self.texture.inner(x, region.tile(box, height, width))
            return seen, x.reshape(-1, 3) - predicted

        few = found[:: -(-len(found) // _BLOCKS_SEEN)]
        for block in few:
            region = decode_block(self.decoder, self.texture, z, quality, block, view.gray)
            for seen, residual in in_threads(see, spread(block, _BOXES_SEEN // len(few), _SEEN)):
                inner.append(seen)
                residuals.append(residual)
        channels = 1 if view.gray else 3
        corrections = adaptation.fit(
            self.texture.output, np.concatenate(inner), np.concatenate(residuals), channels, height * width
        )
        return adaptation.write(corrections) if corrections else b""

    def _tiles(
        self, view: GridView, z: Latents, quality: int, texture: Texture | None, progress: Progress | None
    ) -> tuple[list[tuple[bytes, bytes]] | None, float, float, int]:
        """The tiles of an exact file and the information in their pixels, given its texture; the decoded picture's mean
        squared error; and how many pixels of what the file decodes to differ.
        """
        height, width = view.colours.shape[:2]
        tiles: dict[int, tuple[bytes, bytes]] = {}
        bits, squares, differing, count = 0.0, 0.0, 0, tile_count(height, width)
        for block in blocks(height, width):
            region = decode_block(self.decoder, texture, z, quality, block, view.gray)
            own = view.colours[block.top : block.bottom, block.left : block.right]
            differences = region.picture().astype(np.int32) - own
            squares += float((differences**2).sum())
            differing += int(differences.any(axis=2).sum())
            if texture is None:
                continue

            def write(box: Box, region: Region = region, texture: Texture = texture) -> tuple[Box, bytes, pixels.Coded]:
                part = view.colours[box.top : box.bottom, box.left : box.right]
                x = _planes(part, view.gray)
                coded = pixels.write(texture, region.tile(box, height, width), x, 1 if view.gray else 3)
                return box, _pixel_check(part), coded

            for box, check, coded in in_threads(write, list(tiles_of(block))):
                tiles[tile_number(box, width)] = check, coded.stream
                bits += coded.ideal_bits
                if progress:
                    progress("compressing", len(tiles), count)
        error = squares / view.colours.size
        return (None, bits, error, differing) if texture is None else ([tiles[i] for i in range(count)], bits, error, 0)

    def parse(self, geometry: Geometry, data: bytes, at: int, partial: bool = False) -> GridParsed:
        """Takes sections apart.

        Raises:
            FormatError, TruncatedError: as of `sections.read`.
        """
        tiles = tile_count(geometry.height, geometry.width)
        found = sections.read(data[at:], len(self.prior.groups), self.qualities, tiles, geometry.format.alpha, partial)
        return GridParsed(geometry, found, at)

    def decode(
        self, files: Sequence[GridParsed], samplings: Sequence[Sampling], progress: Progress | None = None
    ) -> list[list[Decoded]]:
        """For each file, a picture for each sampling.

        Raises:
            FormatError: a file turns out to be damaged.
            ImageError: a region lies beyond the border of the picture.
        """
        return [self._decode(file, samplings, progress) for file in files]

    def _decode(self, file: GridParsed, samplings: Sequence[Sampling], progress: Progress | None) -> list[Decoded]:
        geometry, found = file.geometry, file.found
        shape = -(-geometry.height // PATCH), -(-geometry.width // PATCH)
        made: dict[tuple[bool, Any], Decoded] = {}
        out = []
        for sampling in samplings:
            key = sampling.preview, sampling.crop
            if key not in made:
                count = min(PREVIEW_GROUPS, len(found.groups)) if sampling.preview else len(found.groups)
                z, _ = latents.read(self.prior, found.groups[:count], found.whole[:count], shape, found.quality)
                made[key] = self._picture(file, z, sampling, progress)
            out.append(made[key])
        return out

    def _picture(
        self, file: GridParsed, z: npt.NDArray[np.float64], sampling: Sampling, progress: Progress | None
    ) -> Decoded:
        geometry, found = file.geometry, file.found
        height, width = geometry.height, geometry.width
        left, top, right, bottom = sampling.region(width, height)
        crop = Box(top, left, bottom, right)
        tiles = found.tiles if found.tiles is not None and not sampling.preview else None
        gray = _is_gray(geometry.format)
        out = np.empty((crop.height, crop.width, 3), np.uint8)
        exact, count, done = 0, tile_count(height, width), 0
        texture = self._texture(found.corrections) if tiles else self.texture
        for block in blocks(height, width, crop):
            wanted = [box for box in tiles_of(block) if box.meets(crop)]
            stored = [box for box in wanted if tiles and tiles[tile_number(box, width)] is not None]
            region = decode_block(self.decoder, texture if stored else None, z, found.quality, block, gray)
            _place(out, crop, block, region.picture())
            for box, part in self._read(region, texture, stored, tiles or (), height, width, gray):
                exact += _place(out, crop, box, part)
                done += 1
                if progress:
                    progress("decompressing", done, count)
        raster = _raster(out, self._alpha(file, crop), geometry.format)
        channels = 1 if gray else 3
        return Decoded(raster, channels * exact, 0, file.whole)

    def _read(
        self,
        region: Region,
        texture: Texture,
        stored: list[Box],
        tiles: Sequence[tuple[bytes, bytes] | None],
        height: int,
        width: int,
        gray: bool,
    ) -> list[tuple[Box, Samples]]:
        """The tiles of a region that are stored; those of one size advance together."""
        sizes: dict[tuple[int, int], list[Box]] = {}
        for box in stored:
            sizes.setdefault((box.height, box.width), []).append(box)
        batches = []
        for same in sizes.values():
            batches += [same[start : start + _BATCH] for start in range(0, len(same), _BATCH)]

        def read(batch: list[Box]) -> list[tuple[Box, Samples]]:
            made = [region.tile(box, height, width) for box in batch]
            together = Tiles(*(np.concatenate([getattr(one, part) for one in made]) for part in ("decoded", "code")))
            found = [tiles[tile_number(box, width)] for box in batch]
            x = pixels.read(texture, together, [one[1] for one in found if one], 1 if gray else 3)
            parts = []
            for box, one, planes in zip(batch, found, x, strict=True):
                part = _colours(planes, gray)
                if one is None or _pixel_check(part) != one[0]:
                    raise FormatError("the check of a tile's pixels fails: the file is damaged")
                parts.append((box, part))
            return parts

        return [part for parts in in_threads(read, batches) for part in parts]

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


_CAUTION = 3.0
"""How much dearer an error is taken than it is, since zeros make poorer contexts for others."""
_BLOCKS_SEEN, _BOXES_SEEN, _SEEN = 4, 16, 56
"""Corrections are fitted on the pixels of so many boxes, of so many pixels each way, in so many blocks at most."""
_OVERHEAD_BYTES = 50
"""What a file takes beside its latents, at most."""


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


def _raster(colours: Samples, alpha: npt.NDArray[np.uint8] | None, form: PixelFormat) -> Raster:
    """A picture of that format; of gray ones the first of three equal channels."""
    opaque = colours[..., :1] if _is_gray(form) else colours
    return Raster(opaque if alpha is None else np.concatenate([opaque, alpha[..., None]], 2), form)


def _padded(colours: Samples) -> Samples:
    """A picture whose sides are multiples of a site's, its border repeated."""
    height, width = colours.shape[:2]
    return np.pad(colours, ((0, -height % PATCH), (0, -width % PATCH), (0, 0)), mode="edge")


def _planes(colours: Samples, gray: bool) -> Planes:
    """YCoCg-R of RGB samples (H, W, 3); of gray ones the level, and no chroma."""
    if not gray:
        return to_ycocg(colours)
    planes = np.zeros(colours.shape, np.int32)
    planes[..., 0] = colours[..., 0]
    return planes


def _colours(planes: Planes, gray: bool) -> Samples:
    """The inverse of `_planes`.

    Raises:
        FormatError: a pixel is not a colour of 8 bits.
    """
    if gray:
        return np.repeat(planes[..., :1], 3, axis=2).astype(np.uint8)
    rgb = to_rgb(planes)
    if rgb.min() < 0 or rgb.max() > 255:
        raise FormatError("a tile holds pixels that are no colours: the file is damaged")
    return rgb.astype(np.uint8)


def _pixel_check(part: Samples) -> bytes:
    return zlib.crc32(np.ascontiguousarray(part).tobytes()).to_bytes(4, "big")


def _psnr(error: float) -> float:
    return float(10 * np.log10(255**2 / error)) if error else 99.0


def _is_gray(form: PixelFormat) -> bool:
    return form.kind == Kind.GRAY


def _place(out: Samples, crop: Box, box: Box, part: Samples) -> int:
    """Puts what a box has in common with the crop into its picture; how many pixels that is."""
    top, left = max(box.top, crop.top), max(box.left, crop.left)
    bottom, right = min(box.bottom, crop.bottom), min(box.right, crop.right)
    own = part[top - box.top : bottom - box.top, left - box.left : right - box.left]
    out[top - crop.top : bottom - crop.top, left - crop.left : right - crop.left] = own
    return (bottom - top) * (right - left)
