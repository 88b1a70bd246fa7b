"""What a shell completes beside files: models and experiments by name. See docs/command-line.md."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import click
    from click.shell_completion import CompletionItem


def models(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Released models, and folders."""
    from vlae_codec import zoo

    return _named(zoo.released_names(), incomplete, "dir")


def experiments(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Experiments that ship, and files."""
    from vlae_codec.models import config

    return _named(config.shipped(), incomplete, "file")


def _named(names: list[str], incomplete: str, others: str) -> list[CompletionItem]:
    """The names that begin so; if there are none, the shell looks among its own: "file" or "dir"."""
    from click.shell_completion import CompletionItem

    found = [CompletionItem(name) for name in names if name.startswith(incomplete)]
    return found or [CompletionItem(incomplete, type=others)]
