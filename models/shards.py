"""The images of a set of archives as a data set for torch: each rank, and each worker of a loader, has its own shards."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed
from torch.utils.data import IterableDataset, get_worker_info

import vlae_codec


class ShardedImages(IterableDataset[Tensor]):
    """The images of the set that a pattern stands for, or a URL pattern, as tensors of what `ArchiveSet` gives.

    Of `ranks x workers` readers each takes every so-many-th shard, so a set needs at least as many shards, and ranks see
    about as many images each as shards are alike. In each epoch the order of shards is another one, the same on all ranks
    and workers; within a shard images come as they were packed. `options` are those of `open_archive`.
    """

    def __init__(self, pattern: str, *, shuffle: bool = False, seed: int = 0, **options: Any) -> None:
        found = vlae_codec.open_archive(pattern, **options)
        assert isinstance(found, vlae_codec.ArchiveSet), "a pattern such as set-*.vlz, and not one file"
        self.archives, self._shuffle, self._seed, self._epoch = found, shuffle, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Says which epoch comes next, before a loader begins it; without that, all are the first."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[Tensor]:
        worker = get_worker_info()
        own, workers = (worker.id, worker.num_workers) if worker else (0, 1)
        ranks = distributed.get_world_size() if distributed.is_initialized() else 1
        rank = distributed.get_rank() if ranks > 1 else 0
        order = range(len(self.archives.shards))
        if self._shuffle:
            order = np.random.default_rng([self._seed, self._epoch]).permutation(len(order)).tolist()
        return map(torch.from_numpy, self.archives.part(rank * workers + own, ranks * workers, order))
