"""The seam: what every file, archive and command knows of a kind of model, and no more.

A *family* is one way to model pictures: fields of 28x28 (`field`), photos (`grid`), and so on. It loads a model's arrays
into a `Coder`, which turns pictures into views, views into the sections of a file, and back:

    raster --view--> View --encode--> Sections --container--> file --parse--> Parsed --decode--> Decoded

Twists to know first: a view is a picture as its family sees it (binarised, padded, turned), made before anything is coded,
so that whoever calls learns early what cannot be coded. `parse` reads and checks, but decodes nothing and allocates nothing
in proportion to what a file claims. What is missing of a cut file is sampled; what is damaged is an error.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from .errors import ImageError, OptionError, Progress
from .exact.random_words import SEED_LIMIT
from .options import check_number, check_region, check_switches, check_whole, make_plain
from .picture.metadata import Metadata
from .picture.raster import Geometry, Raster

if TYPE_CHECKING:
    from .picture.drawing import Drawing
    from .picture.images import PillowImage

Arrays = Mapping[str, npt.NDArray[Any]]
"""The arrays of a model's `weights.npz`."""
Box = tuple[int, int, int, int]
"""Left, top, right, bottom, in pixels: the first column and row within, and the first ones beyond."""

EFFORTS = range(10)
DEFAULT_EFFORT = 5
HOTTEST = 16.0
"""The highest temperature."""


@dataclass(frozen=True)
class Ask:
    """What a file is to be.

    lossless: every sample is kept. effort: size of the search, 0 to 9. threshold: luminance above it, 0 to 254, is the
    light one of two levels; for families of two-level pictures. Of quality (0 to 100), bpp (bits a pixel) and size_bytes (of
    the whole file) at most one says how good a lossy file is; a family that cannot choose refuses it in `view`. fixed: which
    of two colours is the background stays as the picture has it, even if the model would like the other better.
    around_bytes: what the file takes beside the sections that a family makes.

    Raises:
        OptionError: a value is out of its range, or two of them contradict each other.
    """

    lossless: bool = False
    effort: int = DEFAULT_EFFORT
    quality: float | None = None
    bpp: float | None = None
    size_bytes: int | None = None
    threshold: int | None = None
    fixed: bool = False
    around_bytes: int = 0

    def __post_init__(self) -> None:
        check_switches(lossless=self.lossless)
        check_whole("effort", self.effort, EFFORTS[0], EFFORTS[-1])
        check_whole("threshold", self.threshold, 0, 254, optional=True)
        check_number("quality", self.quality, 100, optional=True)
        check_number("bpp", self.bpp, optional=True)
        check_whole("size_bytes", self.size_bytes, 1, optional=True)
        make_plain(self, "effort", "threshold", "quality", "bpp", "size_bytes")
        goals = [goal for goal in (self.quality, self.bpp, self.size_bytes) if goal is not None]
        if len(goals) > 1 or (goals and self.lossless):
            raise OptionError("quality, bpp and size_bytes are for lossy files, and only one of them at a time")


@dataclass(frozen=True)
class Sampling:
    """How a file is decoded, and how samples that it does not hold are drawn.

    seed: of the texture. temperature: 0 to 16. Of drawings, how freely pixels are drawn: 0 the likeliest value, 1, the
    default, as the model says; of photographs, how much texture is added to the mean: 0 none, 1 all of it, by default what
    the model has for the file's quality. partial: a file that is cut short is decoded as far as it goes. preview: only the
    coarsest picture that the family can show. crop: only this region, of the picture as it would be decoded whole.

    Raises:
        OptionError: the seed is not 0 to 2^63 - 2, the temperature not 0 to 16, or the region empty.
    """

    seed: int = 0
    temperature: float | None = None
    partial: bool = False
    preview: bool = False
    crop: Box | None = None

    def __post_init__(self) -> None:
        check_whole("seed", self.seed, 0, SEED_LIMIT - 1)
        check_number("temperature", self.temperature, HOTTEST, optional=True)
        check_switches(partial=self.partial, preview=self.preview)
        check_region("crop", self.crop)
        make_plain(self, "seed", "temperature", "crop")

    def region(self, width: int, height: int) -> Box:
        """The region that is wanted of a picture of that size: all of it unless `crop` says which.

        Raises:
            ImageError: it ends beyond the picture.
        """
        left, top, right, bottom = self.crop or (0, 0, width, height)
        if right > width or bottom > height:
            raise ImageError(f"the region ends at {right},{bottom}, beyond the picture of {width}x{height} pixels")
        return left, top, right, bottom


class View(Protocol):
    """A picture as its family sees it: made by `Coder.view`, and opaque to all others but for these."""

    @property
    def raster(self) -> Raster:
        """What a lossless file decodes to: the picture itself, or what is left of it, say of its gray levels."""

    @property
    def note(self) -> str | None:
        """What was lost on the way in, if anything."""


@dataclass(frozen=True)
class Sections:
    """A picture as coded, and where its bits went.

    data: all of the file behind its header, with the family's checks; of version 1, whose checks cover the header, that too.
    kl_bits: what theory says that the latents cost. distortion_bits: what it says that the samples cost, given them.
    ideal_bits: the information in what was coded. coded_bits: what the streams hold; the rest is checks and rounding.
    differing_samples: of the decoded picture, from its view. pieces: into which the picture was cut; of these, unlike_pieces
    are unlike what the model was trained on. figures: whatever else the family has to say, by name (`psnr_db`, ...).
    """

    data: bytes
    kl_bits: float = 0.0
    distortion_bits: float = 0.0
    ideal_bits: float = 0.0
    coded_bits: float = 0.0
    differing_samples: int = 0
    pieces: int = 1
    unlike_pieces: int = 0
    figures: Mapping[str, float] = field(default_factory=dict)


class Parsed(Protocol):
    """A file taken apart and verified as far as it goes, of which nothing is decoded yet."""

    @property
    def geometry(self) -> Geometry:
        """Of the picture."""

    @property
    def whole(self) -> bool:
        """Whether all of it is there and its checks hold."""

    def about(self) -> dict[str, Any]:
        """What the family can say of the file, by name: `kind`, which is "lossy" or "lossless", and its own figures."""


OF_DRAWING = frozenset({"seed", "temperature"})
"""What of a `Sampling` has no say where nothing is drawn."""
OF_SAMPLING = OF_DRAWING | {"preview"}
"""What of it has none in files that are exact pictures and nothing else."""


@dataclass(frozen=True)
class ExactParsed:
    """Of families whose files are exact pictures and nothing else: one that is cut is refused, so what there is is whole."""

    geometry: Geometry

    @property
    def whole(self) -> bool:
        """See `Parsed`."""
        return True

    def about(self) -> dict[str, Any]:
        """See `Parsed`."""
        return {"kind": "lossless"}


@dataclass(frozen=True)
class Decoded:
    """A picture. Of its samples `exact_samples` were stored, `sampled_samples` were drawn by the model.

    whole: whether the checks of what is stored hold. If not, exact samples are exact only if the file was cut and nothing
    else. note: what a reader should know of it, if anything. metadata: what the file keeps beside its samples, for files of
    version 2. unused: what could be asked for and has no say in this picture, of "seed", "temperature", "preview", "model".
    """

    raster: Raster
    exact_samples: int
    sampled_samples: int
    whole: bool = True
    note: str | None = None
    metadata: Metadata | None = None
    unused: frozenset[str] = frozenset()

    @property
    def drawing(self) -> Drawing:
        """As a drawing of two levels.

        Raises:
            ImageError: it has more.
        """
        from .picture.drawing import drawing_of

        return drawing_of(self.raster, exact=True)

    @property
    def picture(self) -> PillowImage:
        """As a Pillow image."""
        from .picture.images import picture_of

        return picture_of(self.raster)


@dataclass(frozen=True)
class Banded:
    """A picture that comes in bands of rows, from the top, each decoded when it is asked for, and once; the rest is as of
    `Decoded`. What is damaged of a band is told of when its turn comes.
    """

    geometry: Geometry
    bands: Iterator[Raster]
    exact_samples: int
    sampled_samples: int
    whole: bool = True
    note: str | None = None
    metadata: Metadata | None = None
    unused: frozenset[str] = frozenset()

    def joined(self) -> Decoded:
        """The whole picture; its bands are gone then.

        Raises:
            FormatError: a band is damaged.
        """
        samples: npt.NDArray[Any] = np.empty(self.geometry.shape, self.geometry.format.dtype)
        top = 0
        for band in self.bands:
            samples[top : top + len(band.samples)] = band.samples
            top += len(band.samples)
        raster = Raster(samples, self.geometry.format)
        counts = self.exact_samples, self.sampled_samples
        return Decoded(raster, *counts, self.whole, self.note, self.metadata, self.unused)


@dataclass(frozen=True)
class Terms:
    """What theory says that pictures cost: KL(q || p), and E_q[-log2 p(x|z)], each (n,) bits."""

    kl_bits: npt.NDArray[np.float64]
    distortion_bits: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Identity:
    """Who a model is: its name, the SHA-256 of its weights, and what is said about it (a mapping that no digest covers)."""

    name: str
    digest: bytes
    about: Mapping[str, Any] = field(default_factory=dict)


class Family(Protocol):
    """One way to model pictures."""

    @property
    def name(self) -> str:
        """What the array `family` of a `weights.npz` says, and `zoo.FAMILIES` lists."""

    def load(self, identity: Identity, arrays: Arrays) -> Coder:
        """The coder of a model of this family; parts may be built on first use.

        Raises:
            ModelError: the arrays are not a model of this family.
        """


@runtime_checkable
class Coder(Protocol):
    """A model that codes. All methods are pure: the same arguments give the same bytes and pictures everywhere."""

    @property
    def family(self) -> str:
        """Its family's name."""

    @property
    def version(self) -> int:
        """The version of the format that it writes: 1 or 2."""

    @property
    def name(self) -> str:
        """The model's name, for people."""

    @property
    def digest(self) -> bytes:
        """The SHA-256 of its weights: 32 bytes; none of a family without a model."""

    def check(self) -> None:
        """Computes a little with each part: a folder may hold anything.

        Raises:
            ModelError: the parts do not fit each other, or an array has values that it cannot have.
        """

    def view(self, raster: Raster, ask: Ask) -> View:
        """The picture as this model codes it.

        Raises:
            ImageError: it is not a picture of this family's kind, or cannot be coded as asked.
        """

    def least_bits(self, geometry: Geometry) -> int:
        """The fewest bits that a whole file of such a picture holds: checked before anything is allocated."""

    def encode(self, views: Sequence[View], ask: Ask, progress: Progress | None = None) -> list[Sections]:
        """Codes pictures, all in one batch."""

    def parse(self, geometry: Geometry, data: bytes, at: int, partial: bool = False) -> Parsed:
        """Takes sections apart: those from `at` to the end of the data; what stands before is the header.

        Raises:
            FormatError: they are damaged.
            TruncatedError: they end early and `partial` is not set, or nothing of them can be decoded.
        """

    def decode(
        self, files: Sequence[Parsed], samplings: Sequence[Sampling], progress: Progress | None = None
    ) -> list[list[Decoded]]:
        """For each file, a picture for each sampling; all in one batch, each file parsed and its latents decoded once.

        Raises:
            FormatError: a file turns out to be damaged.
            ImageError: a sampling asks for what this family, or this picture, has not (a region beyond its border, ...).
        """

    def theory(self, views: Sequence[View], progress: Progress | None = None) -> Terms:
        """What the views cost in theory."""


@runtime_checkable
class Remembering(Protocol):
    """Optional: a coder that can share the work of coding the same picture lossily, exactly, and in an archive."""

    def remembering(self) -> Coder:
        """The same coder, which remembers what it searched for, up to some 100 MB; other processes share nothing of it."""


@runtime_checkable
class Banding(Protocol):
    """Optional: a coder that hands a picture out in bands of rows, so that a large one is never held whole."""

    def bands(self, file: Parsed, sampling: Sampling, progress: Progress | None = None) -> Banded:
        """The picture of a file, as `Coder.decode` has it.

        Raises:
            FormatError: what all of its bands need is damaged.
            ImageError: as of `Coder.decode`.
        """


@runtime_checkable
class Rated(Protocol):
    """Optional: of families whose lossy files have a quality."""

    @property
    def qualities(self) -> int:
        """How many steps of it there are."""


@runtime_checkable
class Estimating(Protocol):
    """Optional: what an exact file will take, without coding all of the picture."""

    def hoped_bits(self, view: View, enough_bits: float = math.inf) -> float:
        """The bits that the exact file of a picture will hardly be below, as far as a part of the picture tells.

        A less careful estimate will do if it is more than `enough_bits`.
        """


@dataclass(frozen=True)
class Judged:
    """A picture as a model judges it.

    bits: about what an exact file of it takes. pieces_bits: what its pieces cost, but for those that say nothing: (n,), of
    many some dozens. figures: what is seen of each, (n, F). joined: how much goes on from piece to piece, 0 for nothing;
    infinite if pieces are not whole.
    """

    bits: float
    pieces_bits: npt.NDArray[np.float64]
    figures: npt.NDArray[np.float64]
    joined: float


@runtime_checkable
class Judging(Protocol):
    """Optional: a model that can say whether a picture is like what it was trained on."""

    def judge(self, views: Sequence[View]) -> list[Judged]:
        """What pictures cost; the same pieces are looked at by all models of a family."""

    def knows(self, judged: Judged, others: Sequence[Judged]) -> bool:
        """Whether a picture is like those that the model was trained on, given what it costs other models.

        True of every picture if nothing is known of the model but its weights.
        """


Done = Callable[[float], None]
"""Told how many pictures, and fractions of them, were coded since it was last told."""


@dataclass(frozen=True)
class Chaining:
    """How an archive chains its pictures.

    lossless: every sample is kept. ordered: so is their order; if not, what it would cost comes back. effort: size of the
    search of a lossy archive, 0 to 9. samples: of the posterior for each picture, a power of two, of a lossless one.
    """

    lossless: bool = True
    ordered: bool = True
    effort: int = DEFAULT_EFFORT
    samples: int = 1


@dataclass(frozen=True)
class Chain:
    """Pictures coded together, and where their bits went.

    geometries: of the pictures as they were coded, which may have background and foreground exchanged. state: what the
    family has to know beside the payload, as bytes that only it reads. bits: by entry of the ledger; they
    add up to eight times the payload. picture_bits: what each added, in order; none if their order is lost.
    """

    payload: bytes
    state: bytes
    geometries: Sequence[Geometry]
    bits: Mapping[str, float]
    kl_bits: float
    negative_elbo_bits: float
    picture_bits: Sequence[float]


@runtime_checkable
class Chained(Protocol):
    """Optional: what an archive needs of a coder to code its pictures together."""

    def push(self, views: Sequence[View], chaining: Chaining, done: Done | None = None) -> Chain:
        """Codes pictures together.

        Raises:
            ImageError: they cannot be chained so: pictures without order must be alike.
        """

    def pop(
        self,
        payload: bytes,
        state: bytes,
        geometries: Sequence[Geometry],
        chaining: Chaining,
        sampling: Sampling = Sampling(),
        done: Done | None = None,
    ) -> list[Raster]:
        """The inverse of `push`; without order the pictures come sorted.

        Raises:
            FormatError: payload or state are damaged.
        """

    def exchanged(self, pictures: Iterable[Raster]) -> bool:
        """Whether pictures in two colours, taken together, cost less with background and foreground exchanged.

        A model to which that makes no difference looks at none of them.
        """


@runtime_checkable
class Carrying(Protocol):
    """Optional: a model that learns while it codes, so that pictures in two colours may cost less one above the other."""

    @property
    def carried_pixels(self) -> int:
        """How many pixels they may have together."""


class ChainedCoder(Coder, Chained, Protocol):
    """A coder whose pictures can be coded together."""
