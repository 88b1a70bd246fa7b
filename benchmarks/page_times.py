"""How long pages take, and how much memory: whole commands, on one core.

    python benchmarks/page_times.py --data DIR/pages --json results/page_times.json

Of every scan that is so large the middle of 1728x2376 pixels, as a PNG file, and of all scans the cut with the most ends of
runs. Then a page of 16384x16384, blank but for a line of a scan every 500 rows, exact and for -Q 50; and noise. Last an icon
of 200x200, drawn by code, and a digit, which shows what the start of the tool takes: medians of some runs.
Seconds are those of the processor, with all that a process does from its start; memory is the peak of the process. The
first command, which compiles, is not counted.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from drawings_kinds import icon
from many_pages import levels_of
from PIL import Image

from vlae_codec.picture.drawing import demo_digits

HEIGHT, WIDTH = 2376, 1728
WAYS = "compress", "decompress"
_HUGE = 1 << 14
_STEP = 128  # between cuts that are tried
_RUNS = 9  # of what takes less than a second


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True, help="the folder of pages")
    parser.add_argument("--json", type=Path, default=Path("results/page_times.json"))
    arguments = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    pages = {path.stem: page for path in sorted(arguments.data.glob("*.png")) if large(page := levels_of(path))}
    cuts = [(name, "middle", cut(page, *middle(page))) for name, page in pages.items()]
    name, place = max(
        ((name, place) for name, page in pages.items() for place in places(page)),
        key=lambda one: ends(cut(pages[one[0]], *one[1])),
    )
    cuts.append((name, "densest", cut(pages[name], *place)))
    noise = np.random.default_rng(0).integers(0, 2, (4000, 4000), np.uint8) * np.uint8(255)
    cuts += [("huge", "huge", huge(pages[name])), ("noise", "noise", noise)]
    Image.MAX_IMAGE_PIXELS = None
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        measured(Path(folder), cuts[0][2])
        for name, what, levels in cuts:
            rows.append({"name": name, "cut": what, **measured(Path(folder), levels)})
            print(rows[-1], flush=True)
            if what == "huge":
                rows.append({"name": name, "cut": "huge, -Q 50", **measured(Path(folder), levels, "-Q", "50")})
        for name, bits, asked in (
            ("icon", icon(np.random.default_rng(0), 200, 200), ()),
            ("digit", demo_digits()[31].bits, ("--lossy",)),
        ):
            levels = np.where(bits, np.uint8(0), np.uint8(255))
            runs = [measured(Path(folder), levels, *asked) for _ in range(_RUNS)]
            rows.append({"name": name, "cut": name, **runs[0], **{way: median(runs, way) for way in WAYS}})
            print(rows[-1], flush=True)
    arguments.json.write_text(json.dumps({"pages": rows}, indent=1) + "\n", encoding="utf-8")


def median(runs: list[dict[str, Any]], way: str) -> dict[str, float]:
    """Of what several runs of a command took."""
    return {what: statistics.median(run[way][what] for run in runs) for what in runs[0][way]}


def large(page: npt.NDArray[np.uint8]) -> bool:
    """Whether a cut fits."""
    return page.shape[0] >= HEIGHT and page.shape[1] >= WIDTH


def middle(page: npt.NDArray[np.uint8]) -> tuple[int, int]:
    """Top and left of the cut in the middle."""
    return (page.shape[0] - HEIGHT) // 2, (page.shape[1] - WIDTH) // 2


def places(page: npt.NDArray[np.uint8]) -> list[tuple[int, int]]:
    """Top and left of cuts all over a page."""
    height, width = page.shape
    return [(top, left) for top in range(0, height - HEIGHT + 1, _STEP) for left in range(0, width - WIDTH + 1, _STEP)]


def cut(page: npt.NDArray[np.uint8], top: int, left: int) -> npt.NDArray[np.uint8]:
    """So much of a page: (HEIGHT, WIDTH)."""
    return page[top : top + HEIGHT, left : left + WIDTH]


def ends(levels: npt.NDArray[np.uint8]) -> int:
    """Pixels that differ from the one on their left."""
    return int((levels[:, 1:] != levels[:, :-1]).sum())


def huge(page: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """A page of `_HUGE` pixels on a side with lines of 64 rows of another one, again and again."""
    out = np.full((_HUGE, _HUGE), 255, np.uint8)
    height, width = page.shape
    for number, top in enumerate(range(200, _HUGE - 64, 500)):
        start = 64 * number % (height - 64)
        for left in range(0, _HUGE - width + 1, width):
            out[top : top + 64, left : left + width] = page[start : start + 64]
    return out


def measured(folder: Path, levels: npt.NDArray[np.uint8], *asked: str) -> dict[str, Any]:
    """A page compressed and decompressed, each by a process of its own; what comes back is checked where it is exact."""
    source, file, back = (str(folder / name) for name in ("page.png", "page.vlz", "back.png"))
    Image.fromarray(levels).convert("1").save(source)
    there = command("compress", source, "-o", file, "-f", *asked)
    again = command("decompress", file, "-o", back, "-f")
    with Image.open(back) as image:
        if not (asked or np.array_equal(np.asarray(image.convert("L")), levels)):
            raise SystemExit("the page is not what it was")
    found = {"ink": float((levels == 0).mean()), "ends": ends(levels), "bytes": os.path.getsize(file)}
    return {**found, "compress": there, "decompress": again}


_RUN = """
import json, os, sys
process = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(process, 0)
print(json.dumps([status, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024]))
"""
"""By a process of its own, which is small: a process has its peak from the one that began it."""


def command(*arguments: str) -> dict[str, float]:
    """Seconds of the processor and the peak of memory, in bytes, of a command."""
    line = [str(Path(sys.executable).with_name("vlae-codec")), *arguments, "--quiet"]
    run = subprocess.run([sys.executable, "-c", _RUN, *line], check=True, capture_output=True, text=True)
    status, seconds, peak_bytes = json.loads(run.stdout)
    if status:
        raise SystemExit(f"{' '.join(line)}: {run.stderr}")
    return {"seconds": seconds, "peak_bytes": peak_bytes}


if __name__ == "__main__":
    main()
