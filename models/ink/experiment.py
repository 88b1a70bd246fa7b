"""Training and export of the ink family, as `families` calls them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from vlae_codec.errors import Progress
from vlae_codec.models import config

from .export import FILES, export_run
from .train import InkConfig
from .train import train as train_ink

__all__ = ["FILES", "export", "read", "train"]


def read(table: dict[str, Any]) -> InkConfig:
    """The configuration in an experiment's table."""
    found: InkConfig = config.build(InkConfig, table)
    return found


def train(
    table: dict[str, Any],
    folder: Path,
    data_folder: Path,
    device: str,
    threads: int | None,
    report: Callable[[str], None],
) -> None:
    """See `train.train`."""
    train_ink(read(table), folder, data_folder, device, threads, report)


def export(run: str, folder: Path, name: str, step: float, data_folder: Path, progress: Progress | None = None) -> str:
    """See `export_run`; there are no latents, and `step` says nothing."""
    return export_run(Path(run), folder, name, data_folder)
