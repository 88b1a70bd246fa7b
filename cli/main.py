"""The command line: each command parses, makes one library call, prints and exits.

Exit codes: 0 done, 1 an input or the machine said no (one line on stderr), 2 wrong usage, 128 + n ended by signal n.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import io
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any, ClassVar, NoReturn

import click

from vlae_codec import __version__
from vlae_codec.errors import VlaeError

from .help import Sectioned
from .words import as_options

_MODULES = {
    "codec": ("compress", "decompress", "info", "models", "test"),
    "archive": ("list", "pack", "unpack"),
    "data": ("data",),
    "demo": ("demo",),
    "measure": ("measure",),
    "training": ("card", "evaluate", "export", "train"),
}
"""The commands of each module, which is imported when one of them is called."""


class _Group(Sectioned):
    """Finds commands, and turns every foreseen error into one line and exit code 1."""

    sections: ClassVar[Mapping[str, Sequence[str]]] = {
        "Commands": ("compress", "decompress", "pack", "unpack", "list", "info", "test", "measure", "models", "demo"),
        "Commands for those who train models": ("data", "train", "evaluate", "export", "card"),
    }

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for names in self.sections.values() for name in names]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        module = next((module for module, names in _MODULES.items() if cmd_name in names), None)
        if module is None:
            return None
        found: tuple[click.Command, ...] = _loaded(module).COMMANDS
        return next(command for command in found if command.name == cmd_name)

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        with _foreseen():  # --help and --version are written while there is no context yet
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        from vlae_codec.exact.memory import keep_freed, share_one_arena

        share_one_arena()
        keep_freed()
        _spell_out(sys.stdout)
        with _foreseen(), _tidy_when_terminated():
            return super().invoke(ctx)


def _loaded(module: str) -> ModuleType:
    """A module of commands. What it makes as it loads stays until we end: no garbage is looked for in it, now or later.

    That would be an eighth of the time that a small file takes.
    """
    name = f"{__package__}.{module}"
    if name in sys.modules or not gc.isenabled():
        return importlib.import_module(name)
    gc.disable()
    try:
        return importlib.import_module(name)
    finally:
        gc.freeze()
        gc.enable()


@contextlib.contextmanager
def _foreseen() -> Iterator[None]:
    """Makes every foreseen error one line."""
    try:
        yield
    except VlaeError as error:
        raise _said(str(error)) from error
    except KeyboardInterrupt:
        click.echo("\nInterrupted; no half-written file was kept.", err=True)
        _forget_interrupt()
        raise SystemExit(128 + signal.SIGINT) from None
    except BrokenPipeError:
        if sys.stderr is not None:
            sys.stderr.close()  # whoever read our output has gone: nothing is left to say
        raise SystemExit(1) from None
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise _said(f"{where}{error.strerror or error}") from error
    except MemoryError as error:
        raise _said("not enough memory for this") from error
    except RuntimeError as error:
        from vlae_codec.models import memory

        if not memory.is_short(error):
            raise
        raise _said("not enough memory for this") from error


def _forget_interrupt() -> None:
    """After an interrupt that hit an `exec`, as of a dataclass in a module that loads, Python itself ends by the signal.

    Even if it was caught, if Python was begun by `python -m` (CPython's `run_eval_code_obj`): until the next `exec`.
    """
    exec("")


def _said(text: str) -> click.ClickException:
    """An error for people: names in it cannot do anything to a terminal."""
    from vlae_codec.files import legible

    return click.ClickException(as_options(legible(text)))


def _spell_out(stream: object) -> None:
    """What the stream's encoding has no letters for is written as escapes, as stderr does, and is not an error."""
    if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
        stream.reconfigure(errors="backslashreplace")


@contextlib.contextmanager
def _tidy_when_terminated() -> Iterator[None]:
    """Within the context SIGTERM, and SIGHUP of a closed terminal, unwind the stack: nothing half done is left behind."""
    if threading.current_thread() is not threading.main_thread():  # only that one may have handlers
        yield
        return

    def leave(number: int, _frame: object) -> NoReturn:
        raise SystemExit(128 + number)

    known = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    heeded = [number for number in known if signal.getsignal(number) != signal.SIG_IGN]  # nohup has SIGHUP ignored
    before = {number: signal.signal(number, leave) for number in heeded}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="vlae-codec")
def main() -> None:
    """A generative image codec: photographs and drawings in few bytes, or exactly.

    `vlae-codec COMMAND --help` says more of each command.
    """


os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy loads: our own threads share the cores better
