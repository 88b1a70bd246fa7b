"""Runs independent pieces of long work in several processes, of one thread each, in order and with progress."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import cache
from itertools import chain, islice
from multiprocessing import resource_tracker
from typing import Any

from vlae_codec.errors import Progress, VlaeError
from vlae_codec.exact.threads import THREADS

_AHEAD_IMAGES = 1 << 16  # of items that wait, and are in memory, while as many are in work as there are processes
Done = Callable[[float], None]
"""Told how many images were coded since it was last told."""
Work = Callable[[Any, Any, Done], Any]
"""(what all work shares, an item, done) -> a result."""


class Report:
    """A `Done` that adds up, for a `Progress`."""

    def __init__(self, what: str, total: int, progress: Progress | None) -> None:
        self._what, self._total, self._progress = what, total, progress
        self._done, self._told = 0.0, -1

    def __call__(self, images: float) -> None:
        self._done += images
        done = min(self._total, round(self._done))
        if self._progress and done != self._told:
            self._progress(self._what, done, self._total)
        self._told = done


def spread(work: Work, items: Iterable[Any], shared: Any, jobs: int, report: Done) -> Iterator[Any]:
    """work(shared, item, done) of all items, in order, by `jobs` processes; items are taken a few ahead.

    With one job, or one item, or on a system that lets no processes work together, all is done here, by as many threads as
    `threads.cores` says. An item has `images`, how many it stands for.

    Raises:
        VlaeError: a process died.
    """
    rest = iter(items)
    items = chain(ahead := list(islice(rest, 2)), rest)
    if jobs == 1 or len(ahead) < 2 or obstacle() is not None:
        for item in items:
            yield _worked(work, shared, item, report)
        return
    others = {*multiprocessing.active_children()}
    with _deaf_to_terminals():
        pool = ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), _begin, (shared,))
    try:
        waiting = deque[tuple[int, Future[Any]]]()
        for item in items:
            with _deaf_to_terminals():
                waiting.append((item.images, pool.submit(_work, work, item)))
            while len(waiting) > jobs + 1 or (len(waiting) > jobs and sum(n for n, _ in waiting) > _AHEAD_IMAGES):
                yield _taken(waiting, report)
        while waiting:
            yield _taken(waiting, report)
    except BrokenProcessPool as error:
        raise VlaeError("a process died, perhaps for lack of memory: try fewer at a time, or jobs=1") from error
    except BaseException:  # nobody waits for what is in work
        for process in {*multiprocessing.active_children()} - others:
            process.terminate()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@cache
def obstacle() -> str | None:
    """Why no processes can work together on this system, or None: what they share needs semaphores."""
    try:
        with _deaf_to_terminals():
            multiprocessing.get_context("spawn").Lock()
    except (ImportError, OSError) as error:
        return f"this system has no semaphores ({getattr(error, 'strerror', None) or error})"
    return None


def _worked(work: Work, shared: Any, item: Any, report: Done) -> Any:
    """The result of an item that is worked on here, reported as it goes, and as a whole in the end."""
    done = 0.0

    def tell(images: float) -> None:
        nonlocal done
        done += images
        report(images)

    result = work(shared, item, tell)
    report(item.images - done)
    return result


@contextmanager
def _deaf_to_terminals() -> Iterator[None]:
    """Where there are signal masks, processes that are begun within do not hear of Ctrl-C or a closed terminal: their parent
    does, and ends them."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    heard = {signal.SIGINT, signal.SIGHUP}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, heard)
    try:
        resource_tracker.ensure_running()  # the first process would begin it, after which some Pythons hear Ctrl-C again
        signal.pthread_sigmask(signal.SIG_BLOCK, heard)
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _taken(waiting: deque[tuple[int, Future[Any]]], report: Done) -> Any:
    images, future = waiting.popleft()
    result = future.result()
    report(images)
    return result


_shared: Any = None


def _begin(shared: Any) -> None:
    """A process of ours begins: one thread for its work, what all of it shares, and no longer a life than its parent."""
    from threadpoolctl import threadpool_limits

    global _shared  # noqa: PLW0603
    _shared = shared
    os.environ[THREADS] = "1"
    threadpool_limits(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)


def _work(work: Work, item: Any) -> Any:
    return work(_shared, item, lambda _images: None)
