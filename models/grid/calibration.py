"""What an export fits to validation pictures: how strong the texture is that a photo model draws, and its coarse picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vlae_codec.exact.logistics import MEAN_BITS
from vlae_codec.grid.coder import PREVIEW_GROUPS
from vlae_codec.grid.colour import to_ycocg
from vlae_codec.grid.grain import STRENGTH_BITS, Drawing, Grain, fine
from vlae_codec.grid.model import Model
from vlae_codec.grid.network import BITS, LEVEL_STEPS, PATCH, Arrays, between, exponentials, unshuffle
from vlae_codec.grid.tiles import Box, decode_block

_LARGEST = 5 << STRENGTH_BITS - 1  # more would make much of what is drawn wrongly


def strengths(arrays: Arrays, pictures: Sequence[npt.NDArray[np.uint8]]) -> npt.NDArray[np.int64]:
    """Of luma and chroma at each level (L, 2), at STRENGTH_BITS: with them the texture has the mean square of the true one.

    pictures: of one size (H, W, 3), sides divisible by 8.
    """
    model = Model(arrays)
    grain = model.grain
    assert grain
    rows = []
    for level in range(int(arrays["levels"])):
        true, drawn = _squares(model, grain, pictures, level * LEVEL_STEPS)
        ratios = np.sqrt(true / np.maximum(drawn, 1e-9))
        rows.append(np.rint(ratios * (1 << STRENGTH_BITS)).clip(0, _LARGEST))
    return np.array(rows).astype(np.int64)


def coarse_fit(arrays: Arrays, pictures: Sequence[npt.NDArray[np.uint8]]) -> tuple[Tensor, Tensor]:
    """The colour of a site given the first groups' latents, by least squares at all levels: weight (n, 3), bias (3,).

    pictures: (H, W, 3), sides divisible by 8.
    """
    model = Model(arrays)
    count = model.prior.edges[PREVIEW_GROUPS]
    seen, wanted = list[npt.NDArray[np.float64]](), list[npt.NDArray[np.float64]]()
    for quality in range(0, model.qualities, LEVEL_STEPS):
        steps = exponentials(between(model.decoder.log_step, quality)[:count]) * 2.0**-BITS
        for picture in pictures:
            z = np.floor(model.encoder.means(picture, quality)[..., :count] * 2.0**-BITS + 0.5)
            seen.append((z * steps).reshape(-1, count))
            wanted.append(unshuffle(picture / 255 - 0.5, PATCH).reshape(len(seen[-1]), 3, -1).mean(2))
    inputs = np.concatenate(seen)
    found = np.linalg.lstsq(np.column_stack([inputs, np.ones(len(inputs))]), np.concatenate(wanted), rcond=None)[0]
    return torch.from_numpy(found[:count]), torch.from_numpy(found[count])


def _squares(
    model: Model, grain: Grain, pictures: Sequence[npt.NDArray[np.uint8]], quality: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Mean squares of the true texture and of the drawn one, less their low frequencies: of luma and of chroma (2,)."""
    height, width, _ = pictures[0].shape
    box = Box(0, 0, height, width)
    squares = np.zeros((2, 3))
    for seed, picture in enumerate(pictures):
        z = np.floor(model.encoder.means(picture, quality) * 2.0**-BITS + 0.5).astype(np.int32) << MEAN_BITS
        region = decode_block(model.decoder, z, quality, box, gray=False)
        drawn = grain.draw(region, box, (height, width), Drawing(seed, 0, 3))
        for which, planes in enumerate((to_ycocg(picture), drawn)):
            squares[which] += (fine(planes - region.planes).astype(np.float64) ** 2).mean((0, 1)) / len(pictures)
    true, made = np.stack([squares[:, 0], squares[:, 1:].sum(1)], 1)
    return true, made
