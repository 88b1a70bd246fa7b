"""What `--help` shows: commands in sections, each with its first sentence, whole; and examples, which tests run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import click


class Sectioned(click.Group):
    """Lists its commands in `sections`, by title; without, all in one."""

    sections: ClassVar[Mapping[str, Sequence[str]]] = {}

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """See `click.Group`, which cuts sentences off."""
        for title, names in (self.sections or {"Commands": self.list_commands(ctx)}).items():
            commands = [(name, self.get_command(ctx, name)) for name in names]
            with formatter.section(title):
                formatter.write_dl([(name, one.get_short_help_str(_WHOLE)) for name, one in commands if one])


_WHOLE = 1000  # letters of a sentence


def examples(command: str) -> str:
    """The examples of a command, for click's `epilog`, which leaves lines behind \\b as they are."""
    return "\b\nExamples:\n" + "\n".join(f"  vlae-codec {command} {one}" for one in EXAMPLES[command])


EXAMPLES = {
    "compress": (
        "photo.jpg -Q 80                   -> photo.vlz",
        "photo.jpg --size 20k -o small.vlz",
        "page.png -Q 50                    -> page.vlz",
        "drawing.png photo.png --lossless  -> drawing.vlz, photo.vlz",
    ),
    "decompress": (
        "photo.vlz                         -> photo.png",
        "photo.vlz --preview -o coarse.png",
        "drawing.vlz --samples 16 -o sheet.png",
    ),
    "pack": (
        "drawings/                         -> drawings.vlz",
        "drawings/ array.npy -o set.vlz",
        "photo.png drawing.png -o all.vlz",
        "array.npy --unordered -o set.vlz",
    ),
    "unpack": (
        "drawings.vlz                      -> drawings/",
        "drawings.vlz -o out/ --only 'drawings/*.png'",
    ),
    "measure": (
        "drawings/ --n 100 --no-baselines",
        "array.npy --report report.html --csv report.csv",
        "photos/ --n 3 --report photos.html",
    ),
}
"""What follows a command's name; behind -> what it writes."""
