"""Puts measured figures into README.md: each block between `<!-- table NAME -->` and `<!-- end -->` is rewritten.

    python benchmarks/tables.py            # rewrite
    python benchmarks/tables.py --check    # exit 1 if README.md is not what results/*.json make of it

Nothing in those blocks is typed by hand.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
Table = dict[str, Any]


def main() -> None:
    """Rewrites, or checks."""
    path = ROOT / "README.md"
    old = path.read_text(encoding="utf-8")
    new = rendered(old)
    if "--check" in sys.argv:
        raise SystemExit(old != new)
    path.write_text(new, encoding="utf-8")


def rendered(text: str) -> str:
    """The text with every block made anew."""

    def block(match: re.Match[str]) -> str:
        return f"<!-- table {match[1]} -->\n{TABLES[match[1]]()}\n<!-- end -->"

    return re.sub(r"<!-- table (\w+) -->\n.*?<!-- end -->", block, text, flags=re.DOTALL)


def result(name: str) -> Table:
    """results/NAME.json."""
    table: Table = json.loads((ROOT / "results" / f"{name}.json").read_text(encoding="utf-8"))
    return table


def markdown(header: list[str], rows: list[list[str]]) -> str:
    """A table, its first column text and the others figures."""
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def model() -> str:
    """The float model, from `vlae-codec evaluate`."""
    e = result("evaluate-mnist")
    better = e["nll_nats"] + e["paired_difference_nats"]
    rows = [
        [
            f"NLL, {e['samples']} importance samples, all {e['images']:,} images",
            f"{e['nll_nats']:.2f} ± {e['nll_nats_se']:.2f}",
            f"{e['nll_bits']:.1f}",
            "",
        ],
        [
            f"{e['paired_samples']} samples less {e['samples']}, paired, on {e['paired_images']} images",
            f"{e['paired_difference_nats']:.3f} ± {e['paired_difference_nats_se']:.3f}",
            f"{e['paired_difference_bits']:.2f}",
            "",
        ],
        [f"hence NLL, {e['paired_samples']} samples", f"{better:.2f}", f"{better / 0.693147:.1f}", "79.03"],
        ["−ELBO", f"{-e['elbo_nats']:.2f} ± {e['elbo_nats_se']:.2f}", f"{-e['elbo_bits']:.1f}", ""],
        ["rate: KL(q(z\\|x) ‖ p(z))", f"{e['kl_nats']:.2f}", f"{e['kl_bits']:.1f}", "13.3"],
        ["distortion: −log p(x\\|z)", f"{e['distortion_nats']:.2f}", f"{e['distortion_bits']:.1f}", ""],
    ]
    return markdown(["statically binarised MNIST, test", "nats", "bits", "paper, nats"], rows)


def quality() -> str:
    """Files, from `benchmarks/quality.py`."""
    q = result("quality")
    theory, lossless = q["theory"], q["lossless"]
    rows = [
        [
            f"lossy, effort {row['effort']}",
            f"{theory['kl_bits']:.1f}",
            f"{row['coded_bits']:.1f}",
            f"{row['total_bytes']:.2f}",
            f"{row['coding_gap_bits']:+.2f}",
            f"{row['differing_pixels_share']:.1%}",
            f"{row['classified_right']:.1%}",
        ]
        for row in q["lossy"]
    ]
    exact = [
        "lossless, effort 5",
        f"{theory['negative_elbo_bits']:.1f}",
        f"{lossless['coded_bits']:.1f}",
        f"{lossless['total_bytes']:.2f}",
        f"{lossless['coded_minus_negative_elbo_bits']:+.2f}",
        "0 %",
        f"{q['originals_classified_right']:.1%}",
    ]
    header = ["", "theory, bits", "coded, bits", "file, bytes", "gap, bits", "pixels that differ", "same digit read"]
    return markdown(header, [*rows, exact])


def speed() -> str:
    """Times, from `benchmarks/speed.py`."""
    s = result("speed")
    rows = [
        [f"`{name}`, one process", f"{row['seconds']:.2f} s", f"{row['ratio']:.1f} × the bare imports"]
        for name, row in s["processes"].items()
    ]
    batch = s["batches"]
    rows += [
        [f"{name}, batch", f"{rate:.0f} images/s", f"{s['cores']} cores"]
        for name, rate in batch["images_per_second"].items()
    ]
    return markdown(["", "", ""], rows)


TABLES: dict[str, Callable[[], str]] = {"model": model, "quality": quality, "speed": speed}

if __name__ == "__main__":
    main()
