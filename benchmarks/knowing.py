"""Fits what tells a drawing model's own kind from all other drawings: `vlae_codec/knowing.json`.

    python benchmarks/knowing.py --data DIR [--packages DIR]       # some ten minutes

The model's own kind are test images that `benchmarks/drawings.py` does not measure; all others are drawings of 28x28 that
`drawings_corpus.fields` and `fields_found` give. A logistic regression on the figures of `vlae_codec/field/knowing.py` and
their products, both sides of equal weight. Quantiles are of scores of drawings that were left out of the fit, a fifth at a
time, and each with its mirror image. One of the figures is of a network: `benchmarks/likeness.py` comes first.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import drawings_corpus
import numpy as np
import numpy.typing as npt
from drawings_found import INSTALLED
from drawings_sets import ALONE, MIRRORED, SUBJECTS, own_drawings, rarer_ink

from vlae_codec import zoo
from vlae_codec.family import Judged
from vlae_codec.field import knowing
from vlae_codec.picture.drawing import Drawing

ROOT = Path(__file__).parent.parent
Floats = npt.NDArray[np.float64]
_USUAL = {"caltech101": 0.008, "omniglot": 0.008, "mnist-dynamic": 0.004}
"""The quantile of the own kind's scores below which one is odd."""
_LEAST = 0.0005  # below that quantile one is not even of a sheet
_FOLDS, _RIDGE = 5, 1e-2


def main() -> None:
    """Writes what is to be known of all models."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--packages", type=Path, default=INSTALLED)
    options = parser.parse_args()
    folder = options.data
    foreign = [
        rarer_ink(one.bits) for one in (*drawings_corpus.fields(), *drawings_corpus.fields_found(options.packages))
    ]
    tuning = {subject: own_drawings(subject, folder, "tuning") for subject in {*SUBJECTS.values()}}
    found = {}
    for name, subject in SUBJECTS.items():
        found[zoo.named(name).digest.hex()] = {
            "name": name,
            **entry(name, tuning[subject], foreign, 2 if subject == MIRRORED else 1),
        }
        (ROOT / "vlae_codec" / "knowing.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def entry(name: str, own: list[Drawing], foreign: list[Drawing], alike: int) -> dict[str, Any]:
    """What is to be known of a model, from drawings of its kind, left out `alike` at a time, and others: a field each."""
    both = [seen(name, drawings) for drawings in (own, foreign)]
    mean, deviation = rounded(both[0].mean(axis=0)), rounded(both[0].std(axis=0) + 1e-3)
    x, y = (knowing.terms(one, mean, deviation) for one in both)
    scores, others = np.empty(len(x)), np.empty(len(y))
    for fold in range(_FOLDS):
        mine, theirs = np.arange(len(x)) // alike % _FOLDS == fold, np.arange(len(y)) % _FOLDS == fold
        weights = fitted(x[~mine], y[~theirs])
        scores[mine], others[theirs] = x[mine] @ weights, y[theirs] @ weights
    usual, least = np.quantile(scores, [_USUAL[name], _LEAST]).tolist()
    print(f"{name}: {(others >= usual).mean():.2%} of {len(others)} foreign fields pass", flush=True)
    return {
        "mean": mean,
        "deviation": deviation,
        "weights": rounded(fitted(x, y)),
        "usual": round(usual, 3),
        "least": round(least, 3),
        "alone": name in ALONE,
    }


def seen(name: str, drawings: list[Drawing]) -> Floats:
    """The figures of drawings of one field each: (n, F)."""
    own, others = judged(name, drawings), [one for one in zoo.drawers() if SUBJECTS[one] != SUBJECTS[name]]
    costs = [judged(other, drawings) for other in others]
    return np.concatenate([knowing.figures_of(one, rest) for one, *rest in zip(own, *costs, strict=True)])


def judged(name: str, drawings: list[Drawing]) -> list[Judged]:
    """As the model judges them; told once."""
    key = name, id(drawings)
    if key not in _JUDGED:
        _JUDGED[key] = knowing.judge(zoo.named(name), drawings)  # type: ignore[arg-type]
    return _JUDGED[key]


_JUDGED = dict[tuple[str, int], list[Judged]]()


def fitted(own: Floats, others: Floats) -> Floats:
    """The weights of the score, by Newton's method."""
    x = np.column_stack([np.concatenate([own, others]), np.ones(len(own) + len(others))])
    y = np.repeat([1.0, 0.0], [len(own), len(others)])
    share = np.repeat([1 / len(own), 1 / len(others)], [len(own), len(others)])
    found, ridge = np.zeros(x.shape[1]), np.append(np.full(own.shape[1], _RIDGE), 1e-9)
    for _ in range(100):
        p = 1 / (1 + np.exp(-(x @ found).clip(-30, 30)))
        curved = (x * (share * p * (1 - p))[:, None]).T @ x + np.diag(ridge)
        found += np.linalg.solve(curved, x.T @ (share * (y - p)) - ridge * found)
    return found[:-1]


def rounded(values: Floats) -> list[float]:
    """To four digits."""
    return [float(f"{value:.4g}") for value in values]


if __name__ == "__main__":
    main()
