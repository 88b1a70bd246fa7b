"""Contact sheets: many drawings in one picture."""

from __future__ import annotations

import numpy as np
from PIL import Image

from vlae_codec.errors import ImageError

from .drawing import LARGEST_PIXELS, Drawing, Look
from .images import to_picture


def check_sheet(count: int, width: int, height: int) -> None:
    """Refuses a sheet of so many drawings that has more pixels than a picture may have.

    Raises:
        ImageError: it has.
    """
    if count * width * height > LARGEST_PIXELS:
        raise ImageError(f"{count} pictures of {width}x{height} pixels are too many for one sheet: ask for fewer")


def contact_sheet(rows: list[list[Drawing]], scale: int = 1, group: int = 0) -> Image.Image:
    """Drawings in a grid on gray, each enlarged by `scale`; a wider gap after every `group` columns.

    All have the place of the largest, and stand in its middle.
    """
    sizes = [drawing.bits.shape for row in rows for drawing in row]
    height, width = (int(max(size[axis] for size in sizes)) * scale for axis in (0, 1))
    gap, columns = 2 * scale, max(map(len, rows))

    def left(column: int) -> int:
        return gap + column * (width + gap) + (2 * gap * (column // group) if group else 0)

    sheet = Image.new("RGB", (left(columns - 1) + width + gap, gap + len(rows) * (height + gap)), (128, 128, 128))
    for row, line in enumerate(rows):
        for column, drawing in enumerate(line):
            tall, wide = (int(side) * scale for side in drawing.bits.shape)
            tile = _on_gray(drawing).resize((wide, tall), Image.Resampling.NEAREST)
            at = left(column) + (width - wide) // 2, gap + row * (height + gap) + (height - tall) // 2
            sheet.paste(tile, at)
    return sheet.convert("L") if all(len(d.look.ink) == 1 for row in rows for d in row) else sheet


def _on_gray(drawing: Drawing) -> Image.Image:
    """The picture in RGB as a viewer shows it, over mid-gray where transparent."""
    look = drawing.look
    if look.deep:
        shown = Look((look.paper[0] >> 8,), (look.ink[0] >> 8,))
        return to_picture(Drawing(drawing.bits, shown)).convert("RGB")
    picture = to_picture(drawing).convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", picture.size, (128, 128, 128, 255)), picture).convert("RGB")


def square(drawings: list[Drawing]) -> list[list[Drawing]]:
    """The drawings in rows of a nearly square grid."""
    columns = int(np.ceil(np.sqrt(len(drawings))))
    return [drawings[i : i + columns] for i in range(0, len(drawings), columns)]
