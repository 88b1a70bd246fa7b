"""The two directions: pictures -> views -> sections -> file, and back.

`encode` and `decode` mirror each other and work on batches; `compress`, `decompress` and `inspect` are their one-picture
doors. What a model does is behind the seam (see `family`). Every network runs in exact integers (see `exact.fixed`), so a
file decodes to the same pixels everywhere.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from . import container, container2, registry, zoo
from .errors import ImageError, ModelError, Progress, TruncatedError
from .family import DEFAULT_EFFORT, Ask, Banded, Banding, Coder, Decoded, Parsed, Sampling, Sections, View
from .options import check_switches, wrong
from .picture.drawing import Drawing, raster_of
from .picture.images import Picture, PillowImage
from .picture.metadata import Metadata
from .picture.raster import Geometry, Raster
from .reason import Reason

if TYPE_CHECKING:  # what only encodes is loaded by those who do
    from .choose import Candidate, Chooser, Seen

Some = TypeVar("Some", Decoded, Banded)

__all__ = ["Decoded", "Encoded", "Ledger", "Sampling", "compress", "decode", "decompress", "encode", "inspect"]


@dataclass(frozen=True)
class Ledger:
    """Where the bits of one file went.

    kl_bits: KL(q(z|x) || p(z)), the theory. ideal_bits: the information in the codes chosen, and in the pixels given
    them if they are stored. coded_bits: what the sections hold of them. opacity_bytes: what the opacity of a photo takes.
    container_bytes: header, metadata, checks and rounding; all three together are total_bytes, the file.
    differing_pixels: pixels of the decoded picture that differ from the original as the model sees it. unlike_fields: how
    many of the `fields` are unlike what the model was trained on, so that they cost it more than a bit a pixel. model,
    family: what codes it; no name without a model. psnr_db: of a lossy photo, over its samples of 8 bits. kept_exactly:
    whether every sample is kept though a lossy file was asked for; why says why. known: whether the picture is like those
    that the model was trained on; None where that was not asked. changed_pixels: of a picture in two colours, how many on
    edges were changed before it was coded exactly; they are the differing ones.
    """

    width: int
    height: int
    kl_bits: float
    distortion_bits: float
    ideal_bits: float
    coded_bits: float
    container_bytes: float
    total_bytes: int
    bits_per_pixel: float
    differing_pixels: int
    fields: int
    unlike_fields: int
    note: str | None
    model: str = ""
    family: str = "field"
    psnr_db: float | None = None
    kept_exactly: bool = False
    why: str | None = None
    known: bool | None = None
    changed_pixels: int = 0
    opacity_bytes: float = 0.0


@dataclass(frozen=True)
class Encoded:
    """A file and its ledger."""

    data: bytes
    ledger: Ledger


def compress(
    picture: Picture,
    *,
    lossless: bool = False,
    lossy: bool = False,
    effort: int = DEFAULT_EFFORT,
    quality: float | None = None,
    bpp: float | None = None,
    size_bytes: int | None = None,
    model: Coder | str = zoo.AUTO,
    threshold: int | None = None,
) -> bytes:
    """Compresses one picture: a Pillow image or an array (H, W), (H, W, 3) or (H, W, 4).

    Args:
        lossless: keep every pixel, not only the structure.
        lossy: sample a drawing even if no model knows its like, and keep nothing exactly.
        effort: size of the search, 0 to 9.
        quality: of a photo, 0 to 100; 55 if nothing is asked for. Of a picture in two colours below 100 pixels on edges
            are changed where that saves bits: see docs/drawings.md.
        bpp: at most so many bits a pixel, instead.
        size_bytes: a file of at most so many bytes, instead.
        model: one that was loaded, the name of a released one, or a folder; "auto" is the one that suits the picture.
        threshold: binarise, with luminance above this, 0 to 254, as the light level.

    A drawing that the lossy models do not know is kept exactly, and so is any picture whose exact file is no larger.

    Raises:
        ImageError: the picture cannot be coded as asked.
        OptionError: options are out of range, of another type, or contradict each other.
        TypeError: it is a path or bytes, not a picture.
    """
    from .choose import chooser
    from .picture.reading import Readable

    first = picture[0] if isinstance(picture, list | tuple) and picture else picture
    if isinstance(first, str | bytes | os.PathLike):
        raise TypeError(
            f"compress takes a Pillow image or an array, not {type(picture).__name__}: open the file with PIL.Image.open, "
            "or give its path to compress_files"
        )
    ask = Ask(lossless, effort, quality, bpp, size_bytes, threshold)
    choice = chooser(ask, model, insist=lossy)
    source = Readable.of_given(picture, exact=lossless, threshold=threshold)
    return kept(smallest(choice, [choice.see(source)])[0]).encoded.data


def decompress(
    data: bytes,
    *,
    seed: int = 0,
    temperature: float | None = None,
    partial: bool = False,
    model: Coder | str | None = None,
) -> PillowImage:
    """The picture of one file. `seed` and `temperature` are of `Sampling`, all else is as of `decode`.

    Raises:
        ImageError: it is in 16-bit colours, which Pillow has not: `decode` gives its samples.
        OptionError: an option is out of range, or of another type.
        TypeError: it is a path, not the bytes of a file.
    """
    _check_bytes(data, "decompress")
    found = decode([data], Sampling(seed, temperature), partial=partial, model=model)[0]
    if found.raster.format.depth == 16:
        from .picture.writing import check_pillow_has

        check_pillow_has(found.raster.format)
    return found.picture


def encode(
    pictures: Sequence[Raster | Drawing],
    model: Coder | str,
    *,
    lossless: bool = False,
    effort: int = DEFAULT_EFFORT,
    progress: Progress | None = None,
) -> list[Encoded]:
    """Compresses pictures, all in one batch: the same files as `compress` makes of each.

    Raises:
        OptionError: effort is not 0 to 9, or an option is of another type.
        ImageError: a picture cannot be coded as asked.
    """
    ask, coder = Ask(lossless, effort), zoo.given(model)
    rasters = [raster_of(one) if isinstance(one, Drawing) else one for one in pictures]
    notes = [one.note if isinstance(one, Drawing) else None for one in pictures]
    files = encode_views([coder.view(raster, ask) for raster in rasters], coder, ask, progress)
    return [
        replace(file, ledger=replace(file.ledger, note=note or file.ledger.note))
        for file, note in zip(files, notes, strict=True)
    ]


def encode_views(views: Sequence[View], model: Coder, ask: Ask, progress: Progress | None = None) -> list[Encoded]:
    """The files of pictures as the model sees them: see `family.Coder.view`."""
    coded = model.encode(views, ask, progress)
    return [encoded_of(view, sections, model, Metadata()) for view, sections in zip(views, coded, strict=True)]


@dataclass(frozen=True)
class Kept:
    """A file, the sections that it has, and the way it was coded."""

    encoded: Encoded
    way: Candidate
    sections: Sections


def smallest(choice: Chooser, pictures: Sequence[Seen], progress: Progress | None = None) -> list[Kept | ImageError]:
    """Of each picture the smallest file that one of the ways to code it makes; of equals the exact one, or the first.

    Or why there is none: a size that is asked for may be too small for it.
    """
    return smallest_of(choice, choice.settle(pictures), progress)


def smallest_of(
    choice: Chooser, pictures: Sequence[Sequence[Candidate]], progress: Progress | None = None
) -> list[Kept | ImageError]:
    """The same, given the ways to code each picture.

    They are tried in their order, those of all pictures together; one that cannot be hoped to be smaller is not.
    """
    left = [choice.in_order(ways) for ways in pictures]
    best, refused = dict[int, Kept](), dict[int, ImageError]()
    while any(left):
        groups: dict[tuple[int, Ask], list[tuple[int, Candidate]]] = {}
        for index, ways in enumerate(left):
            if ways and (way := ways.pop(0)) and _is_promising(choice, way, best.get(index)):
                groups.setdefault((way.which, way.ask), []).append((index, way))
        for (which, ask), members in groups.items():
            for (index, way), made in _coded(choice.coder(which), ask, members, progress):
                if isinstance(made, ImageError):
                    refused.setdefault(index, made)
                elif index in best or choice.is_small_enough(way, len(made.encoded.data)):
                    best[index] = _smaller(made, best.get(index))
    found = {index: replace(one, encoded=_told(one)) for index, one in best.items()}
    return [found[index] if index in found else refused[index] for index in range(len(pictures))]


def _coded(
    model: Coder, ask: Ask, members: Sequence[tuple[int, Candidate]], progress: Progress | None
) -> Iterator[tuple[tuple[int, Candidate], Kept | ImageError]]:
    """The file of each, all in one batch; if one cannot be had, one by one."""
    try:
        coded = model.encode([way.view for _, way in members], ask, progress)
    except ImageError as error:
        for member in members:
            yield from _coded(model, ask, [member], progress) if len(members) > 1 else [(member, error)]
        return
    for member, sections in zip(members, coded, strict=True):
        way = member[1]
        yield member, Kept(encoded_of(way.view, sections, model, way.metadata, way.why), way, sections)


def kept(found: Kept | ImageError) -> Kept:
    """The file, or raises why there is none."""
    if isinstance(found, ImageError):
        raise found
    return found


def _is_promising(choice: Chooser, way: Candidate, best: Kept | None) -> bool:
    most_bits = 8.0 * len(best.encoded.data) if best else math.inf
    return best is None or choice.hoped_bits(way, most_bits) <= most_bits


def _smaller(made: Kept, best: Kept | None) -> Kept:
    if best is None:
        return made
    exact = made.way.ask.lossless and not best.way.ask.lossless
    return made if len(made.encoded.data) < len(best.encoded.data) + exact else best


def _told(made: Kept) -> Encoded:
    """The file, its ledger with what is known of the way it was coded."""
    way = made.way
    why = way.why.told(way.given) if way.why else None
    note = "; ".join(filter(None, (way.note, f"kept exactly, since {why}" if way.why == Reason.NO_LARGER else None)))
    told = replace(made.encoded.ledger, note=note or None, kept_exactly=bool(why), why=why, known=way.known)
    return replace(made.encoded, ledger=told)


def decode(
    files: Sequence[bytes],
    sampling: Sampling = Sampling(),
    *,
    partial: bool = False,
    model: Coder | str | None = None,
    progress: Progress | None = None,
) -> list[Decoded]:
    """Decodes files. What a file holds is restored exactly; other pixels are drawn, the same on every machine.

    `decode_samples` draws several pictures of each file at once.

    Args:
        partial: accept a lossless file that is cut short after its latent section, as `sampling.partial` does.
        model: one that was loaded, the name of a released one, or a folder; used for files that name its digest or number,
            others are looked up among the released models.

    Raises:
        FormatError: the bytes are not a file that this version can read, or are damaged.
        TruncatedError: the file ends early and `partial` is not set, or not even its latents are there.
        ModelError: the file names a model that is not known here.
        OptionError: an option is out of range, or of another type.
    """
    return [first for (first,) in decode_samples(files, [sampling], partial=partial, model=model, progress=progress)]


def decode_samples(
    files: Sequence[bytes],
    samplings: Sequence[Sampling],
    *,
    partial: bool = False,
    model: Coder | str | None = None,
    progress: Progress | None = None,
) -> list[list[Decoded]]:
    """Decodes files by several samplings at once: for each file, the picture that `decode` gives for each sampling.

    A file is parsed once, its latents are decoded once, and what it holds is read once. Arguments and errors as of `decode`.
    """
    for data in files:
        _check_bytes(data, "each of the files of decode")
    check_switches(partial=partial)
    check_samplings(samplings)
    partial, chosen = partial or any(sampling.partial for sampling in samplings), zoo.given(model)
    opened = [_open(data, partial, chosen) for data in files]
    found: list[list[Decoded]] = [[] for _ in files]
    for coder in {id(file.coder): file.coder for file in opened}.values():
        own = [index for index, file in enumerate(opened) if file.coder is coder]
        pictures = coder.decode([opened[index].parsed for index in own], samplings, progress)
        for index, decoded in zip(own, pictures, strict=True):
            found[index] = [opened[index].told(one) for one in decoded]
    return found


def decode_bands(
    data: bytes,
    sampling: Sampling = Sampling(),
    *,
    partial: bool = False,
    model: Coder | str | None = None,
    progress: Progress | None = None,
) -> Banded | None:
    """The picture of one file in bands of rows; None if its model hands out none. Arguments and errors as of `decode`."""
    _check_bytes(data, "decode_bands")
    check_switches(partial=partial)
    check_samplings([sampling])
    file = _open(data, partial or sampling.partial, zoo.given(model))
    if not isinstance(file.coder, Banding):
        return None
    return file.told(file.coder.bands(file.parsed, sampling, progress))


def inspect(data: bytes, model: Coder | str | None = None) -> dict[str, Any]:
    """What a file says about itself, without decoding anything; its pixel section may be cut short.

    Of a file of a model that is not known here, only what its header says.

    Raises:
        FormatError: as `decode`.
        TypeError: it is a path, not the bytes of a file.
    """
    _check_bytes(data, "inspect")
    try:
        file = _open(data, True, zoo.given(model))
    except ModelError:
        return _of_unknown(data)
    about, geometry = file.parsed.about(), file.parsed.geometry
    kind = about.pop("kind")
    return {
        "bytes": len(data),
        "sample_bytes": claimed_bytes(data),
        "format_version": data[1] >> 4,
        "kind": kind,
        "kept_exactly": bool(file.reason),
        "why": file.reason.told() if file.reason else None,
        "model": file.coder.name or None,
        "width": geometry.width,
        "height": geometry.height,
        **about,
        "complete": file.parsed.whole,
    }


def heading(data: bytes) -> tuple[Geometry, Metadata | None]:
    """What a file says first, without a look at its sections: the geometry, and of version 2 the metadata.

    Raises:
        FormatError: there is no such header.
    """
    if not container2.is_version2(data):
        return container.read_header(container2.unexplained(data)[1])[0].geometry, None
    contents = container2.read_file2(data)
    return contents.header.geometry, contents.metadata or Metadata()


def _check_bytes(data: object, what: str) -> None:
    """Says of what is not the bytes of a file what is meant.

    Raises:
        TypeError: it is not.
    """
    if not isinstance(data, bytes | bytearray | memoryview):
        takes = "takes" if what.isidentifier() else "is"
        raise TypeError(
            f"{what} {takes} the bytes of a file, not {type(data).__name__}: read it first, or give its path to "
            "decompress_files"
        )


def check_samplings(samplings: object) -> None:
    """Raises OptionError if they are not a sequence of `Sampling`."""
    if not isinstance(samplings, Sequence):
        raise wrong("samplings", "a list of vlae_codec.Sampling", samplings)
    for sampling in samplings:
        if not isinstance(sampling, Sampling):
            raise wrong("a sampling", "a vlae_codec.Sampling", sampling)


def claimed_bytes(data: bytes) -> int:
    """How many bytes of samples the picture of a file has, by its header.

    Raises:
        FormatError: there is no such header.
    """
    return heading(data)[0].sample_bytes


def _of_unknown(data: bytes) -> dict[str, Any]:
    if container2.is_version2(data):
        raw = container2.read_file2(data).header
        version, identity, geometry, kind = container2.VERSION, raw.model, raw.geometry, "file"
    else:
        rest = container2.unexplained(data)[1]
        header, at = container.read_header(rest)
        if len(rest) - at < container.CHECK_BYTES + -(-header.fields // 8):
            raise TruncatedError("the file ends within its latent section; nothing of it can be decoded")
        version, identity, geometry = container.VERSION, header.model, header.geometry
        kind = header.kind.name.lower()
    named = identity.hex() if isinstance(identity, bytes) else f"number {identity}"
    return {
        "bytes": len(data),
        "format_version": version,
        "kind": kind,
        "model": f"{named}, which is not known here: give it with model=DIR",
        "width": geometry.width,
        "height": geometry.height,
    }


@dataclass(frozen=True)
class _Opened:
    """A file taken apart, and the model that it needs; of version 1 there are no metadata. reason: why it is exact.

    given: the model that was given for files that name none of those released.
    """

    coder: Coder
    parsed: Parsed
    metadata: Metadata | None
    reason: Reason | None
    given: Coder | None

    def told(self, picture: Some) -> Some:
        """Its picture as decoded, with what its coder does not know: the metadata, and whether the given model was used."""
        passed = self.given is not None and self.given.digest != self.coder.digest
        return replace(picture, metadata=self.metadata, unused=picture.unused | ({"model"} if passed else frozenset()))


def _open(data: bytes, partial: bool, model: Coder | None) -> _Opened:
    """Errors as of `decode`."""
    if container2.is_version2(data):
        contents = container2.read_file2(data)
        if contents.metadata is None and not partial:
            raise TruncatedError("the file ends early; decode it as partial to see what is there")
        coder = zoo.find(contents.header.model, model, version=container2.VERSION)
        parsed = coder.parse(contents.header.geometry, data[: contents.end], contents.start, partial)
        return _Opened(coder, parsed, contents.metadata or Metadata(), contents.header.reason, model)
    reason, data = container2.unexplained(data)
    header, at = container.read_header(data)
    coder = zoo.find(header.model, model, version=container.VERSION)
    return _Opened(coder, coder.parse(header.geometry, data, at, partial), None, reason, model)


def encoded_of(
    view: View, sections: Sections, model: Coder, metadata: Metadata, reason: Reason | None = None
) -> Encoded:
    """The file of a picture's sections, with the reason why it is exact, if there is one; and its ledger."""
    data, (height, width) = sections.data, view.raster.samples.shape[:2]
    if model.version == container2.VERSION:
        header = container2.Header2(registry.identity_of(model.digest), view.raster.geometry, reason)
        data = container2.write_file2(header, metadata, data)
    elif reason:
        data = container2.explained(data, reason)
    opacity_bytes = sections.figures.get("opacity_bits", 0.0) / 8
    ledger = Ledger(
        width=width,
        height=height,
        kl_bits=sections.kl_bits,
        distortion_bits=sections.distortion_bits,
        ideal_bits=sections.ideal_bits,
        coded_bits=sections.coded_bits,
        container_bytes=len(data) - sections.coded_bits / 8 - opacity_bytes,
        total_bytes=len(data),
        bits_per_pixel=8 * len(data) / (width * height),
        differing_pixels=sections.differing_samples,
        fields=sections.pieces,
        unlike_fields=sections.unlike_pieces,
        note=view.note,
        model=model.name,
        family=model.family,
        psnr_db=sections.figures.get("psnr_db"),
        changed_pixels=int(sections.figures.get("changed_pixels", 0)),
        opacity_bytes=opacity_bytes,
    )
    return Encoded(data, ledger)
