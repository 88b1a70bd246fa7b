"""What runs tasks: processes of this machine, or the workers of a Dask cluster. Both take (shared, item) -> result.

A task that fails is tried three times. Its last error is an outcome, and stops no other task. Tasks are handed out a few
ahead, so that memory and the scheduler hold few of them, however many there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from vlae_codec.archive.jobs import Done, spread
from vlae_codec.errors import VlaeError
from vlae_codec.exact.threads import at_most, cores
from vlae_codec.options import check_whole

ATTEMPTS = 3
"""How often a task is tried."""


class Item(Protocol):
    """What a task is given: its number, and how many images it stands for."""

    @property
    def number(self) -> int:
        """Of no other item."""

    @property
    def images(self) -> int:
        """How many."""


Work = Callable[[Any, Any], Any]
"""(what all tasks share, an item) -> a result; both can be pickled, and are small."""


@dataclass(frozen=True)
class Outcome:
    """What came of a task: a result, or why there is none."""

    item: Any
    result: Any
    error: str | None = None


class Engine(Protocol):
    """Runs tasks."""

    def check(self) -> None:
        """Refuses workers that would write other files than this process.

        Raises:
            VlaeError: there are such, or there are no workers.
        """

    def run(self, name: str, work: Work, items: Iterable[Any], shared: Any) -> Iterator[Outcome]:
        """Outcomes of work(shared, item) as they come; `name` is what a dashboard calls the tasks.

        Raises:
            VlaeError: the engine itself failed.
        """


@dataclass(frozen=True)
class Local:
    """`jobs` processes of this machine, of one thread each; one works in this process, on all cores."""

    jobs: int

    def check(self) -> None:
        """See `Engine`: processes of this machine are like this one."""

    def run(self, name: str, work: Work, items: Iterable[Any], shared: Any) -> Iterator[Outcome]:
        """See `Engine`."""
        with at_most(min(self.jobs, cores())):
            yield from spread(attempted, items, (work, shared), self.jobs, lambda _images: None)


def engine_of(client: Any, jobs: int | None) -> Engine:
    """The workers of a client, or processes of this machine.

    Raises:
        OptionError: `jobs` is not 1 or more.
    """
    check_whole("jobs", jobs, 1, optional=True)
    if client is None:
        return Local(jobs or cores())
    from .dask import Dask

    return Dask(client)


def attempted(given: tuple[Work, Any], item: Any, _done: Done) -> Outcome:
    """What comes of a task here, tried several times."""
    work, shared = given
    for left in reversed(range(ATTEMPTS)):
        try:
            return Outcome(item, work(shared, item))
        except (VlaeError, OSError, MemoryError) as error:
            if not left:
                return Outcome(item, None, reason(error))
    raise AssertionError("not reached")


def reason(error: BaseException) -> str:
    """Why a task failed, in a line; where it is a file that could not be read or written, which."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return (str(error) or type(error).__name__).partition("\n")[0]
