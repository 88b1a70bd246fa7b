"""The workers of a Dask cluster as an engine: the only module that knows Dask, imported when a client is asked for.

A task is named by what it does, its number and the run, as in `pack-shard-00003-1f2e`; Dask's dashboard shows that. Its
argument is what `engine.Work` takes: paths and small tallies. Dask tries a task again if it fails or if its worker dies, and
blames all tasks that a worker had.
"""

from __future__ import annotations

import contextlib
import logging
import os
import uuid
from collections.abc import Iterable, Iterator
from typing import Any

from vlae_codec.errors import VlaeError
from vlae_codec.exact.memory import keep_as_usual
from vlae_codec.exact.threads import THREADS

from .engine import ATTEMPTS, Outcome, Work, reason
from .identity import Identity, check_same, here

_SILENT = logging.CRITICAL + 1
_AHEAD = 2  # tasks handed out for each that can run
_CONFIGURATION = {
    "distributed.scheduler.allowed-failures": ATTEMPTS - 1,
    "distributed.worker.profile.enabled": False,
    "distributed.admin.low-level-log-length": 100,
}
"""Of a cluster on this machine. By default workers keep profiles of 1,000 seconds, and 1,000 entries of each log."""
CONNECT_SECONDS = 10.0
"""How long a scheduler may take to answer."""


class Dask:
    """The workers of a `distributed.Client`."""

    def __init__(self, client: Any) -> None:
        self._client, self._can_run = client, 1
        self._where = getattr(client.scheduler, "address", None) or "the scheduler"

    def check(self) -> None:
        """See `Engine`."""
        with self._known():
            said = self._client.run(here, on_error="return")
        if not said:
            raise VlaeError(f"the scheduler at {self._where} has no workers: start some with `dask worker`")
        for worker, identity in sorted(said.items()):
            check_same(worker, identity)

    def run(self, name: str, work: Work, items: Iterable[Any], shared: Any) -> Iterator[Outcome]:
        """See `Engine`. Tasks whose workers died may only have been beside one that kills them: each is tried alone."""
        given, suspects, guilty = (work, shared, here()), list[tuple[Any, Any]](), 0
        for item, future in self._ended(name, given, items):
            if _is_deadly(future):
                suspects.append((item, future))
            else:
                yield self._outcome(item, future)
        for item, future in suspects:
            if guilty < ATTEMPTS:  # else they all are, for lack of memory, and each takes its time
                ((_, future),) = self._ended(f"{name}-alone", given, [item])
                guilty += _is_deadly(future)
            yield self._outcome(item, future)

    def _ended(self, name: str, given: tuple[Work, Any, Identity], items: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
        """Items and their futures, as tasks end.

        Raises:
            VlaeError: the scheduler is gone.
        """
        from distributed import as_completed

        run, waiting, rest = uuid.uuid4().hex[:4], dict[str, Any](), iter(items)
        completed = as_completed(raise_errors=False)
        try:
            while True:
                with self._known():
                    self._fill(rest, waiting, completed, f"{name}-{{:05d}}-{run}", given)
                if not waiting:
                    return
                with self._known():
                    future = next(completed)
                yield waiting.pop(future.key), future
        finally:
            with contextlib.suppress(Exception):
                self._client.cancel([*waiting], force=True)

    def _fill(
        self, rest: Iterator[Any], waiting: dict[str, Any], completed: Any, name: str, given: tuple[Work, Any, Identity]
    ) -> None:
        """Hands out tasks until there are a few more than can run, as soon as there are fewer than that."""
        if len(waiting) > self._can_run:
            return
        self._can_run = max(1, sum(self._client.nthreads().values()))  # workers come and go
        most = _AHEAD * self._can_run
        while len(waiting) < most and (item := next(rest, None)) is not None:
            key = name.format(item.number)
            waiting[key] = item
            completed.add(
                self._client.submit(
                    _work, *given, item, key=key, pure=False, retries=ATTEMPTS - 1, priority=-item.number
                )
            )

    def _outcome(self, item: Any, future: Any) -> Outcome:
        """What came of a task that has ended.

        Raises:
            VlaeError: the scheduler is gone.
        """
        if future.status == "finished":
            with self._known():
                return Outcome(item, future.result())
        if future.status != "error":
            raise VlaeError(self._gone())
        return Outcome(item, None, _reason(future.exception()))

    @contextlib.contextmanager
    def _known(self) -> Iterator[None]:
        """Makes it one line that the scheduler is gone."""
        from concurrent.futures import CancelledError

        try:
            yield
        except (OSError, TimeoutError, CancelledError, StopIteration, RuntimeError) as error:
            raise VlaeError(self._gone()) from error

    def _gone(self) -> str:
        return (
            f"the scheduler at {self._where} is gone: what is finished was kept, and the same command goes on from it"
        )


@contextlib.contextmanager
def connected(where: str) -> Iterator[Any]:
    """A client of the scheduler at an address, or of N processes of this machine that `local:N` asks for; Dask logs nothing.

    Raises:
        VlaeError: Dask is not installed, or nobody answers there.
    """
    try:
        import dask
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise VlaeError("a scheduler needs Dask: pip install 'vlae-codec[cluster]'") from error
    logging.getLogger("distributed").setLevel(_SILENT)
    kind, _, count = where.partition(":")
    if kind == "local":
        if not count.isdecimal() or not 0 < int(count) <= 1 << 10:
            raise VlaeError(f"{where} is not a cluster: local:4 begins four processes on this machine")
        quiet: Any = {"silence_logs": _SILENT, "dashboard_address": ":0"}
        with dask.config.set(_CONFIGURATION):  # taken over by workers that begin later in place of others
            local = LocalCluster(n_workers=int(count), threads_per_worker=1, **quiet)
        with local as cluster, Client(cluster) as client:
            yield client
        return
    try:
        client = Client(where, timeout=CONNECT_SECONDS)
    except (OSError, ValueError, TimeoutError) as error:
        raise VlaeError(
            f"no Dask scheduler answers at {where}: start one with `dask scheduler`, or use local:4"
        ) from error
    with client:
        yield client


def _work(work: Work, shared: Any, sender: Identity, item: Any) -> Any:
    """A task on a worker, which may have come after the others were looked at."""
    check_same("this worker", here(), sender)
    os.environ.setdefault(THREADS, "1")  # a worker has a thread for each task
    keep_as_usual()
    return work(shared, item)


def _is_deadly(future: Any) -> bool:
    """Whether a task ended because workers died, again and again, while they had it."""
    return future.status == "error" and type(future.exception()).__name__ == "KilledWorker"


def _reason(error: BaseException) -> str:
    """Why a task failed, in a line."""
    if type(error).__name__ == "KilledWorker":
        deaths = getattr(error, "allowed_failures", ATTEMPTS - 1) + 1
        return f"{deaths} workers died while they worked on it, perhaps for lack of memory"
    return reason(error)
