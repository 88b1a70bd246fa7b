"""How the images of an archive are coded: what `pack` is told, for one archive or for the shards of a set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from vlae_codec.choose import Chooser
from vlae_codec.family import DEFAULT_EFFORT, Ask, Coder
from vlae_codec.options import check_switches
from vlae_codec.picture.metadata import Metadata

from .choosing import chooser_of
from .chunks import Settings


@dataclass(frozen=True)
class Options:
    """As of `api.pack`.

    Raises:
        OptionError: an option is out of its range, or options contradict each other.
    """

    lossless: bool = True
    ordered: bool = True
    effort: int | None = None
    chunk: int | None = None
    quality: float | None = None
    threshold: int | None = None
    keep: Callable[[Metadata], Metadata] = Metadata.plain
    skip_unsuitable: bool = False

    def __post_init__(self) -> None:
        self.settings, self.ask  # noqa: B018  # they check what they are given
        check_switches(skip_unsuitable=self.skip_unsuitable)

    @property
    def settings(self) -> Settings:
        """Of chunks."""
        return Settings(self.lossless, self.ordered, self.effort, self.chunk)

    @property
    def ask(self) -> Ask:
        """What is asked of models."""
        effort = DEFAULT_EFFORT if self.effort is None else self.effort
        return Ask(self.lossless, effort, self.quality, threshold=self.threshold)

    def chooser(self, model: Coder | str | None) -> Chooser:
        """What chooses the models of the images: one that is given, or those that suit them.

        Raises:
            ModelError: there is no such model.
        """
        return chooser_of(self.ask, model, self.keep)
