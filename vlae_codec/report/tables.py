"""What was measured, as a table for people and as CSV or JSON for programs; `plots` draws it, `html` makes a page of it.

A `Measurement` goes in, filled by whoever ran the codec (see `measure`); text comes out. Nothing here codes anything,
and the same measurement always gives the same bytes. Rates are bits an image, in columns (n,) float64.

Twists to know first: a column's group (theory, this codec, baselines, other) and its title follow from its key, and an
unknown key is shown under its own name. Strings of a measurement may be file names, so they are hostile: all that is
shown goes through `plain`.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from .kinds import OURS, OfKind

Column = npt.NDArray[np.float64]
Archive = dict[str, Any]
Row = Sequence[str]
Pair = tuple[str, "float | None", str, float]

_THEORY = ("kl_bits", "distortion_bits", "negative_elbo_bits")
_OURS = ("coded_", "coding_", "lossy_", "lossless_", "kept_", "archive_")
GROUPS = ("Theory", "This codec", "Baselines", "Other, not in bits")
"""Of columns, in the order in which they are shown."""
_BOUND = {  # the theory that a column is held against
    "coded_latents_bits": "kl_bits",
    "lossy_file_bits": "kl_bits",
    "archive_lossy_bits": "kl_bits",
    "lossless_file_bits": "negative_elbo_bits",
    "archive_lossless_bits": "negative_elbo_bits",
}
_TITLES = {
    "kl_bits": "KL: the latent code",
    "distortion_bits": "distortion: the pixels, given the code",
    "negative_elbo_bits": "−ELBO: the exact pixels",
    "coded_latents_bits": "latent code, as coded",
    "coding_gap_bits": "coding gap of the lossy file",
    "lossy_file_bits": "lossy file",
    "lossless_file_bits": "lossless file",
    "archive_lossy_bits": "lossy, in an archive",
    "archive_lossless_bits": "lossless, in an archive",
    "differing_pixels": "pixels that differ (lossy)",
    "raw_bits": "raw, 1 bit a pixel",
    "png_bits": "PNG",
    "webp_bits": "WebP lossless",
    "avif_bits": "AVIF lossless",
    "jxl_bits": "JPEG XL lossless",
    "g4_bits": "CCITT G4 in TIFF",
    "kept_file_bits": "lossless file, by the model that suits",
    "jbig1_bits": "JBIG1",
    "jb2_bits": "JB2, lossless (DjVu)",
    "popped_bits": "popped with q(z|x)",  # from here on entries of ledgers
    "latent_bits": "pushed with p(z)",
    "code_bits": "latent codes",
    "start_bits": "latents of the first images",
    "bottom_bits": "check at the bottom",
}
_TERMS = {  # of the theory of an archive: its name, what pays for it in the file, and the name of that
    "kl_bits": ("KL: the latents", ("latent_bits", "popped_bits", "code_bits"), "latents, net"),
    "distortion_bits": ("distortion: the pixels", ("pixel_bits",), "pixels"),
    "raw_bits": ("raw pixels", ("raw_bits",), "raw pixels"),
    "order_bits": ("order given up", ("order_bits",), "order, had back"),
}
_LEDGER_HEAD = ("in theory", "bits an image", "in the file", "bits", "bits an image")


@dataclass(frozen=True)
class Measurement:
    """What was measured on `images` images of `pixels` pixels in all.

    source: where the images came from. model, sha256: what coded them.
    per_image: columns (images,) float64; a key ends in `_bits` if it counts bits.
    archives: each with kind ("lossless" or "lossy"), order ("kept" or "unordered"), chunk (images that are coded
        together), samples (of the posterior, for each image), bytes (all of it), bits_per_image, theory, the terms of
        what it must cost, in bits, and ledger, named bits that sum to 8 * bytes (had back: negative). If order is kept,
        median, p05 and p95 of what an image costs.
    sets: general compressors on all images at once, by name: bytes, payload_bytes without the container, and layout,
        how the images were laid out for it.
    kinds: what exact files take by kind of image; shown if there are several, or if it was asked who knows the images.
    classified: of `images` images, how many a classifier reads right: originals_right, lossy_right.
    unavailable: baselines that could not be measured. names: of the images, if they have any. notes: whatever else a reader
    must know.

    Raises:
        ValueError: there is no image, or a column is not (images,) of finite numbers.
    """

    source: str
    model: str
    sha256: str
    images: int
    pixels: int
    per_image: dict[str, Column]
    archives: list[Archive] = field(default_factory=list)
    kinds: list[OfKind] = field(default_factory=list)
    sets: dict[str, dict[str, Any]] = field(default_factory=dict)
    classified: dict[str, Any] | None = None
    unavailable: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.images < 1 or self.pixels < self.images:
            raise ValueError(f"a measurement needs images and their pixels, not {self.images} and {self.pixels}")
        for key, column in self.per_image.items():
            if column.shape != (self.images,) or not np.isfinite(column).all():
                raise ValueError(f"column {key} must be ({self.images},) finite numbers, not {column.shape}")

    def mean(self, key: str) -> float | None:
        """A column's mean, or None if it was not measured."""
        return float(self.per_image[key].mean()) if key in self.per_image else None


def summary(measurement: Measurement) -> dict[str, Any]:
    """All but the single images, ready for JSON: by column mean, median, p05, p95, and bits_per_pixel if it is bits."""
    return {
        "source": measurement.source,
        "model": measurement.model,
        "sha256": measurement.sha256,
        "images": measurement.images,
        "pixels": measurement.pixels,
        "columns": {key: _statistics(measurement, key) for key in measurement.per_image},
        "archives": measurement.archives,
        "kinds": [kind.as_dict() for kind in measurement.kinds],
        "sets": measurement.sets,
        "classified": measurement.classified,
        "unavailable": measurement.unavailable,
        "notes": measurement.notes,
    }


def text(measurement: Measurement) -> str:
    """Aligned tables for a terminal: theory, files, baselines, kinds, sets, archives, and the ledger of each archive."""
    head = f"{measurement.source}: {measurement.images:,} images, {measurement.pixels:,} pixels"
    parts = [f"{plain(head)}\n{plain(provenance(measurement))}"]
    parts += [aligned(table) for table in (*single_tables(measurement), *joint_tables(measurement))]
    remarks = [*facts(measurement), *missing(measurement), *measurement.notes]
    parts.append("\n".join(plain(remark) for remark in remarks))
    return "\n\n".join(parts) + "\n"


def csv_text(measurement: Measurement) -> str:
    """One line an image under the columns' keys; every number reads back as the same float."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["image", *measurement.per_image])
    columns = [column.tolist() for column in measurement.per_image.values()]
    names = measurement.names or range(measurement.images)
    writer.writerows(zip(names, *columns, strict=True))
    return out.getvalue()


# What the columns say


def percentiles(column: Column) -> dict[str, float]:
    """The median, and what 5 and 95 percent of the values are not above."""
    median, p05, p95 = (float(value) for value in np.percentile(column, [50, 5, 95]))
    return {"median": median, "p05": p05, "p95": p95}


def _statistics(measurement: Measurement, key: str) -> dict[str, float]:
    column = measurement.per_image[key]
    found = {"mean": float(column.mean()), **percentiles(column)}
    if key.endswith("_bits"):
        found["bits_per_pixel"] = float(column.sum()) / measurement.pixels
    return found


def group_of(key: str) -> str:
    """Which of `GROUPS` a column belongs to."""
    theory, ours, baselines, other = GROUPS
    if not key.endswith("_bits"):
        return other
    return theory if key in _THEORY else ours if key.startswith(_OURS) else baselines


def keys_of(measurement: Measurement, group: str) -> list[str]:
    """The columns of a group."""
    return [key for key in measurement.per_image if group_of(key) == group]


def title_of(key: str) -> str:
    """What people call a column, or an entry of a ledger."""
    if key.endswith("_payload_bits"):
        return title_of(key.removesuffix("_payload_bits") + "_bits") + ", payload"
    return _TITLES.get(key) or plain(key.removesuffix("_bits").replace("_", " "))


def _above(measurement: Measurement, key: str) -> float | None:
    """How much a column's mean lies above its theory, bits an image."""
    mean, bound = measurement.mean(key), measurement.mean(_BOUND.get(key, ""))
    return None if mean is None or bound is None else mean - bound


def facts(measurement: Measurement) -> list[str]:
    """What the lossy pictures are like, as sentences."""
    differing, seen = measurement.mean("differing_pixels"), measurement.classified
    found = []
    if differing is not None:
        share = differing * measurement.images / measurement.pixels
        found.append(f"After a lossy file {share:.1%} of the pixels differ.")
    if seen:
        before, after = (seen[key] / seen["images"] for key in ("originals_right", "lossy_right"))
        found.append(
            f"A classifier reads {before:.1%} of {seen['images']:,} originals right, and {after:.1%} of what their "
            "lossy files decompress to."
        )
    return found


def missing(measurement: Measurement) -> list[str]:
    """What could not be measured, as sentences."""
    return [f"Not measured: {line}" for line in measurement.unavailable]


def provenance(measurement: Measurement) -> str:
    """What coded the images."""
    return f"model {measurement.model}, SHA-256 {measurement.sha256}"


# Tables: rows of strings, which text and pages show alike


@dataclass(frozen=True)
class Table:
    """Named groups of rows under a head; the columns in `words` hold words, the others numbers."""

    caption: str
    head: Row
    groups: Sequence[tuple[str, Sequence[Row]]]
    words: tuple[int, ...] = (0,)
    total: Row | None = None


def number(value: float | None, digits: int = 2) -> str:
    """As people read it; nothing for None."""
    return "" if value is None else f"{value:,.{digits}f}".replace("-", "−")


def _count(bits: float) -> str:
    return number(bits, 0 if float(bits).is_integer() else 1)


def signed(value: float | None) -> str:
    """The same with its sign."""
    return number(value) if value is None or value < 0 else "+" + number(value)


def single_tables(measurement: Measurement) -> list[Table]:
    """Those of single images."""
    kinds = measurement.kinds
    shown = len(kinds) > 1 or any(one.kind.known_to is not None for one in kinds)
    return [_columns_table(measurement), *([_kinds_table(measurement)] if shown else [])]


def joint_tables(measurement: Measurement) -> list[Table]:
    """Those of many images together."""
    found = [_sets_table(measurement)] if measurement.sets else []
    if measurement.archives:
        found.append(_archives_table(measurement))
    return found + [_ledger_table(measurement, archive) for archive in measurement.archives]


def _columns_table(measurement: Measurement) -> Table:
    head = ("bits an image", "mean", "median", "5 %", "95 %", "bits a pixel", "above theory")
    groups = [
        (group, [_column_row(measurement, key) for key in keys])
        for group in GROUPS
        if (keys := keys_of(measurement, group))
    ]
    return Table("One image to a file, or on average one of an archive", head, groups)


def _column_row(measurement: Measurement, key: str) -> Row:
    found = _statistics(measurement, key)
    numbers = [number(found[name]) for name in ("mean", "median", "p05", "p95")]
    return [title_of(key), *numbers, number(found.get("bits_per_pixel"), 4), signed(_above(measurement, key))]


def _kinds_table(measurement: Measurement) -> Table:
    """Of each kind the bytes of all its exact files, ours and other codecs'."""
    codecs = [*dict.fromkeys(codec for one in measurement.kinds for codec in one.bytes)]
    folders = dict.fromkeys(one.kind.folder for one in measurement.kinds)
    groups = [
        (folder, [_kind_row(one, codecs) for one in measurement.kinds if one.kind.folder == folder])
        for folder in folders
    ]
    titles = ["vlae-codec" if codec == OURS else title_of(f"{codec}_bits") for codec in codecs]
    return Table("Exact files by kind, bytes", ("kind", "images", *titles, "against the smallest other"), groups)


def _kind_row(one: OfKind, codecs: Sequence[str]) -> Row:
    share = "" if one.excess is None else signed_share(one.excess)
    return [one.kind.told, f"{one.images:,}", *(_bytes(one.bytes.get(codec)) for codec in codecs), share]


def _bytes(size: int | None) -> str:
    return "" if size is None else f"{size:,}"


def signed_share(share: float) -> str:
    """In per cent, with its sign."""
    return f"{share:+.1%}".replace("-", "−").replace("%", " %")


def _sets_table(measurement: Measurement) -> Table:
    def size(count: int) -> tuple[str, str]:
        return f"{count:,}", number(8 * count / measurement.images)

    head = ("general compressor", "layout", "bytes", "bits an image", "payload, bytes", "payload, bits an image")
    rows = [
        [name, str(found["layout"]), *(cell for key in ("bytes", "payload_bytes") for cell in size(found[key]))]
        for name, found in measurement.sets.items()
    ]
    caption = f"All {measurement.images:,} images as one stream, in the layout that each compressor does best with"
    return Table(caption, head, [("", rows)], (0, 1))


def _archives_table(measurement: Measurement) -> Table:
    head = (
        "archive",
        "order",
        "images together",
        "samples",
        "bytes",
        "bits an image",
        "median",
        "5 %",
        "95 %",
        "theory",
        "above",
    )
    return Table("Archives", head, [("", [_archive_row(measurement, a) for a in measurement.archives])], (0, 1))


def _archive_row(measurement: Measurement, archive: Archive) -> Row:
    cost_bits, theory_bits = float(archive["bits_per_image"]), sum(archive["theory"].values()) / measurement.images
    sizes = [f"{archive[key]:,}" for key in ("chunk", "samples", "bytes")]
    spread = [number(archive.get(key)) for key in ("median", "p05", "p95")]
    above = signed(cost_bits - theory_bits)
    return [str(archive["kind"]), str(archive["order"]), *sizes, number(cost_bits), *spread, number(theory_bits), above]


def paired(theory: Mapping[str, float], ledger: Mapping[str, float]) -> list[Pair]:
    """Theory on the left, the file on the right: (term, its bits, entry, its bits).

    Each term stands beside what pays for it, net, and both sums beside each other; then comes what theory knows nothing
    of. What is indented is part of the entry above it.
    """
    others, rows, net_bits = dict(ledger), list[Pair](), 0.0
    for term, term_bits in theory.items():
        name, payers, net = _TERMS[term]
        paid = {payer: others.pop(payer) for payer in payers if payer in others}
        rows.append((name, term_bits, net, sum(paid.values())))
        net_bits += sum(paid.values())
        if len(paid) > 1:
            rows += [("", None, "  " + title_of(payer), bits) for payer, bits in paid.items()]
    if len(theory) > 1:
        name = "-ELBO" if [*theory] == ["kl_bits", "distortion_bits"] else "together"
        rows.append((name, sum(theory.values()), "together", net_bits))
    return rows + [("", None, title_of(other), bits) for other, bits in others.items()]


def _ledger_table(measurement: Measurement, archive: Archive) -> Table:
    """Theory on the left, bytes on the right. What the ledger leaves out gets a row: the total is always the file's."""
    terms, ledger, bits = archive["theory"], dict(archive["ledger"]), 8 * archive["bytes"]
    if abs(left_out := bits - sum(ledger.values())) > 1e-3:
        ledger["not in the ledger"] = left_out
    share = archive["bits_per_image"] / bits
    rows = [
        (term, "" if theory is None else number(theory * share), entry, _count(part), number(part * share))
        for term, theory, entry, part in paired(terms, ledger)
    ]
    in_theory = number(sum(terms.values()) * share)
    total = ("theory", in_theory, f"8 × {archive['bytes']:,} bytes", _count(bits), number(bits * share))
    order = "order kept" if archive["order"] == "kept" else str(archive["order"])
    caption = f"Where the bits went: {archive['kind']} archive, {order}, {archive['chunk']:,} images together"
    if archive["samples"] > 1:
        caption += f", {archive['samples']} samples of the posterior for each"
    return Table(caption, _LEDGER_HEAD, [("", rows)], (0, 2), total)


# Text


def plain(words: str) -> str:
    """Without what could move a terminal's cursor, turn the direction of text, or not be encoded."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in words)


def aligned(table: Table) -> str:
    """A table for a terminal."""
    indented = [[f"  {row[0]}" if group else row[0], *row[1:]] for group, rows in table.groups for row in rows]
    total = [table.total] if table.total else []
    cells = [[plain(cell) for cell in row] for row in [table.head, *indented, *total]]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = iter([_line(row, widths, table.words) for row in cells])
    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    out = [plain(table.caption), "", next(lines), rule]
    for group, rows in table.groups:
        out += [plain(group)] if group else []
        out += [next(lines) for _ in rows]
    return "\n".join([*out, *([rule, next(lines)] if total else [])])


def _line(row: Row, widths: Sequence[int], words: Sequence[int]) -> str:
    cells = zip(row, widths, strict=True)
    return "  ".join(c.ljust(width) if i in words else c.rjust(width) for i, (c, width) in enumerate(cells)).rstrip()
