"""Training by several processes that torchrun begins, the ranks: each has its rows of every batch; gradients are averaged.

    torchrun --nproc-per-node 2 -m vlae_codec train mnist                # processes of one machine
    torchrun --nnodes 4 --rdzv-endpoint HOST:29500 -m vlae_codec train photo --device cuda

All ranks draw the same batch and the same noise, of which each takes its own rows, so that the gradient is that of one
process but for rounding, and for dropout and drawn texture, which each rank draws on its own. Rank 0 alone writes; all read
its checkpoint, so that they need the same folder. One process alone is rank 0 of 1.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from vlae_codec.errors import ConfigError


@contextmanager
def joined(device: str) -> Iterator[None]:
    """Within the context the processes that torchrun has begun work together; one that it has not works alone.

    Raises:
        ConfigError: they cannot find each other.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2 or distributed.is_initialized():
        yield
        return
    is_cuda = device.partition(":")[0] == "cuda"
    if is_cuda:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    try:
        distributed.init_process_group("nccl" if is_cuda else "gloo")
    except (RuntimeError, ValueError) as error:
        raise ConfigError(f"the processes of this training do not find each other: {error}") from error
    try:
        yield
    finally:
        distributed.destroy_process_group()


def rank() -> int:
    """The number of this process; that of the first, which writes, is 0."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def count() -> int:
    """How many processes train together."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def rows(total: int) -> slice:
    """Which of so many rows of a batch are this process's; all have as many.

    Raises:
        ConfigError: they cannot.
    """
    if total % count():
        raise ConfigError(
            f"{count()} processes cannot share a batch of {total} equally: change its size in the experiment"
        )
    own = total // count()
    return slice(rank() * own, (rank() + 1) * own)


def wrapped(model: nn.Module) -> nn.Module:
    """The model itself, or with others what averages its gradients; it begins as that of rank 0."""
    return DistributedDataParallel(model) if count() > 1 else model


def average_gradients(model: nn.Module) -> None:
    """Gives all processes the means of their gradients: for models that are not called as one, which `wrapped` is for."""
    gradients = [one.grad for one in model.parameters() if one.grad is not None] if count() > 1 else []
    if gradients:
        means = mean(torch.cat([one.reshape(-1) for one in gradients]))
        for one, part in zip(gradients, means.split([one.numel() for one in gradients]), strict=True):
            one.copy_(part.view_as(one))


def mean(values: Tensor) -> Tensor:
    """The mean over all processes, of which no gradient is taken."""
    if count() == 1:
        return values
    total = values.detach().clone()
    distributed.all_reduce(total)
    return total / count()


def agree(*modules: nn.Module) -> None:
    """Gives all processes the parameters and buffers of rank 0."""
    for module in modules if count() > 1 else ():
        for one in (*module.parameters(), *module.buffers()):
            distributed.broadcast(one.data, 0)


def wait() -> None:
    """Until all processes are here."""
    if count() > 1:
        distributed.barrier()
