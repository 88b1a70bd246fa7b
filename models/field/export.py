"""Turns a trained VLAE into the integer model that the codec runs: weights to 16 bits, latents to a lattice.

`integer` says how weights are rounded; here the lattice and the code of octaves are chosen, and the result is checked.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from vlae_codec import codec
from vlae_codec.coding.bits import LONGEST_SYMBOL_BITS
from vlae_codec.errors import ConfigError, Progress
from vlae_codec.exact.fixed import LATENT_BITS, code_length_bits
from vlae_codec.family import DEFAULT_EFFORT, Ask
from vlae_codec.field.coder import FieldCoder
from vlae_codec.field.latents import SYMBOLS
from vlae_codec.field.search import distortion_bits
from vlae_codec.files import write
from vlae_codec.models import config as configs
from vlae_codec.models import data
from vlae_codec.models.config import Round
from vlae_codec.models.train import load_average
from vlae_codec.picture.drawing import Drawing, raster_of

from . import integer as integers
from .integer import Arrays, check_kind, to_arrays
from .vlae import VLAE

CELLS = 128
"""Lattice points per latent: the support is 128 steps wide."""
TYPICAL_LENGTHS = [14, 14, 13, 9, 8, 12, 9, 9, 5, 6, 6, 4, 4, 4, 4, 4, 4, 2, 3, 5, 4, 4, 6, 11, 10, 10] + [11] * 6
"""Code lengths for the octaves that a first model wanted: a fit on few images must beat them on others to be taken.

What is chosen depends on the lengths and they on what is chosen, so a fit that starts from equal ones stays spread out.
"""
FILES = "card.md", "model.json", "weights.npz"
"""Of a model's folder: by the last, it holds a model."""
PARITY_NATS = 0.05
"""Integer and float model agree on the mean ELBO to this."""
SHARED_KL = 0.65
"""The share of the KL in the latents that the branches of a codebook root have in common.

At 0.8, images of a KL beyond 20 bits find no root among 2^17 whose latents fit; at 0.55, too many roots fit to grow them.
"""


def export(model: VLAE, steps: npt.NDArray[np.int64], split: int, octave_lengths: list[int]) -> Arrays:
    """All arrays of the integer model.

    Args:
        steps: the lattice step of each active latent, in units of 2^-12, (D,).
        split: how many latents the branches of a codebook root share.
        octave_lengths: code lengths of the symbols of the latent section, bits.

    Raises:
        ConfigError: the model is not one that the codec knows.
    """
    return {
        "octave_lengths": np.array(octave_lengths, np.uint8),
        "prior.split": np.array(split, np.int64),
        **to_arrays(model),
        "prior.steps": steps,
        "prior.lowest": np.full(len(steps), -CELLS // 2, np.int64),
        "prior.cells": np.array(CELLS, np.int64),
    }


def save(folder: Path, arrays: Arrays, name: str, about: Mapping[str, Any]) -> None:
    """Writes `weights.npz` and `model.json`; `about` goes into the latter, for people."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = folder / "weights.npz"
    np.savez(weights, **arrays)
    identity = {"name": name, "sha256": hashlib.sha256(weights.read_bytes()).hexdigest()}
    (folder / "model.json").write_text(json.dumps({**identity, **about}, indent=2) + "\n")


def export_run(
    run: Path,
    folder: Path,
    name: str,
    step: float,
    data_folder: Path,
    progress: Progress | None = None,
) -> str:
    """Exports a run's averaged model to `folder`; lattice steps and the table of octaves are fitted on training images.

    What the folder held before stays until all is done and well.

    Args:
        step: lattice step in units of the geometric mean of the posterior's deviation.
        progress: told (what, done, total).

    Returns:
        One line on how the integer model's ELBO compares with the float model's.

    Raises:
        ConfigError: they differ by more than PARITY_NATS, the codec has no such model, or the step is not positive.
    """
    if not 0 < step < math.inf:
        raise ConfigError(f"the lattice step must be a positive number, not {step}")
    float_model, rounds, _ = load_average(run)
    check_kind(float_model)
    config = rounds[-1].config
    images = data.shuffled_part(data.load(config.data.name, config.data.parts, data_folder), 400, config.train.seed)
    fields = data.binarise(images, np.random.default_rng(config.train.seed))
    sigma, split = _posterior_statistics(float_model, fields)
    steps = np.maximum(1, np.floor(sigma * step * 2.0**LATENT_BITS + 0.5)).astype(np.int64)
    about = {
        "rounds": [configs.round_to_dict(one) for one in rounds],
        "step": step,
        "mostly_ink": mostly_ink(fields),
    }
    bits = fields[:, 0].astype(np.uint8)

    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".vlae-") as temporary:
        made = Path(temporary)

        def tried(lengths: list[int]) -> FieldCoder:
            save(made, export(float_model, steps, split, lengths), name, about)
            return integers.load(made)

        integer = tried(_best_lengths(tried, bits, progress))
        integer_nats, float_nats = parity(float_model, integer, fields)
        if not abs(integer_nats - float_nats) <= PARITY_NATS:  # nor is nan
            raise ConfigError(
                f"the integer model's ELBO is {integer_nats:.3f} nats, the float model's {float_nats:.3f}, more than "
                f"{PARITY_NATS} apart, so that it is not written: a model that was trained longer may round better"
            )
        describe(made, {})
        for file in FILES:
            os.replace(made / file, folder / file)
    return f"ELBO on {len(fields)} training images: float {float_nats:.3f} nats, integer {integer_nats:.3f} nats"


def mostly_ink(fields: npt.NDArray[np.float32]) -> float:
    """The share of fields (B, 1, 28, 28) of which more than half is ink."""
    return float((fields.mean(axis=(1, 2, 3)) > 0.5).mean())


def describe(folder: Path, figures: Mapping[str, Any]) -> None:
    """Writes what `evaluate` measured into an exported model's `model.json` and `card.md`; its weights stay as they are.

    Raises:
        KeyError: a figure is missing; nothing is written.
        ModelError: the model is damaged.
    """
    about = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    figures = {
        key: value for key, value in figures.items() if key in ("data", "part") or isinstance(value, (int, float))
    }
    rounds = [configs.round_from_dict(one) for one in about["rounds"]]
    active = len(integers.load(folder).prior.steps)
    page = card(about["name"], rounds, active, about["step"], figures)
    write(folder / "model.json", (json.dumps({**about, "figures": figures}, indent=2) + "\n").encode(), force=True)
    write(folder / "card.md", page.encode(), force=True)


@torch.no_grad()
def _posterior_statistics(model: VLAE, fields: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float32], int]:
    """The geometric mean of each active latent's deviation, and how many of the first carry SHARED_KL of the KL."""
    x, active = torch.from_numpy(fields), model.active.bool()
    _, log_sigma = model.encoder(x)
    noise = torch.from_numpy(np.random.default_rng(1).standard_normal(log_sigma.shape, dtype=np.float32))
    kl_nats = model(x, noise)[1][:, active].mean(0).numpy()
    split = int(np.searchsorted(kl_nats.cumsum(), SHARED_KL * kl_nats.sum())) + 1
    return log_sigma[:, active].mean(0).exp().numpy(), min(split, len(kl_nats))


def card(name: str, rounds: Sequence[Round], active: int, step: float, figures: Mapping[str, Any]) -> str:
    """A page for people: how the model of so many active latents was made, in which rounds, and what it gives."""
    run, config = rounds[-1].run, rounds[-1].config
    lines = [
        f"# {name}",
        "",
        f"A VLAE of {active} active latents (of {config.model.latents}), trained in "
        f"{sum(one.hours for one in rounds):.2f} hours:",
        "",
        *map(_line, rounds),
        "",
        f"Measured, exported and described, with RUN the folder of `{run}`, by",
        "",
        f"    vlae-codec evaluate RUN {_asked(figures, config.data.name)} -o figures.json",
        f"    vlae-codec export RUN -o {name} --step {step} --data DIR",
        f"    vlae-codec card {name} figures.json",
        "",
    ]
    if figures:
        lines += [f"On {data.titled(figures['data'])}, {figures['part']}, {figures['images']} images:", ""]
        lines += ["| | nats | bits | bits/dim |", "|---|---|---|---|"]
        for key, what in _FIGURES.items():
            if key == "paired_difference" and not figures["paired_images"]:
                continue
            nats, error = figures[f"{key}_nats"], figures.get(f"{key}_nats_se")
            text = f"{nats:.3f}" + (f" ± {error:.3f}" if error is not None else "")
            what = what.format(**figures)
            lines.append(f"| {what} | {text} | {figures[f'{key}_bits']:.2f} | {figures[f'{key}_bpd']:.4f} |")
    return "\n".join(lines) + "\n"


def _asked(figures: Mapping[str, Any], trained_on: str) -> str:
    """The options of the `evaluate` that measured the figures; without any, of the one that is usual for a card."""
    paired_images = figures.get("paired_images", 1000)
    options = (
        ("--on", figures.get("data", trained_on), trained_on),
        ("--data", "DIR", ""),
        ("--part", figures.get("part", "test"), "test"),
        ("--images", figures.get("images"), figures.get("part_images", figures.get("images"))),
        ("--samples", figures.get("samples", 128), 128),
        ("--paired-images", paired_images, 0),
        ("--paired-samples", figures["paired_samples"] if figures and paired_images else 4096, 4096),
    )
    return " ".join(f"{option} {value}" for option, value, usual in options if value != usual)


_FIGURES = {
    "elbo": "ELBO",
    "kl": "rate (KL)",
    "distortion": "distortion",
    "nll": "NLL, {samples} importance samples",
    "paired_difference": "NLL with {paired_samples} samples less that, on {paired_images} images",
}


def _line(one: Round) -> str:
    c, images, model = one.config.train, one.config.data, one.config.model
    what = f"`vlae-codec train {one.run} --data DIR`" if configs.ships(one.run, one.config) else f"the run `{one.run}`"
    begun = f", from the weights of {c.initial}" if c.initial else ""
    mirrored = ", mirrored half of the time" if images.mirrored else ""
    warped = f", warped in the first {c.warp_epochs} epochs" if images.warp else ""
    dropout = ", with dropout" if model.dropout or model.dense_dropout else ""
    return (
        f"- {what}: {images.name} ({' + '.join(images.parts)}){mirrored}{warped}, "
        f"{c.epochs} epochs{dropout}, {one.steps} steps of {c.batch_size} images, {one.hours:.2f} hours{begun}"
    )


@torch.no_grad()
def parity(float_model: VLAE, integer: FieldCoder, fields: npt.NDArray[np.float32]) -> tuple[float, float]:
    """Mean ELBO of the integer and of the float model on fields (B, 1, 28, 28), for the same lattice latents, nats.

    Both rates take q's density at the lattice point, so that only the arithmetic differs.
    """
    active = float_model.active.bool()
    mu, log_sigma = float_model.encoder(torch.from_numpy(fields))
    noise = torch.from_numpy(np.random.default_rng(0).standard_normal(mu.shape, dtype=np.float32))
    k = integer.prior.nearest((mu + noise * log_sigma.exp())[:, active].numpy() * 2.0**LATENT_BITS)
    z = torch.zeros_like(mu)
    z[:, active] = torch.from_numpy((integer.prior.values(k) * 2.0**-LATENT_BITS).astype(np.float32))
    steps_nats = float(np.log(integer.prior.steps * 2.0**-LATENT_BITS).sum())
    log_q = (-0.5 * ((z - mu) / log_sigma.exp()) ** 2 - log_sigma)[:, active].sum(1).mean().item()
    log_p = float_model.prior.log_prob(z)[:, active].sum(1).mean().item()
    float_nats = float_model.log_likelihood(torch.from_numpy(fields), z).mean().item() - log_q + log_p
    bits = fields[:, 0].astype(np.uint8)
    exact_mu, exact_log_sigma = (part * 2.0**-LATENT_BITS for part in integer.encoder(bits))
    values = integer.prior.values(k) * 2.0**-LATENT_BITS
    log_q = (-0.5 * ((values - exact_mu) / np.exp(exact_log_sigma)) ** 2 - exact_log_sigma).sum(1).mean()
    log_p = -np.log(2) * code_length_bits(integer.prior.counts(k)).sum(1).mean() - steps_nats
    likelihood = -np.log(2) * distortion_bits(integer, bits, np.ones(bits.shape, bool), k).mean()
    constant = 0.5 * np.log(2 * np.pi) * len(integer.prior.steps)  # of the normal density, left out of log_q above
    return float(likelihood - log_q + log_p + constant), float(float_nats + constant)


def _best_lengths(
    tried: Callable[[list[int]], FieldCoder], fields: npt.NDArray[np.uint8], progress: Progress | None
) -> list[int]:
    """The typical code lengths, or if they are cheaper on the other half of the fields those fitted to one half."""
    candidates = TYPICAL_LENGTHS, _fitted_lengths(tried(TYPICAL_LENGTHS), fields[::2], progress)
    return min(candidates, key=lambda lengths: _mean_cost(tried(lengths), fields[1::2], progress))


def _fitted_lengths(model: FieldCoder, fields: npt.NDArray[np.uint8], progress: Progress | None) -> list[int]:
    """Code lengths for the symbols that are wanted: octaves of the numbers chosen at the default effort and the next."""
    counts = np.full(SYMBOLS, 2.0**-9 * len(fields))
    counts[:6] *= 2.0 ** np.arange(-6, 0)  # there are few such numbers
    for effort in (DEFAULT_EFFORT, DEFAULT_EFFORT + 1):
        for encoded in _encoded(model, fields, effort, progress):
            for n in codec.inspect(encoded.data, model)["numbers"]:
                counts[n.bit_length() - 1] += 1
    return huffman_lengths(counts)


def _mean_cost(model: FieldCoder, fields: npt.NDArray[np.uint8], progress: Progress | None) -> float:
    """The mean of what the search minimises, bits of code and pixels, at the default effort."""
    return float(np.mean([result.ledger.ideal_bits for result in _encoded(model, fields, DEFAULT_EFFORT, progress)]))


def _encoded(
    model: FieldCoder, fields: npt.NDArray[np.uint8], effort: int, progress: Progress | None
) -> list[codec.Encoded]:
    """Lossless files of fields, with their ink as it is."""
    ask = Ask(lossless=True, effort=effort, fixed=True)
    return codec.encode_views([model.view(raster_of(Drawing(bits)), ask) for bits in fields], model, ask, progress)


def huffman_lengths(weights: npt.NDArray[np.float64]) -> list[int]:
    """Code lengths of the best prefix code for the weights of which none is longer than LONGEST_SYMBOL_BITS.

    Larmore & Hirschberg 1990, package-merge: a symbol is as long as the number of cheapest packages that hold it.
    """
    symbols = [(weight, [symbol]) for symbol, weight in enumerate(weights.tolist())]
    packages = list[tuple[float, list[int]]]()
    for _ in range(LONGEST_SYMBOL_BITS):
        merged = sorted(symbols + packages, key=lambda entry: entry[0])
        pairs = zip(merged[::2], merged[1::2], strict=False)
        packages = [(first + second, left + right) for (first, left), (second, right) in pairs]
    held = Counter(symbol for _, package in packages[: len(symbols) - 1] for symbol in package)
    return [held[symbol] for symbol in range(len(symbols))]
