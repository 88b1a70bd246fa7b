"""Weight-normalised layers: the bricks of encoder, decoder and PixelCNN (Chen et al. 2016, Appendix A).

Every layer maps float tensors to float tensors; convolutions are (B, C, H, W), linear layers (B, C). Weights are
`g * v / |v|` per output channel (Salimans & Kingma 2016), initialised from data: the first batch leaves each layer with
mean 0 and standard deviation `init_scale` per channel.

Twist: zero padding is always applied *after* the activation.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vlae_codec.errors import ConfigError

from . import memory

M = TypeVar("M", bound=nn.Module)
Function = TypeVar("Function", bound=Callable[..., Any])


class _WeightNormed(nn.Module):
    """What the weight-normalised layers share: parameters v, g, b and the data-dependent initialisation."""

    mask: Tensor

    def __init__(self, shape: tuple[int, ...], init_scale: float = 1.0) -> None:
        super().__init__()
        self.init_scale = init_scale
        self.v = nn.Parameter(torch.randn(shape) * 0.05)
        self.g = nn.Parameter(torch.ones(shape[0]))
        self.b = nn.Parameter(torch.zeros(shape[0]))
        self.register_buffer("mask", torch.ones(shape), persistent=False)

    def weight(self) -> Tensor:
        """The effective weight, of the shape of v; masked taps are exactly zero."""
        v = self.v * self.mask
        norm = v.flatten(1).norm(dim=1) + 1e-8
        return v * (self.g / norm).view(-1, *[1] * (v.ndim - 1))

    def effective(self) -> tuple[Tensor, Tensor]:
        """The effective weight, and the bias."""
        return self.weight(), self.b

    @torch.no_grad()
    def become(self, weight: Tensor, bias: Tensor) -> None:
        """The inverse of `effective`."""
        self.v.copy_(weight)
        self.g.copy_(weight.flatten(1).norm(dim=1))
        self.b.copy_(bias)

    @torch.no_grad()
    def initialise(self, x: Tensor) -> None:
        """Sets g and b so that the layer's output on the batch `x` has mean 0 and deviation init_scale per channel."""
        self.g.fill_(1.0)
        self.b.zero_()
        y: Tensor = self.forward(x)
        channels = y.transpose(0, 1).flatten(1)
        scale = self.init_scale / (channels.std(dim=1) + 1e-6)
        self.g.copy_(scale)
        self.b.copy_(-channels.mean(dim=1) * scale)


class Linear(_WeightNormed):
    """A dense layer, (B, inputs) -> (B, outputs)."""

    def __init__(self, inputs: int, outputs: int, init_scale: float = 1.0) -> None:
        super().__init__((outputs, inputs), init_scale)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight(), self.b)


class Conv(_WeightNormed):
    """A convolution with an odd square kernel and zero padding, (B, I, H, W) -> (B, O, H/stride, W/stride)."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1, init_scale: float = 1.0) -> None:
        super().__init__((outputs, inputs, kernel, kernel), init_scale)
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight(), self.b, stride=self.stride, padding=self.v.shape[-1] // 2)


class CausalConv(_WeightNormed):
    """A masked 3x3 convolution in raster order (van den Oord et al. 2016).

    Taps: the three pixels above and the one to the left, `dilation` pixels away; mask B (`sees_centre`) adds the pixel
    itself, mask A does not.
    """

    def __init__(
        self, inputs: int, outputs: int, sees_centre: bool, dilation: int = 1, init_scale: float = 1.0
    ) -> None:
        super().__init__((outputs, inputs, 3, 3), init_scale)
        self.dilation = dilation
        self.mask[:, :, 2] = 0
        self.mask[:, :, 1, 2] = 0
        self.mask[:, :, 1, 1] = float(sees_centre)

    def forward(self, x: Tensor) -> Tensor:
        rows = 3 if self.training else 2  # the last is masked: without it there is less to do, but a gradient is dearer
        weight = self.weight()[:, :, :rows]
        y = F.conv2d(x, weight, self.b, padding=self.dilation, dilation=self.dilation)
        return y[:, :, : x.shape[2]]


def elu(x: Tensor) -> Tensor:
    """max(x, 0) + exp(min(x, 0)) - 1: as `F.elu`, whose expm1 is slow on CPUs."""
    return F.relu(x) + (torch.exp(x.clamp(max=0.0)) - 1.0)


def space_to_depth(x: Tensor) -> Tensor:
    """(B, C, 2H, 2W) -> (B, 4C, H, W): channel (2 * row + col) * C + c, so that channels-last copies are contiguous."""
    b, c, h, w = x.shape
    return x.view(b, c, h // 2, 2, w // 2, 2).permute(0, 3, 5, 1, 2, 4).reshape(b, 4 * c, h // 2, w // 2)


def depth_to_space(x: Tensor) -> Tensor:
    """The inverse of `space_to_depth`."""
    b, c, h, w = x.shape
    return x.reshape(b, 2, 2, c // 4, h, w).permute(0, 3, 4, 1, 5, 2).reshape(b, c // 4, 2 * h, 2 * w)


class Dropout(nn.Module):
    """In training, each element becomes zero with that probability, to 1/256, and the others are scaled to keep the mean."""

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.least = round(256 * probability)

    def forward(self, x: Tensor) -> Tensor:
        if not (self.training and self.least):
            return x
        return x * (_random_bytes(x.detach()) >= self.least) * (256 / (256 - self.least))


@torch.library.custom_op("vlae_codec::random_bytes", mutates_args=())
def _random_bytes(like: Tensor) -> Tensor:
    """Uniform bytes of the shape of `like`. On CPUs numpy's are the cheapest, by far: see docs/training.md."""
    if like.device.type != "cpu":
        return torch.randint_like(like, 256, dtype=torch.uint8)
    rng = np.random.Generator(np.random.SFC64(int(torch.randint(2**62, ()))))
    out = torch.empty_like(like, dtype=torch.uint8)
    out.as_strided((out.numel(),), (1,)).numpy()[:] = np.frombuffer(rng.bytes(out.numel()), np.uint8)
    return out


@_random_bytes.register_fake
def _(like: Tensor) -> Tensor:
    return torch.empty_like(like, dtype=torch.uint8)


class ResidualBlock(nn.Module):
    """x + conv(elu(conv(elu(x)))), all (B, C, H, W); in training with dropout before the second convolution."""

    def __init__(self, first: Conv | CausalConv, second: Conv, dropout: float = 0.0) -> None:
        super().__init__()
        self.first, self.second, self.dropout = first, second, Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.second(self.dropout(elu(self.first(elu(x)))))
        return x + y

    @torch.no_grad()
    def vanish(self) -> None:
        """Makes it the identity, which it need not stay: the scale of its last layer is zero, and can learn."""
        self.second.g.zero_()
        self.second.b.zero_()


def residual_stack(channels: int, blocks: int, dropout: float) -> nn.Sequential:
    """`blocks` residual blocks of two 3x3 convolutions each."""
    return nn.Sequential(
        *(
            ResidualBlock(Conv(channels, channels), Conv(channels, channels, init_scale=0.3), dropout)
            for _ in range(blocks)
        )
    )


@contextmanager
def initialise_from(model: nn.Module) -> Iterator[None]:
    """Within the context, each forward pass initialises every weight-normalised layer from what it is given."""

    def before(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(layer, _WeightNormed)
        layer.initialise(inputs[0])

    hooks = []
    for layer in model.modules():
        if isinstance(layer, _WeightNormed):
            hooks.append(layer.register_forward_pre_hook(before))
    try:
        with torch.no_grad():
            yield
    finally:
        for hook in hooks:
            hook.remove()


def blocks_of(stack: nn.Sequential) -> list[ResidualBlock]:
    """The residual blocks of a stack."""
    return [block for block in stack if isinstance(block, ResidualBlock)]


def compiled(function: Function, **options: Any) -> Function:
    """The function compiled for each shape of its arguments; where that takes more than there is, as it is, and slower."""
    return cast(Function, torch.compile(function, dynamic=False, options=options or None)) if compiles() else function


def compiles() -> bool:
    """Whether there are a C++ compiler and Python's headers, which compiled functions are built with."""
    compiler = os.environ.get("CXX", "").strip() or {"darwin": "clang++", "win32": "cl"}.get(sys.platform, "g++")
    headers = Path(sysconfig.get_path("include"))
    return shutil.which(shlex.split(compiler)[0]) is not None and (headers / "Python.h").exists()


def placed(module: M, device: str) -> M:
    """The module on a device, its convolutions channels-last (which is faster on CPUs).

    Raises:
        ConfigError: there is no such device.
    """
    anything: Any = module
    try:
        with memory.named():
            moved: M = anything.to(device, memory_format=torch.channels_last)
    except (
        RuntimeError,
        AssertionError,
    ) as error:  # torch's own: of a name it does not know, of one it was not built for
        raise ConfigError(f"device {device!r} cannot be used: {str(error).partition(chr(10))[0]}") from error
    return moved
