"""Remakes all pictures of README and docs, and the sizes beside them, by one demo; a minute on an idle core.

    python benchmarks/first_screen.py

docs/first.png, docs/photos.png, docs/sheet.png, results/demo.json, and every table that is made of it (see `tables`).
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import tables

ROOT = Path(__file__).parent.parent
PICTURES = "first", "photos", "sheet"


def main() -> None:
    """Runs the demo of this checkout, and puts what it makes where it is shown."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "vlae_codec", "demo", "-o", folder, "-f", "--json"]
        said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        for name in PICTURES:
            shutil.copyfile(Path(folder) / f"{name}.png", ROOT / "docs" / f"{name}.png")
    (ROOT / "results" / "demo.json").write_text(said, encoding="utf-8")
    sys.argv[1:] = []
    tables.main()


if __name__ == "__main__":
    main()
