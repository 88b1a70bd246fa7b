"""What `families` calls of a family whose configuration is one dataclass and whose lattice needs no step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from vlae_codec.errors import Progress

from . import config
from .families import locate

C = TypeVar("C")
Train = Callable[[C, Path, Path, str, int | None, Callable[[str], None]], object]
Export = Callable[[Path, Path, str, Path], str]


@dataclass(frozen=True)
class Experiment(Generic[C]):
    """kind: the configuration's dataclass. trains: (config, folder, data_folder, device, threads, report).

    exports: (run, folder, name, data_folder) -> a line on how it went.
    """

    kind: type[C]
    trains: Train[C]
    exports: Export

    def read(self, table: dict[str, Any]) -> C:
        """The configuration in an experiment's table.

        Raises:
            ConfigError: a key is unknown, or a value of another type.
        """
        found: C = config.build(self.kind, table)
        return found

    def train(
        self,
        table: dict[str, Any],
        folder: Path,
        data_folder: Path,
        device: str,
        threads: int | None,
        report: Callable[[str], None],
    ) -> None:
        """Trains to the end of the schedule that the table has."""
        self.trains(self.read(table), folder, data_folder, device, threads, report)

    def export(
        self, run: str, folder: Path, name: str, step: float, data_folder: Path, progress: Progress | None = None
    ) -> str:
        """Writes the model of a run; `step` says nothing."""
        return self.exports(locate(run, Path()), folder, name, data_folder)
