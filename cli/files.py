"""Where commands read and write: default names, `-`, atomic writes, progress on stderr."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import click

from vlae_codec import files, places
from vlae_codec.container import MAGIC
from vlae_codec.errors import FormatError, OutputError, VlaeError
from vlae_codec.exact.threads import cores

from .words import as_options


def as_named(text: str) -> Path:
    """The path that a user gave: only a bare `-` stands for stdin or stdout, and `./-` is a file."""
    path = Path(text)
    return path.absolute() if str(path) == "-" != text else path


class PathName(click.Path):
    """As `as_named`; a URL is refused."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, str) and places.is_url(value) and not os.path.exists(value):
            self.fail(f"{value} is a URL: name a file here; pack, unpack, list and test take URLs", param, ctx)
        found = super().convert(value, param, ctx)
        return as_named(value) if isinstance(value, str) else found


class PlaceName(PathName):
    """As `PathName`, but of a URL, or of a pattern that stands for the shards of a set, the text itself."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, str) and (places.is_url(value) or places.is_pattern(value)):
            return value
        return super().convert(places.tidy(value) if isinstance(value, str) else value, param, ctx)


LARGEST_BYTES, _BLOCK_BYTES = 1 << 30, 1 << 20
RESAMPLED = "texture is re-sampled: the picture is a new one with the same structure, and details may read differently"
"""What whoever looks at a lossy picture must know."""


def read_bytes(path: Path) -> bytes:
    """A whole file; `-` is stdin.

    Raises:
        VlaeError: it is missing, a folder, unreadable, or beyond any size we can use.
    """
    if str(path) == "-":
        if sys.stdin is None:
            raise VlaeError("stdin is closed: name a file")
        return read_rest(sys.stdin.buffer, Path("stdin"))
    try:
        with path.open("rb") as file:
            _check_size(os.fstat(file.fileno()).st_size, path)
            return read_rest(file, path)
    except OSError as error:
        raise VlaeError(f"cannot read {path}: {error.strerror}") from error


@contextlib.contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """A file to read here and there; stdin, or another pipe, is held in memory.

    Raises:
        VlaeError: it is missing, a folder, or unreadable.
    """
    if str(path) == "-":
        yield io.BytesIO(read_bytes(path))
        return
    try:
        file = path.open("rb")
    except OSError as error:
        raise VlaeError(f"cannot read {path}: {error.strerror}") from error
    with file:
        try:
            yield file if file.seekable() else io.BytesIO(read_rest(file, path))
        except FormatError as error:
            raise type(error)(f"{path}: {error}") from error


def read_rest(file: BinaryIO, path: Path) -> bytes:
    """A file from here to its end, which a device may not have.

    Raises:
        VlaeError: it is beyond any size we can use.
    """
    data = bytearray()
    while block := file.read(_BLOCK_BYTES):
        data += block
        _check_size(len(data), path)
    return bytes(data)


def _check_size(size: int, path: Path) -> None:
    if size > LARGEST_BYTES:
        raise VlaeError(f"{path} is larger than any file of ours ({LARGEST_BYTES} bytes)")


def expanded(
    inputs: Iterable[Path],
    suffixes: Collection[str] | None,
    failing: Callable[[Path], contextlib.AbstractContextManager[None]],
) -> list[tuple[Path, Path | None]]:
    """The inputs, each with the folder that it was found in: with `suffixes` a folder stands for the files below it.

    `failing(path)` is a context that reports an error about a path.

    Raises:
        UsageError: stdin (`-`) is given twice.
    """
    inputs = [*inputs]
    check_stdin_once(inputs)
    found = list[tuple[Path, Path | None]]()
    for path in inputs:
        if suffixes is None or not path.is_dir():
            found.append((path, None))
            continue
        with failing(path):
            below = files.below(path, suffixes)
            found += [(file, path) for file in below]
            if not below:
                raise VlaeError(f"there is nothing to read in {path}")
    return found


def output_for(source: Path, out: str | None, suffix: str, many: bool, folder: Path | None = None) -> Path:
    """Where the result of `source` goes: OUT itself, in the folder OUT, or beside the source; `-` is stdout.

    What was found in a `folder` goes to the same place in the folder OUT.

    OUT is a folder if it is one, if it ends in a separator, or if there are many sources and it does not exist.

    Raises:
        VlaeError: the source is a folder, or the result would replace it.
        UsageError: there are many sources, and OUT is or looks like one file.
    """
    if folder is not None and out not in (None, "-"):
        if Path(str(out)).is_file():
            raise click.UsageError(f"what is in {folder} needs a folder, and {out} is a file")
        target = Path(str(out)) / source.relative_to(folder).with_suffix(suffix)
    else:
        target = _output_for(source, out, suffix, many)
    if out is None and target == source and str(source) != "-":
        raise VlaeError(_why_not(source, suffix))
    check_not_input(target, [source])
    return target


def _why_not(source: Path, suffix: str) -> str:
    """What is wrong with an input that is named as its result would be."""
    try:
        with source.open("rb") as file:
            ours = file.read(1) == bytes([MAGIC])
    except OSError as error:
        return f"cannot read {source}: {error.strerror}"
    if suffix == ".vlz":
        return (
            f"{source} is already a vlz file: use decompress" if ours else f"{source} would be its own result: use -o"
        )
    return f"{source} would be its own result: use -o" if ours else f"{source} is not a vlz file"


def check_not_input(target: Path, sources: Iterable[Path]) -> None:
    """An input is never replaced by its result, even if what exists may be overwritten.

    Raises:
        VlaeError: the target is one of the sources.
    """
    if str(target) == "-" or not target.exists():
        return
    for source in sources:
        if source.exists() and target.samefile(source):
            raise VlaeError(f"{source} would be replaced by its own result: name another file")


def default_output(source: Path, suffix: str) -> Path:
    """Beside the source, with another suffix."""
    named = source.parent / (source.stem + suffix)
    return named if named != source else source.parent / f"{source.name}.out"


def _output_for(source: Path, out: str | None, suffix: str, many: bool) -> Path:
    if source.is_dir():
        raise VlaeError(f"{source} is a folder, not a file: -r takes all that is in it")
    if out is None:
        return source if str(source) == "-" else source.with_suffix(suffix)
    path = as_named(out)
    if out == "-":
        if many:
            raise click.UsageError("several inputs cannot go to one stdout: give a folder with -o")
        return path
    if path.is_dir() or out.endswith(("/", os.sep)) or (many and not path.exists() and path.suffix != suffix):
        stem = "stdin" if str(source) == "-" else source.stem
        return path / (stem + suffix)
    if many:
        raise click.UsageError(f"several inputs need a folder, and {out} is not one; end it with / to create it")
    return path


def check_stdin_once(paths: Iterable[Path]) -> None:
    """stdin can be read only once.

    Raises:
        UsageError: `-` is given twice.
    """
    if sum(str(path) == "-" for path in paths) > 1:
        raise click.UsageError("stdin (-) can be given only once")


def check_no_terminal() -> None:
    """Refuses to write files to a terminal.

    Raises:
        OutputError: stdout is one, or closed.
    """
    if sys.stdout is None:
        raise OutputError("stdout is closed: give a file with -o")
    if sys.stdout.isatty():
        raise OutputError("stdout is a terminal: give a file with -o, or a pipe")


class Targets:
    """The outputs of one command: each is claimed once, and early, so that nothing is computed in vain.

    None is one of its inputs.
    """

    def __init__(self, force: bool, inputs: Iterable[Path] = ()) -> None:
        self._force, self._claimed, self._folded = force, set[str](), set[str]()
        self._inputs = {os.path.realpath(path) for path in inputs}

    def claim(self, path: Path) -> Path:
        """The path itself.

        Raises:
            OutputError: it exists and may not be overwritten, it is an input, or another input has the same output.
        """
        check_free(path, self._force)
        if str(path) == "-":
            return path
        written = os.path.realpath(path)
        if written in self._inputs:
            raise OutputError(f"{path} is one of the inputs, and would be replaced by a result: choose names with -o")
        alike = files.folded(written) in self._folded and _ignores_case(Path(written))
        if written in self._claimed or alike:
            raise OutputError(f"{path} is already the output of another input: choose names with -o")
        self._claimed.add(written)
        self._folded.add(files.folded(written))
        return path


def _ignores_case(path: Path) -> bool:
    """Whether a file of another case would be the same there."""
    folder = next(folder for folder in path.parents if folder.is_dir())
    try:
        return files.is_folding(folder)
    except OSError:
        return False


def workers(jobs: int | None, quiet: bool = False) -> int:
    """How many processes work, as asked or one a core; one on a system where several cannot work together."""
    from vlae_codec.archive.jobs import obstacle

    wanted = jobs or cores()
    if wanted > 1 and (reason := obstacle()):
        if not quiet:
            say(f"note: {reason}: one process does the work", err=True)
        return 1
    return wanted


def check_free(path: Path, force: bool) -> None:
    """Refuses early what `write` would refuse later; `-` is stdout.

    Raises:
        OutputError: the file exists and `force` is not set.
    """
    if str(path) != "-":
        files.check_free(path, force)


def write(path: Path, data: bytes, force: bool) -> None:
    """Writes a whole file or nothing; `-` is stdout.

    Raises:
        OutputError: the file exists and `force` is not set, or it cannot be written.
    """
    if str(path) != "-":
        files.write(path, data, force)
        return
    check_no_terminal()
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"cannot write to stdout: {error.strerror}") from error


def counted(number: int, noun: str) -> str:
    """Such as "1 image", "2 images"."""
    return f"{number} {noun}" + "s" * (number != 1)


def share_text(part: int, of: int) -> str:
    """Such as "8.1 %", or from ten times on "12 times"."""
    return f"{part / of:.0f} times" if part >= 10 * of else f"{100 * part / of:.1f} %"


def say(text: str, err: bool = False, nl: bool = True) -> None:
    """Writes text, on stderr with `err` in the words of the command line; names in it cannot do anything to a terminal."""
    lines = map(files.legible, text.split("\n"))
    click.echo("\n".join(map(as_options, lines) if err else lines), err=err, nl=nl)


def is_stdout(out: str | None, sources: Iterable[Path]) -> bool:
    """Whether results of `sources` go to stdout: see `output_for`."""
    return out == "-" or (out is None and Path("-") in sources)


_SOON_SECONDS, _LOG_SECONDS = 2.0, 30.0


def lasting(seconds: float) -> str:
    """A time as one says it: 50 s, 7 min, 2 h 5 min."""
    minutes = round(seconds / 60)
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"


class ProgressLine:
    """A `codec.Progress` on stderr: a line that rewrites itself on a terminal, else one after 2 s and twice a minute."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._terminal = sys.stderr is not None and sys.stderr.isatty()  # it is None where a daemon closed it
        self._what, self._first, self._last = "", 0, 0
        self._started = self._next = 0.0

    def part(self, before: int, pieces: int, total: int) -> Callable[[str, int, int], None]:
        """Tells of a part of long work, so many pieces: of `total` pieces `before` are done already."""
        return lambda what, done, of: self(what, before + pieces * done // of, total)

    def __call__(self, what: str, done: int, total: int, more: str = "") -> None:
        """(what, done, total), and what else there is to tell."""
        if self._quiet:
            return
        now = time.monotonic()
        if what != self._what or done < self._last:
            self._what, self._first, self._started, self._next = what, done, now, now + _SOON_SECONDS
        self._last = done
        line = f"{what}: {min(done, total)}/{total}" + f", {more}" * bool(more)
        if done > self._first and now > self._started:
            rate = (done - self._first) / (now - self._started)
            line += f", {rate:.3g}/s, {lasting(max(total - done, 0) / rate)} left"
        if self._terminal:
            end = "\n" if done >= total else ""
            click.echo(f"\r{line} \033[K{end}", nl=False, err=True)
        elif now > self._next:
            self._next = now + _LOG_SECONDS
            click.echo(line, err=True)
