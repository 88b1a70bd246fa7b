"""A small photo model for tests: random weights, the real networks, exported as a released one is."""

from __future__ import annotations

from functools import cache

import torch

from vlae_codec.family import Identity
from vlae_codec.grid.coder import GridCoder, GridFamily
from vlae_codec.models.grid.integers import to_arrays
from vlae_codec.models.grid.texture import Texture, TextureConfig
from vlae_codec.models.grid.vlae import TransformConfig, Transforms

LEVELS = 3


@cache
def networks() -> tuple[Transforms, Texture]:
    """The float networks."""
    torch.manual_seed(0)
    shape = TransformConfig(16, (1, 2, 5, 8), 2, 1, 1, 4, 2, 8, LEVELS, 0.001, 0.03)
    transforms = Transforms(shape).eval().requires_grad_(False)
    texture = Texture(TextureConfig(8, 2, 3, 4, 8, 4, LEVELS)).eval().requires_grad_(False)
    return transforms, texture


@cache
def drawing() -> Texture:
    """The PixelCNN that draws."""
    torch.manual_seed(1)
    return Texture(TextureConfig(8, 2, 3, 4, 8, 4, LEVELS)).eval().requires_grad_(False)


@cache
def coder() -> GridCoder:
    """The integer model."""
    return GridFamily().load(Identity("small", bytes(32)), to_arrays(*networks(), exact_level=0.5, grain=drawing()))
