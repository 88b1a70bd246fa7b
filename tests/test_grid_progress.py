"""Laws of what is told while a photograph is coded: it goes from nothing to all, and changes no byte."""

from __future__ import annotations

from pathlib import Path

import pytest
from grid_models import coder
from photographs import picture
from PIL import Image

from vlae_codec import many
from vlae_codec.cli import files
from vlae_codec.family import Ask, Sampling

LONG = picture(20, 300)  # of two tiles
ASKS = {
    "lossy": Ask(effort=1),
    "looks": Ask(effort=6),
    "best": Ask(quality=100, effort=0),
    "size": Ask(size_bytes=900, effort=5),
    "rate": Ask(bpp=0.8, effort=0),
    "exact": Ask(lossless=True),
}


@pytest.mark.parametrize("ask", ASKS.values(), ids=ASKS)
def test_a_photograph_tells_how_far_it_is_and_is_the_same_file(ask):
    told = []
    model = coder()
    (made,) = model.encode([model.view(LONG, ask)], ask, lambda *now: told.append(now))
    (alone,) = model.encode([model.view(LONG, ask)], ask)
    assert made == alone
    assert told[0] == ("compressing", 0, 100)
    assert told[-1] == ("compressing", 100, 100)
    hundredths = [done for _, done, _ in told]
    assert hundredths == sorted({*hundredths}), "each is told once, in order"
    assert len(told) > 8
    assert hundredths[-2] >= 35, "what is expected is not far from what is done"


def test_a_small_photograph_is_done_before_anybody_could_read_of_it():
    told = []
    model, small = coder(), picture(20, 30)
    for ask in ASKS["lossy"], ASKS["exact"]:
        model.encode([model.view(small, ask)], ask, lambda *now: told.append(now))
    assert not told


@pytest.mark.parametrize("lossless", [False, True])
def test_of_several_photographs_is_told_how_many_are_done(tmp_path, lossless):
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for path in paths:
        Image.fromarray(LONG.samples).save(path)
    told = []
    for one in many.compress_files(paths, effort=0, lossless=lossless, progress=lambda *now: told.append(now)):
        one.result()
        told.append(("result", one.path.name))
    counts = [now for now in told if now[0] != "result"]
    assert {(what, total) for what, _, total in counts} == {("compressing", 3)}
    assert [done for _, done, _ in counts] == sorted(done for _, done, _ in counts)
    assert counts.count(("compressing", 3, 3)) == 1, "the line ends once"
    assert told[-1] == ("compressing", 3, 3)


def test_of_several_photographs_that_are_decoded_no_more_is_told_than_is_done():
    model, told = coder(), list[tuple[str, int, int]]()
    (made,) = model.encode([model.view(LONG, ASKS["lossy"])], ASKS["lossy"])
    files = [model.parse(LONG.geometry, made.data, 0) for _ in range(3)]
    model.decode(files, [Sampling()], lambda *now: told.append(now))
    shares = [done / of for _, done, of in told]
    assert shares == sorted(shares)
    assert shares[1] <= 1 / 3 < shares[2], "each has two tiles"
    assert shares[-1] == 1


def test_progress_is_a_line_on_a_terminal_and_nothing_if_it_is_quiet(run, monkeypatch):
    class Shown(files.ProgressLine):
        def __init__(self, quiet: bool) -> None:
            super().__init__(quiet)
            self._terminal = True

    monkeypatch.setattr("vlae_codec.cli.codec.ProgressLine", Shown)
    Image.fromarray(LONG.samples).save("long.png")
    said = run("compress", "long.png", "--size", "1k", "--effort", 0).stderr
    assert said.startswith("\rcompressing: 0/100 ")
    assert "\rcompressing: 100/100" in said
    assert said.count("\n") == 1
    before = Path("long.vlz").read_bytes()
    assert run("compress", "long.png", "--size", "1k", "--effort", 0, "-f", "-q").stderr == ""
    assert Path("long.vlz").read_bytes() == before
