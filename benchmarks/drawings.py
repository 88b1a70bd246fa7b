"""What drawing models take as lossy, and what is kept exactly, as `vlae-codec compress` decides: results/drawings.json.

    python benchmarks/drawings.py --data DIR [--packages DIR]      # a quarter of an hour

1,000 test images of each kind that a model knows, apart from those that thresholds were found on (`knowing.py`); and the
foreign drawings of `drawings_corpus`, one half for tuning: by code; icons and symbols of eight sizes that others made; and
these all of 28x28, where models may know them. A foreign drawing is *wrong* if it is sampled and more than 2 % of its
pixels change. What was measured is told by the hashes of `MEASURED`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import drawings_corpus
from drawings_corpus import Foreign
from drawings_found import INSTALLED
from drawings_sets import held_sets, rarer_ink

from vlae_codec import codec
from vlae_codec.choose import chooser
from vlae_codec.family import DEFAULT_EFFORT, Ask
from vlae_codec.picture.drawing import Drawing, raster_of
from vlae_codec.picture.reading import Readable

ROOT = Path(__file__).parent.parent
MEASURED = "knowing.json", "likeness.npz"
"""What decides, in the package's folder."""
_BATCH = 100
SLIGHT = 0.02
"""A drawing of which no larger share of pixels changes is not wrong."""


def main() -> None:
    """Measures all, and writes it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--effort", type=int, default=DEFAULT_EFFORT)
    parser.add_argument("--packages", type=Path, default=INSTALLED)
    options = parser.parse_args()
    corpora: dict[str, Callable[[str], Iterator[Foreign]]] = {
        "foreign": drawings_corpus.corpus,
        "found": partial(drawings_corpus.found, packages=options.packages),
        "found_of_28": partial(drawings_corpus.found, packages=options.packages, sizes=(drawings_corpus.FIELD,)),
    }
    drawings = {key: {part: [*corpus(part)] for part in drawings_corpus.PARTS} for key, corpus in corpora.items()}
    found: dict[str, Any] = {"effort": options.effort, "measured": measured()}
    found["own"] = {title: taken(own, options.effort) for title, own in held_sets(options.data)}
    for key, parts in drawings.items():
        found[key] = {part: kept(corpus, options.effort) for part, corpus in parts.items()}
    (ROOT / "results" / "drawings.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def measured() -> dict[str, str]:
    """The SHA-256 of what decides."""
    return {name: hashlib.sha256((ROOT / "vlae_codec" / name).read_bytes()).hexdigest() for name in MEASURED}


def compressed(drawings: Sequence[Drawing], effort: int) -> list[codec.Ledger | None]:
    """The ledgers of drawings as `compress` codes them; None of those that are kept exactly."""
    choice, found = chooser(Ask(effort=effort)), list[codec.Ledger | None]()
    for start in range(0, len(drawings), _BATCH):
        rasters = [raster_of(drawing) for drawing in drawings[start : start + _BATCH]]
        seen = [choice.see(Readable.of_raster(raster)) for raster in rasters]
        known = [one for one, ways in zip(seen, choice.settle(seen), strict=True) if not ways[0].ask.lossless]
        ledgers = iter(one.encoded.ledger for one in map(codec.kept, codec.smallest(choice, known)))
        for one in seen:
            ledger = next(ledgers) if any(one is other for other in known) else None
            found.append(None if ledger is None or ledger.kept_exactly else ledger)
        print(f"{time.strftime('%X')} {len(found)} of {len(drawings)}", flush=True)
    return found


def taken(drawings: Sequence[Drawing], effort: int) -> dict[str, Any]:
    """How many drawings are taken as lossy, by which models, and what they cost."""
    lossy = [ledger for ledger in compressed(drawings, effort) if ledger is not None]
    return {
        "images": len(drawings),
        "lossy": len(lossy),
        "by_model": dict(Counter(ledger.model for ledger in lossy)),
        "bytes": sum(ledger.total_bytes for ledger in lossy) / len(lossy),
    }


def kept(corpus: Sequence[Foreign], effort: int) -> dict[str, Any]:
    """Of foreign drawings, by kind: how many are kept exactly, sampled with few changes, and wrong."""
    ledgers = compressed([rarer_ink(one.bits) for one in corpus], effort)
    kinds: dict[str, Counter[str]] = {one.kind: Counter(exact=0, slight=0, wrong=0) for one in corpus}
    wrong = []
    for one, ledger in zip(corpus, ledgers, strict=True):
        share = ledger.differing_pixels / one.bits.size if ledger else 0.0
        verdict = "exact" if ledger is None else "slight" if share <= SLIGHT else "wrong"
        kinds[one.kind][verdict] += 1
        if ledger and verdict == "wrong":
            wrong.append(
                {
                    "kind": one.kind,
                    "number": one.number,
                    "size": one.bits.shape[::-1],
                    "share": share,
                    "model": ledger.model,
                }
            )
    total = sum(kinds.values(), Counter[str]())
    return {
        "drawings": len(corpus),
        **{key: total[key] for key in ("exact", "slight", "wrong")},
        "kinds": kinds,
        "wrong_ones": wrong,
    }


if __name__ == "__main__":
    main()
