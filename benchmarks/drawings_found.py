"""Foreign drawings that others made: icons of Debian packages, and the symbols of typefaces, whole ones kept from the fit.

    python benchmarks/drawings_found.py          # says which packages, and how to have them without installing any

Of each face or folder of icons (`SOURCES`) single drawings are made, in a fixed random order. Symbols that look like a
letter or a digit are left out: no model need find them foreign.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
from pathlib import Path

import matplotlib
import numpy as np
import numpy.typing as npt
from drawings_pen import Bits, Rng
from fontTools.ttLib import TTFont
from PIL import Image, ImageDraw, ImageFont

Levels = npt.NDArray[np.uint8]
INSTALLED = Path("/")
"""Where packages are unpacked if they are installed."""
_SCALE = 4
_LEAST, _MOST = 0.01, 0.97  # of a drawing that is one are ink
_WIDEST = 0.96  # of a picture's side


@dataclass(frozen=True)
class Source:
    """A typeface, of which the code points are drawn, or a folder of icons, if there are none; of a Debian package.

    With no package it comes with matplotlib.
    """

    name: str
    package: str
    path: str
    codes: tuple[range, ...] = ()

    def at(self, packages: Path) -> Path:
        """Where it is.

        Raises:
            SystemExit: it is not there.
        """
        path = packages / self.path if self.package else Path(matplotlib.get_data_path()) / self.path
        if not path.exists():
            raise SystemExit(f"{path} is missing, from the Debian package {self.package}\n{how_to_have_them()}")
        return path


_SYMBOLS = (
    range(0x2190, 0x2200),  # arrows
    range(0x2200, 0x2300),  # mathematics
    range(0x2300, 0x2400),  # technical
    range(0x25A0, 0x2600),  # geometry
    range(0x2600, 0x2700),  # miscellaneous
    range(0x2701, 0x27C0),  # dingbats
    range(0x27F0, 0x2800),  # long arrows
    range(0x2B00, 0x2B12),  # more arrows
)
_MORE = (*_SYMBOLS, range(0x2900, 0x2B00), range(0x2B12, 0x2C00), range(0x1F300, 0x1F600))
_PRIVATE, _PRIVATE_TOO = (range(0xE000, 0xF300),), (range(0xE000, 0xF900),)
_OPEN_SYMBOLS = range(0xE000, 0xE0A1), range(0xE400, 0xE6A4)
"""Without the Greek letters and the digits among them."""
_LETTERS = (range(0x41, 0x5B), range(0x61, 0x7B), range(0xC0, 0x590), range(0x10A0, 0x1100))
_CHINESE = (range(0x3041, 0x3100), range(0x4E00, 0x5800))
_LETTERLIKE = {
    *(0x2200, 0x2202, 0x2203, 0x2206, 0x2207, 0x2208, 0x220A, 0x220B, 0x220D, 0x220F, 0x2210, 0x2211, 0x2212, 0x2215),
    *(0x2216, 0x2217, 0x2218, 0x2219, 0x221A, 0x221D, 0x2223, 0x2227, 0x2228, 0x2229, 0x222A, 0x22A2, 0x22A3, 0x22A4),
    *(0x22A5, 0x22C0, 0x22C1, 0x22C2, 0x22C3, 0x25CB, 0x25E6, 0x25EF, 0x2610, 0x26AA, 0x2757),
    *range(0x2715, 0x271E),
    *range(0x2758, 0x275F),
    *range(0x2776, 0x2794),
}
_FACES, _OPEN = "usr/share/fonts/truetype", "usr/share/fonts/opentype"
_BASE, _TEX = f"{_OPEN}/urw-base35", "usr/share/texmf/fonts/opentype/public/tex-gyre-math"
SOURCES: dict[str, tuple[Source, ...]] = {
    "tuning": (
        Source("DejaVu Sans", "", "fonts/ttf/DejaVuSans.ttf", _SYMBOLS),
        Source("DejaVu Sans Bold", "", "fonts/ttf/DejaVuSans-Bold.ttf", _SYMBOLS),
        Source("DejaVu Sans Mono", "", "fonts/ttf/DejaVuSansMono.ttf", _SYMBOLS),
        Source("DejaVu Serif", "", "fonts/ttf/DejaVuSerif.ttf", _SYMBOLS),
        Source("DejaVu Math", "fonts-dejavu-extra", f"{_FACES}/dejavu/DejaVuMathTeXGyre.ttf", _SYMBOLS),
        Source("Symbola", "fonts-symbola", f"{_FACES}/ancient-scripts/Symbola_hint.ttf", _MORE),
        Source("Font Awesome", "fonts-font-awesome", f"{_FACES}/font-awesome/fontawesome-webfont.ttf", _PRIVATE),
        Source(
            "Entypo",
            "fonts-entypo",
            f"{_FACES}/fonts-entypo/entypo.ttf",
            (range(0x2190, 0x2C00), *_PRIVATE_TOO),
        ),
        Source("Asana Math", "fonts-oflb-asana-math", f"{_OPEN}/asana-math/Asana-Math.otf", _MORE),
        Source("TeX Gyre Termes Math", "fonts-texgyre-math", f"{_TEX}/texgyretermes-math.otf", _MORE),
        Source("TeX Gyre Pagella Math", "fonts-texgyre-math", f"{_TEX}/texgyrepagella-math.otf", _MORE),
        Source("OpenSymbol", "fonts-opensymbol", f"{_FACES}/libreoffice/opens___.ttf", (*_MORE, *_OPEN_SYMBOLS)),
        Source("Biolinum", "fonts-linuxlibertine", f"{_OPEN}/linux-libertine/LinBiolinum_R.otf", _MORE),
        Source("IPA Gothic", "fonts-ipafont-gothic", f"{_OPEN}/ipafont-gothic/ipag.ttf", _MORE),
        Source("Elusive", "fonts-elusive-icons", f"{_FACES}/elusive-icons/elusiveicons-webfont.ttf", _PRIVATE_TOO),
        Source(
            "Glyphicons",
            "fonts-glyphicons-halflings",
            f"{_FACES}/glyphicons/glyphicons-halflings-regular.ttf",
            (*_MORE, *_PRIVATE_TOO),
        ),
        Source("Oxygen", "oxygen-icon-theme", "usr/share/icons/oxygen"),
        Source("LXDE", "lxde-icon-theme", "usr/share/icons/nuoveXT2"),
        Source("Tango", "tango-icon-theme", "usr/share/icons/Tango"),
        Source("GNOME", "gnome-icon-theme", "usr/share/icons/gnome"),
    ),
    "held": (
        Source("STIX", "", "fonts/ttf/STIXGeneral.ttf", _SYMBOLS),
        Source("Noto Symbols", "fonts-noto-core", f"{_FACES}/noto/NotoSansSymbols-Regular.ttf", _SYMBOLS),
        Source("Noto Symbols 2", "fonts-noto-core", f"{_FACES}/noto/NotoSansSymbols2-Regular.ttf", _SYMBOLS),
        Source("Noto Math", "fonts-noto-core", f"{_FACES}/noto/NotoSansMath-Regular.ttf", _SYMBOLS),
        Source("FreeSerif", "fonts-freefont-ttf", f"{_FACES}/freefont/FreeSerif.ttf", _SYMBOLS),
        Source(
            "Material Icons",
            "fonts-material-design-icons-iconfont",
            f"{_FACES}/material-design-icons-iconfont/MaterialIcons-Regular.ttf",
            _PRIVATE,
        ),
        Source("Adwaita", "adwaita-icon-theme", "usr/share/icons/Adwaita"),
    ),
    "letters": (
        Source("DejaVu Sans, letters", "", "fonts/ttf/DejaVuSans.ttf", _LETTERS),
        Source("DejaVu Sans Bold, letters", "", "fonts/ttf/DejaVuSans-Bold.ttf", _LETTERS),
        Source("DejaVu Sans Mono, letters", "", "fonts/ttf/DejaVuSansMono.ttf", _LETTERS),
        Source("DejaVu Serif Italic, letters", "", "fonts/ttf/DejaVuSerif-Italic.ttf", _LETTERS),
        Source("Nimbus Roman, letters", "fonts-urw-base35", f"{_BASE}/NimbusRoman-Regular.otf", _LETTERS),
        Source("Nimbus Sans Narrow, letters", "fonts-urw-base35", f"{_BASE}/NimbusSansNarrow-Regular.otf", _LETTERS),
        Source("URW Gothic, letters", "fonts-urw-base35", f"{_BASE}/URWGothic-Book.otf", _LETTERS),
        Source("Z003, letters", "fonts-urw-base35", f"{_BASE}/Z003-MediumItalic.otf", _LETTERS),
        Source(
            "Droid Fallback, letters", "fonts-droid-fallback", f"{_FACES}/droid/DroidSansFallbackFull.ttf", _CHINESE
        ),
    ),
}
"""What each part is made of: `tuning` and `letters` are fitted to, `held` is only measured. Letters are not foreign, but the
likeness to characters, which a hand wrote, is told from them, too."""


def how_to_have_them() -> str:
    """The commands that fetch all packages, without installing one."""
    packages = sorted({one.package for one in chain(*SOURCES.values()) if one.package})
    return (
        f"install it, or unpack all of them into a folder that --packages names:\n  apt-get download {' '.join(packages)}\n"
        '  for one in *.deb; do dpkg-deb -x "$one" FOLDER; done'
    )


@cache
def items(source: Source, packages: Path) -> tuple[int | Path, ...]:
    """The code points that a face has, or the icons of 16 to 128 pixels of a folder, in a fixed random order."""
    path = source.at(packages)
    if source.codes:
        there = TTFont(path, fontNumber=0).getBestCmap()
        found: list[int | Path] = [code for code in chain(*source.codes) if code in there and code not in _LETTERLIKE]
    else:
        found = [one for one in sorted(path.rglob("*.png")) if one.exists() and "cursor" not in str(one)]
        found = [one for one in found if isinstance(one, Path) and 16 <= max(_sides(one)) <= 128]
    order = np.random.default_rng(zlib.crc32(source.name.encode())).permutation(len(found))
    return tuple(found[place] for place in order)


def _sides(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def drawn(
    source: Source, item: int | Path, rng: Rng, packages: Path, width: int = 28, height: int = 28, bold: float = 0.0
) -> Levels:
    """One of them at a random size about in the middle of a picture: (H, W), 255 = ink; symbols bolder by such pixels."""
    if isinstance(item, int):
        return symbol(source.at(packages), item, rng, width, height, bold)
    return _icon(item, rng, width, height)


def symbol(face: Path, code: int, rng: Rng, width: int, height: int, bold: float) -> Levels:
    """A character of a face, about so large that it fits."""
    side = min(width, height)
    font = ImageFont.truetype(str(face), round(_SCALE * side * rng.uniform(0.5, 0.96)))
    left, top, right, bottom = font.getbbox(chr(code))
    if (longest := max(right - left, bottom - top)) > _WIDEST * _SCALE * side:
        font = ImageFont.truetype(str(face), max(8, int(font.size * _WIDEST * _SCALE * side / longest)))
        left, top, right, bottom = font.getbbox(chr(code))
    across, down = (int(step) for step in rng.integers(-_SCALE, _SCALE + 1, 2))
    image = Image.new("L", (width * _SCALE, height * _SCALE))
    at = (width * _SCALE - left - right) / 2 + across, (height * _SCALE - top - bottom) / 2 + down
    ImageDraw.Draw(image).text(at, chr(code), 255, font, stroke_width=round(_SCALE * bold))
    return np.asarray(image.resize((width, height), Image.Resampling.BOX))


def _icon(path: Path, rng: Rng, width: int, height: int) -> Levels:
    """An icon on white, no larger than it is; what is dark is ink."""
    with Image.open(path) as opened:
        image = opened.convert("RGBA")
    paper = Image.new("RGBA", image.size, (255,) * 4)
    paper.alpha_composite(image)
    gray = paper.convert("L")
    side = round(min(width, height) * rng.uniform(0.8, 1.0))
    gray.thumbnail((side, side))
    found = Image.new("L", (width, height), 255)
    found.paste(gray, ((width - gray.width) // 2, (height - gray.height) // 2))
    return 255 - np.asarray(found)


def drawings(source: Source, count: int, seed: int, packages: Path, sizes: Sequence[tuple[int, int]]) -> Iterator[Bits]:
    """So many different drawings of a source, 1 = ink, their sizes in turn; fewer, if it has no more."""
    had = set[bytes]()
    for number, item in enumerate(items(source, packages)):
        rng = np.random.default_rng([seed, zlib.crc32(source.name.encode()), number])
        bits = (drawn(source, item, rng, packages, *sizes[len(had) % len(sizes)]) >= 128).astype(np.uint8)
        if _LEAST <= bits.mean() <= _MOST and bits.tobytes() not in had:
            had.add(bits.tobytes())
            yield bits
        if len(had) == count:
            return


if __name__ == "__main__":
    print(how_to_have_them())
