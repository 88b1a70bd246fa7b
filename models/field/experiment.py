"""Training and export of the field family, as `families` calls them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from vlae_codec.errors import Progress
from vlae_codec.models import config, families
from vlae_codec.models import train as training

from .export import FILES, export_run

__all__ = ["FILES", "export", "read", "train"]


def read(table: dict[str, Any]) -> config.Config:
    """The configuration in an experiment's table."""
    return config.from_dict(table)


def train(
    table: dict[str, Any],
    folder: Path,
    data_folder: Path,
    device: str,
    threads: int | None,
    report: Callable[[str], None],
) -> None:
    """See `models.train.train`."""
    training.train(read(table), folder, data_folder, device, threads, report=report)


def export(run: str, folder: Path, name: str, step: float, data_folder: Path, progress: Progress | None = None) -> str:
    """See `export_run`."""
    return export_run(families.locate(run, Path()), folder, name, step, data_folder, progress)
