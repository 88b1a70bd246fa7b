"""Training of photo models: it stops and resumes, and what it leaves is exported as a model that codes."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from grid_models import drawing, networks
from photographs import picture

from vlae_codec import codec, zoo
from vlae_codec.errors import ConfigError
from vlae_codec.family import Ask
from vlae_codec.models import config as configs
from vlae_codec.models import families
from vlae_codec.models.grid import export, train
from vlae_codec.models.grid.config import PhotoConfig, PhotoData
from vlae_codec.models.grid.integers import to_arrays
from vlae_codec.models.grid.kept import grown, kept, texture_of, transforms_of
from vlae_codec.models.grid.run import Schedule
from vlae_codec.models.grid.texture import Texture, TextureConfig
from vlae_codec.models.grid.vlae import TransformConfig
from vlae_codec.picture.scaling import read_rgb
from vlae_codec.picture.writing import write_picture

SMALL = PhotoConfig(
    TransformConfig(16, (1, 2, 5, 8), 2, 1, 1, 4, 2, 8, 3, 0.001, 0.03),
    TextureConfig(8, 1, 2, 4, 8, 4, 3),
    PhotoData("scaled", "plain", "valid", leave_out=2),
    *(Schedule(4, 2, 48, warm_up=1) for _ in range(3)),
    level=0.5,
)


def write_data(target: Path) -> None:
    """The folders of pictures that `SMALL` names."""
    for folder in ("scaled", "plain", "valid"):
        (target / folder).mkdir()
        for number in (1, 2):
            made = write_picture(picture(400, 400, seed=number), ".png").data
            (target / folder / f"{number}.png").write_bytes(made)
        rows = [f"{number}.png\tsomewhere\tCC0" for number in (1, 2, 3)]
        (target / folder / "SOURCES.tsv").write_text("\n".join(["file\trepo_or_package\tlicence_as_stated", *rows]))


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(train, "compiled", lambda function: function)
    write_data(tmp_path)
    return tmp_path


def test_a_run_resumes_and_its_export_codes(data: Path, tmp_path: Path) -> None:
    told: list[str] = []
    run = tmp_path / "run"
    train.train(replace(SMALL, transforms=replace(SMALL.transforms, steps=2)), run, data, report=told.append)
    train.train(SMALL, run, data, report=told.append)
    logs = [json.loads(line) for line in (run / "transforms" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in logs] == [2, 4]
    assert all(np.isfinite(line["loss"]) for line in logs)
    assert sum("validation" in text for text in told) == 4
    before = (run / "texture" / "checkpoint.pt").read_bytes()
    train.train(SMALL, run, data, report=told.append)  # it has ended
    assert (run / "texture" / "checkpoint.pt").read_bytes() == before
    families.of_run(str(run)).export(str(run), tmp_path / "model", "small", 0.5, data)
    model = zoo.load(tmp_path / "model")
    model.check()
    raster = picture(20, 30)
    view = model.view(raster, Ask(lossless=True))
    (made,) = codec.encode_views([view], model, Ask(lossless=True))
    assert np.array_equal(codec.decode([made.data], model=model)[0].raster.samples, raster.samples)
    card = (tmp_path / "model" / "card.md").read_text()
    assert "| somewhere | CC0 | 4 |" in card
    assert model.digest.hex() in card


def test_an_evaluation_has_one_z_in_all_terms(data: Path, tmp_path: Path, run: Any) -> None:
    folder = tmp_path / "runs" / "own"
    train.train(SMALL, folder, data, report=lambda _: None)
    table = json.loads(run("evaluate", folder, "--data", data, "--on", "plain", "--json").stdout)
    assert table["images"] == 2
    for code in ("dithered", "rounded"):
        row = table[code]
        for unit in ("bits", "bpd"):
            assert row[f"total_{unit}"] == pytest.approx(row[f"rate_{unit}"] + row[f"distortion_{unit}"])
    _, transforms, texture, _ = kept(folder)
    levels, rgb = torch.tensor([SMALL.level]), torch.from_numpy(read_rgb(data / "plain" / "1.png").copy())
    rgb = rgb.permute(2, 0, 1)[None].float()
    bits, z, _, _ = transforms.coded(rgb / 255 - 0.5, levels)
    rate_bits, distortion_bits = train.terms(transforms, texture, rgb, z, levels)
    assert rate_bits == pytest.approx(bits.item())
    farther = train.terms(transforms, texture, rgb, z + 1, levels)
    assert farther[0] != rate_bits
    assert farther[1] != distortion_bits
    assert "for models of drawings" in run("evaluate", folder, "--part", "test", expect=2).stderr
    assert "has no pictures" in run("evaluate", folder, "--on", "nowhere", "--data", data, expect=1).stderr


def test_an_exported_model_is_read_back_as_it_is(data: Path, tmp_path: Path, run: Any) -> None:
    """Its weights, exported anew, are the same integers; it can be evaluated, and a run begin with it."""
    transforms, texture = networks()
    arrays = to_arrays(transforms, texture, 0.5, drawing())
    again = to_arrays(
        transforms_of(arrays, transforms.config), texture_of(arrays, "texture"), 0.5, texture_of(arrays, "grain")
    )
    assert arrays.keys() == again.keys()
    written = [name for name in arrays if not name.startswith("decoder.coarse.")]  # which is made of them
    assert all(np.array_equal(arrays[name], again[name]) for name in written)

    first, model = tmp_path / "first", tmp_path / "model"
    train.train(SMALL, first, data, report=lambda _: None)
    export.export_run(first, model, "small", data)
    table = json.loads(run("evaluate", model, "--data", data, "--on", "plain", "--json").stdout)
    floats = json.loads(run("evaluate", first, "--data", data, "--on", "plain", "--json").stdout)
    assert table["rounded"]["total_bpd"] == pytest.approx(floats["rounded"]["total_bpd"], rel=0.02)

    before = dict(np.load(model / "weights.npz"))
    before["grain.temperatures"] += 5  # as they were chosen behind the export
    np.savez(model / "weights.npz", **before)
    kept_stage = replace(SMALL.grain, steps=0)
    wider = replace(
        SMALL,
        pixels=replace(SMALL.pixels, channels=12, layers=2),
        transforms=kept_stage,
        grain=kept_stage,
        initial="model",
    )
    train.train(wider, tmp_path / "second", data, report=lambda _: None)
    export.export_run(tmp_path / "second", tmp_path / "wider", "wider", data)
    train.train(replace(wider, initial="second"), tmp_path / "third", data, report=lambda _: None)
    export.export_run(tmp_path / "third", tmp_path / "longer", "longer", data)
    for folder in ("longer", "wider"):
        after = dict(np.load(tmp_path / folder / "weights.npz"))
        changed = {name.split(".")[0] for name in after if not np.array_equal(before.get(name), after[name])}
        assert changed == {"texture"}, "what had no steps is as it was, with how strong and warm it draws"
    zoo.load(tmp_path / "wider").check()
    after["grain.temperatures"] += 9
    shutil.move(tmp_path / "second", tmp_path / "elsewhere")
    export.export_run(tmp_path / "third", tmp_path / "fresh", "fresh", data)  # with fits of its own
    np.savez(tmp_path / "wider" / "weights.npz", **after)
    shutil.rmtree(model)  # what it began with
    export.export_run(tmp_path / "wider", tmp_path / "again", "again", data)
    again = dict(np.load(tmp_path / "again" / "weights.npz"))
    assert all(np.array_equal(after[name], again[name]) for name in after.keys() | again.keys())
    export.export_run(tmp_path / "wider", tmp_path / "model", "small", data)
    card = (tmp_path / "wider" / "card.md").read_text()
    assert [line[:15] for line in card.splitlines() if line.startswith(("| 1", "| 2"))] == [
        "| 1 | transform", "| 1 | texture |", "| 1 | grain | 4", "| 2 | texture |"
    ]  # fmt: skip
    with pytest.raises(ConfigError, match="another shape"):
        train.train(replace(wider, model=replace(SMALL.model, fine=8)), tmp_path / "fourth", data)


def test_a_pixelcnn_that_grew_computes_what_it_did() -> None:
    torch.manual_seed(3)
    small = Texture(TextureConfig(8, 2, 3, 4, 8, 4, 3))
    large = grown(small, TextureConfig(12, 3, 3, 4, 8, 4, 3))
    x, decoded = (torch.randint(-99, 99, (2, 3, 16, 24)).float() for _ in range(2))
    hidden, levels = torch.randn(2, 4, 8, 12), torch.tensor([0.5, 1.0])
    (one, _), (two, _) = (model(x, decoded, model.given_code(decoded, hidden, levels)) for model in (small, large))
    assert torch.allclose(one, two, atol=1e-5)
    two.square().sum().backward()
    assert large.output.weight.grad[:, 8:].abs().max() > 0, "what is new can be heard as training goes on"
    for other in (TextureConfig(4, 2, 3, 4, 8, 4, 3), TextureConfig(12, 2, 4, 4, 8, 4, 3)):
        with pytest.raises(ConfigError, match="cannot grow"):
            grown(small, other)


def test_the_experiment_that_ships_is_one_of_photos() -> None:
    family, table = families.of_experiment(configs.locate(Path("photo")))
    assert family.FILES == export.FILES
    assert configs.build(PhotoConfig, table) == PhotoConfig()


def test_what_is_missing_or_damaged_is_named(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no pictures in"):
        train.train(SMALL, tmp_path / "run", tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="no photo model"):
        export.export_run(tmp_path / "nothing", tmp_path / "model", "x", data)
    (tmp_path / "run" / "transforms").mkdir(parents=True)
    for damaged in (b"", b"rubbish", b"PK\3\4"):
        (tmp_path / "run" / "transforms" / "checkpoint.pt").write_bytes(damaged)
        with pytest.raises(ConfigError, match="damaged, or of another model"):
            train.train(SMALL, tmp_path / "run", data)
    torch.save({"model": {}}, tmp_path / "run" / "transforms" / "checkpoint.pt")
    with pytest.raises(ConfigError, match="damaged, or of another model"):
        train.train(SMALL, tmp_path / "run", data)
