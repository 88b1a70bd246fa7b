"""Training of a model of pages, by its command: it stops and resumes, and what it leaves is exported and codes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from make_golden_ink import drawing
from PIL import Image

from vlae_codec import codec, zoo
from vlae_codec.ink import network, stream
from vlae_codec.ink.hands import SLOW
from vlae_codec.ink.looks import looks
from vlae_codec.ink.state import LOOKS
from vlae_codec.models.ink.network import Network, NetworkConfig, seen
from vlae_codec.picture.raster import PixelFormat, Raster

EXPERIMENT = """
family = "ink"
[model]
first = 5
second = 3
[data]
valid = ["held"]
[schedule]
steps = {steps}
batch = 64
crop = 1
warm_up = 1
"""


@pytest.fixture
def data(tmp_path):
    """Two pages to train on, one that is held out, and a rendered drawing."""
    for folder, names in (("pages", ("a", "b", "held-1")), ("rendered", ("icon",))):
        (tmp_path / "data" / folder).mkdir(parents=True)
        for number, name in enumerate(names):
            bits = drawing(64, 50 + 9 * number)
            Image.fromarray(bits == 0).save(tmp_path / "data" / folder / f"{name}.png")
    return tmp_path / "data"


def test_a_run_resumes_and_its_export_codes(run, data):
    Path("small.toml").write_text(EXPERIMENT.format(steps=2))
    said = run("train", "small.toml", "--data", data, "--threads", 1).stdout
    assert "step 2 of 2" in said
    Path("small.toml").write_text(EXPERIMENT.format(steps=5))
    said = run("train", "small.toml", "--data", data, "--threads", 1).stdout
    assert "step 5 of 5" in said
    logs = [json.loads(line) for line in Path("runs/small/log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in logs] == [2, 5]
    assert all(0 < line["bits"] < 3 for line in logs)
    before = Path("runs/small/checkpoint.pt").read_bytes()
    run("train", "small.toml", "--data", data, "--threads", 1)  # it has ended
    assert Path("runs/small/checkpoint.pt").read_bytes() == before
    run("export", "runs/small", "--data", data, "-o", "mine", "--name", "mine")
    model = zoo.named("mine")
    bits = drawing(30, 41)
    (made,) = codec.encode([Raster(bits[..., None], PixelFormat(pair=((0,), (255,))))], model, lossless=True)
    assert np.array_equal(codec.decode([made.data], model=model)[0].raster.samples[..., 0], bits)
    assert model.digest.hex() in Path("mine/card.md").read_text()


def test_a_network_is_trained_on_what_a_walk_gives_it(monkeypatch):
    """Looks for training are those of coding, and the integer network says of them what the trained one says."""
    bits, given, said = drawing(40, 61), [], []
    start, say = zoo.named("ink").start, network.say

    def told(state):
        given.append([state.now[LOOKS + number] for number in range(network.LOOKED)])
        said.append(say(state))
        return said[-1]

    monkeypatch.setattr(network, "say", told)
    stream.encode(start, bits, hand=SLOW)
    found, pixels = looks(start, bits, np.ones(bits.shape, bool))
    assert np.array_equal(found, given)
    assert 0 < pixels.sum() < len(pixels) == len(said)
    with torch.no_grad():
        logits = trained(zoo.named("ink").arrays)(seen(found)).clamp(-12, 12).numpy()
    assert np.abs(np.array(said) / 256 - logits).max() < 0.1


def trained(arrays):
    """The network of a model as it is trained."""
    values = {
        name: torch.from_numpy(array.astype(np.float32)) / 1024 for name, array in arrays.items() if "network" in name
    }
    found = Network(NetworkConfig(*(len(values[f"network.{layer}.bias"]) for layer in ("first", "second"))))
    for layer in ("first", "second", "output"):
        weight = values[f"network.{layer}.weight"]
        getattr(found, layer).weight.data = weight.T if weight.ndim == 2 else weight[None]
        getattr(found, layer).bias.data = values[f"network.{layer}.bias"]
    return found


def test_what_is_missing_or_damaged_is_named_in_a_line(run, data):
    Path("small.toml").write_text(EXPERIMENT.format(steps=2))
    assert "no picture to train on has ink" in run("train", "small.toml", "--data", "nowhere", expect=1).stderr
    Path("runs/small").mkdir(parents=True, exist_ok=True)
    Path("runs/small/checkpoint.pt").write_bytes(b"rubbish")
    said = run("train", "small.toml", "--data", data, expect=1).stderr
    assert "damaged, or of another model" in said
    assert len(said.strip().splitlines()) == 1
