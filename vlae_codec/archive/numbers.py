"""Which images a chunk holds: their numbers over all sources of an archive, ascending, as runs of consecutive ones."""

from __future__ import annotations

import itertools
from bisect import bisect_right, insort
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from vlae_codec.coding.bits import varint
from vlae_codec.sets.manifest import Form, Forms


@dataclass(frozen=True)
class Numbers:
    """Runs of numbers, none empty, in ascending order, with gaps between them."""

    runs: tuple[range, ...]

    @classmethod
    def of(cls, numbers: Iterable[int]) -> Numbers:
        """The runs of ascending numbers."""
        runs = list[range]()
        for number in numbers:
            if runs and runs[-1].stop == number:
                runs[-1] = range(runs[-1].start, number + 1)
            else:
                runs.append(range(number, number + 1))
        return cls(tuple(runs))

    @classmethod
    def between(cls, first: int, images: int) -> Numbers:
        """One run."""
        return cls((range(first, first + images),))

    @property
    def first(self) -> int:
        """The smallest."""
        return self.runs[0].start

    @property
    def last(self) -> int:
        """The largest."""
        return self.runs[-1].stop - 1

    @cached_property
    def images(self) -> int:
        """How many."""
        return sum(run.stop - run.start for run in self.runs)

    def __iter__(self) -> Iterator[int]:
        return itertools.chain.from_iterable(self.runs)

    @cached_property
    def _before(self) -> list[int]:
        """How many numbers stand before each run."""
        return [0, *itertools.accumulate(run.stop - run.start for run in self.runs)]

    @cached_property
    def _starts(self) -> list[int]:
        return [run.start for run in self.runs]

    def position(self, number: int) -> int:
        """How many of the numbers are below one of them."""
        run = bisect_right(self._starts, number) - 1
        return self._before[run] + number - self._starts[run]

    def below(self, number: int) -> Numbers:
        """Those that are smaller."""
        return Numbers(tuple(range(run.start, min(run.stop, number)) for run in self.runs if run.start < number))

    def parts(self, forms: Forms) -> Iterator[tuple[Form, range]]:
        """Where the images are, in order: each source that holds some, and their numbers in it."""
        return itertools.chain.from_iterable(forms.parts(run.start, run.stop - run.start) for run in self.runs)

    def write(self) -> bytes:
        """A varint number of runs, and of each how many numbers are left out before it, and how many it has."""
        out, done = [varint(len(self.runs))], 0
        for run in self.runs:
            out += [varint(run.start - done), varint(run.stop - run.start)]
            done = run.stop
        return b"".join(out)


def missing(found: Sequence[Numbers], images: int) -> Numbers:
    """The numbers below `images` that are in none of them, of which no two share any."""
    runs, done = list[range](), 0
    for run in sorted((run for one in found for run in one.runs), key=lambda run: run.start):
        if done < run.start:
            runs.append(range(done, run.start))
        done = run.stop
    if done < images:
        runs.append(range(done, images))
    return Numbers(tuple(runs))


class Taken:
    """Numbers that are taken, each once."""

    def __init__(self, images: int) -> None:
        """Of numbers below `images`."""
        self._images, self._runs = images, list[tuple[int, int]]()

    def take(self, numbers: Numbers) -> bool:
        """Takes all of them, if none is taken already or is too large."""
        if numbers.last >= self._images or not all(map(self._is_free, numbers.runs)):
            return False
        for run in numbers.runs:
            insort(self._runs, (run.start, run.stop))
        return True

    def _is_free(self, run: range) -> bool:
        at = bisect_right(self._runs, (run.start, run.stop))
        before, behind = self._runs[at - 1 : at], self._runs[at : at + 1]
        return not (before and before[0][1] > run.start) and not (behind and behind[0][0] < run.stop)
