"""What the tests share: a tiny fixed model, real digits, and folders of their own."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from vlae_codec import zoo
from vlae_codec.cli.main import main
from vlae_codec.field.coder import FieldCoder
from vlae_codec.picture.drawing import Drawing, demo_digits, drawn

HERE = Path(__file__).parent
TINY = HERE / "tiny"


def pytest_configure(config):
    """Where several processes test, each computes with one thread: they have the cores between them."""
    if config.getoption("numprocesses", None):
        os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(autouse=True, scope="session")
def _own_folders(tmp_path_factory):
    """Nothing is read from the user's cache or data sets by chance, nor written there; the tests' processes share one."""
    base = tmp_path_factory.getbasetemp()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VLAE_CACHE", str((base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "cache"))
        patch.delenv("VLAE_DATA", raising=False)
        yield


@pytest.fixture(scope="session")
def tiny() -> FieldCoder:
    """A model that never changes: 6 latents, 6 channels, trained for a minute."""
    return zoo.load(TINY)


@pytest.fixture(scope="session")
def digits() -> list[Drawing]:
    """100 digits of the MNIST test set, ten of each class."""
    return demo_digits()


@pytest.fixture(scope="session")
def fields(digits) -> np.ndarray:
    """The same as fields, (100, 28, 28)."""
    return np.stack([digit.bits for digit in digits])


def levels_of(path) -> np.ndarray:
    """A picture's pixels, whatever its file stores them as: (H, W) grays, or (H, W, 3) or (H, W, 4)."""
    with Image.open(path) as picture:
        if picture.mode == "1":
            return np.asarray(picture.convert("L"))
        if picture.mode == "P":
            picture = picture.convert("RGBA" if picture.has_transparency_data else "RGB")
        found = np.asarray(picture)
    gray = found.ndim == 3 and found.shape[2] == 3 and bool((found == found[..., :1]).all())
    return found[..., 0] if gray else found


def drawings_of(source, start=0, stop=None) -> list[Drawing]:
    """Images of a source, in two levels."""
    return [drawn(*one) for one in source.two_levels(start, source.count if stop is None else stop)]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Calls the command line in an empty folder, and checks how it exits."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments, stdin=None, expect=0):
        result = CliRunner().invoke(main, [str(a) for a in arguments], input=stdin)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == expect, result.output
        assert "Traceback" not in result.output
        return result

    return call
