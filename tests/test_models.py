"""Laws of the trained side: masks, densities, resumable training, and agreement with the integer model."""

from __future__ import annotations

import dataclasses
import json
import math
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import HERE
from filelock import FileLock

from vlae_codec import zoo
from vlae_codec.coding.bits import LONGEST_SYMBOL_BITS
from vlae_codec.errors import ConfigError
from vlae_codec.models import classifier, data, evaluate, families, train
from vlae_codec.models import config as configs
from vlae_codec.models.config import Config, DataConfig, ModelConfig, TrainConfig
from vlae_codec.models.evaluate import Evaluator
from vlae_codec.models.field import drawing, export
from vlae_codec.models.field.integer import to_arrays, to_float
from vlae_codec.models.field.priors import FlowPrior, MixturePrior, NormalPrior
from vlae_codec.models.field.vlae import VLAE
from vlae_codec.models.layers import (
    CausalConv,
    Dropout,
    ResidualBlock,
    depth_to_space,
    elu,
    initialise_from,
    space_to_depth,
)

SMALL = ModelConfig(
    latents=7,
    channels=6,
    bottom_channels=8,
    blocks=1,
    bottom_blocks=1,
    dense=16,
    pixel_channels=5,
    masked_layers=3,
    prior_hidden=20,
    mixtures=3,
)


_COMPILE = torch.compile


@pytest.fixture(autouse=True)
def _no_compilation(monkeypatch):
    """The compiler changes speed, not results, and costs a minute."""
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    torch.manual_seed(0)


@pytest.fixture
def data_folder(tmp_path, fields):
    packed = np.packbits(fields.reshape(100, -1), axis=1)
    folder = tmp_path / "data"
    folder.mkdir()
    np.savez(folder / "mnist_static.npz", train=packed, valid=packed[:50], test=packed[50:])
    return folder


@pytest.fixture
def model(fields):
    model = VLAE(SMALL)
    with initialise_from(model):
        model(torch.from_numpy(fields[:, None].astype(np.float32)), torch.randn(100, 7))
    return model


def test_space_to_depth_undoes_itself():
    x = torch.randn(2, 3, 6, 4)
    assert torch.equal(depth_to_space(space_to_depth(x)), x)


def test_elu_is_elu():
    x = torch.linspace(-5, 5, 101, requires_grad=True)
    ours, theirs = elu(x), torch.nn.functional.elu(x)
    assert torch.allclose(ours, theirs, atol=1e-6)
    (gradient,) = torch.autograd.grad(ours.sum(), x)
    (expected,) = torch.autograd.grad(theirs.sum(), x)
    assert torch.allclose(gradient, expected, atol=1e-6)


def test_data_dependent_initialisation_normalises_every_layer(fields):
    model, outputs = VLAE(SMALL), {}
    x, noise = torch.from_numpy(fields[:, None].astype(np.float32)), torch.randn(100, 7)
    with initialise_from(model):
        model(x, noise)
    for name, layer in model.named_modules():
        if hasattr(layer, "init_scale"):
            layer.register_forward_hook(lambda layer, _, y, name=name: outputs.__setitem__(name, (y, layer.init_scale)))
    model(x, noise)
    assert len(outputs) > 15
    for y, scale in outputs.values():
        channels = y.transpose(0, 1).flatten(1)
        assert channels.mean(1).abs().max() < 1e-3
        assert (channels.std(1) - scale).abs().max() < 0.01 * scale + 1e-3


def test_pixelcnn_is_causal(model):
    x, context = torch.rand(1, 1, 28, 28, requires_grad=True), torch.randn(1, 5, 28, 28)
    logits = model.pixels(x, context)
    (gradient,) = torch.autograd.grad(logits[0, 0, 14, 14], x)
    rows, cols = torch.nonzero(gradient[0, 0], as_tuple=True)
    assert len(rows) > 10
    assert all(r < 14 or (r == 14 and c < 14) for r, c in zip(rows.tolist(), cols.tolist(), strict=True))
    assert rows.min() == 14 - 3, "the receptive field reaches as many rows up as there are masked layers"


@pytest.mark.parametrize("dilation", [1, 2])
def test_a_causal_convolution_is_the_same_in_training_and_in_evaluation(dilation):
    layer, x = CausalConv(3, 4, True, dilation), torch.randn(2, 3, 9, 8)
    assert torch.allclose(layer.train()(x), layer.eval()(x), atol=1e-6)


@pytest.mark.parametrize("prior", [MixturePrior(SMALL, 7), FlowPrior(dataclasses.replace(SMALL, flow_steps=1), 7)])
def test_priors_are_autoregressive(prior):
    z = torch.randn(1, 7, requires_grad=True)
    terms = prior.log_prob(z)[0]
    terms = terms if isinstance(prior, MixturePrior) else terms.flip(0)
    for i in range(7):
        (gradient,) = torch.autograd.grad(terms[i], z, retain_graph=True)
        assert not gradient[0, i + 1 :].any()
        assert gradient[0, i] != 0


@pytest.mark.parametrize("kind", [MixturePrior, FlowPrior, NormalPrior])
def test_priors_integrate_to_one(kind):
    small = dataclasses.replace(SMALL, latents=2)
    prior = kind() if kind is NormalPrior else kind(small, 2)
    grid = torch.linspace(-12, 12, 241)
    z = torch.cartesian_prod(grid, grid)
    with torch.no_grad():
        total = prior.log_prob(z).sum(1).exp().sum().item() * 0.1**2
    assert total == pytest.approx(1.0, abs=5e-3)


@pytest.mark.parametrize("kind", [MixturePrior, FlowPrior, NormalPrior])
def test_samples_of_priors_have_their_density(kind):
    prior = kind() if kind is NormalPrior else kind(dataclasses.replace(SMALL, latents=2), 2)
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.mul_(1.5)  # far from independent latents
        grid = torch.linspace(-12, 12, 241)
        cells = torch.cartesian_prod(grid, grid)
        density = prior.log_prob(cells).sum(1).exp() * 0.1**2
        drawn = prior.sample(20_000, torch.ones(2), torch.Generator().manual_seed(0))
    for inside in (lambda z: z[:, 0] > 0.25, lambda z: z[:, 1] > 0.25, lambda z: z.sum(1) > 0.45):
        assert inside(drawn).float().mean().item() == pytest.approx(density[inside(cells)].sum().item(), abs=0.015)


def test_latents_that_were_switched_off_are_sampled_as_zero():
    active = torch.tensor([1.0, 0, 1, 1, 0, 1, 1])
    for prior in (MixturePrior(SMALL, 7), NormalPrior()):
        z = prior.sample(5, active, torch.Generator().manual_seed(0))
        assert z.shape == (5, 7)
        assert torch.equal((z != 0).float(), active.expand(5, 7))


def test_without_a_compiler_evaluation_is_slower_and_no_other(model, fields, monkeypatch, tmp_path):
    compilations = []
    monkeypatch.setattr(torch, "compile", lambda function, **_: compilations.append(function) or function)
    images, found = fields[:3] * np.uint8(255), []
    (tmp_path / "Python.h").touch()
    for compiler, headers in (
        (sys.executable, tmp_path),
        (sys.executable, tmp_path / "none"),
        ("no compiler", tmp_path),
    ):
        monkeypatch.setenv("CXX", compiler)
        monkeypatch.setattr(sysconfig, "get_path", lambda _, headers=headers: str(headers))
        found.append(Evaluator(model).evaluate(images, 2).figures())
    assert len(compilations) == 1
    assert found[0] == found[1] == found[2]


def test_importance_sampling_tightens_the_bound(model, fields):
    images = fields[:20] * np.uint8(255)
    one, many = (
        Evaluator(model).evaluate(images, samples, paired_images=3, paired_samples=200).figures()
        for samples in (1, 100)
    )
    assert one.nll_nats == pytest.approx(-one.elbo_nats, rel=1e-5)
    assert many.nll_nats < one.nll_nats
    assert many.distortion_nats + many.kl_nats == pytest.approx(-many.elbo_nats, rel=1e-5)
    table = many.as_dict()
    assert table["nll_bits"] == pytest.approx(many.nll_nats / math.log(2))
    assert table["nll_bpd"] == pytest.approx(table["nll_bits"] / 784)


def test_a_stopped_evaluation_resumes_to_the_same_figures(model, fields, tmp_path, monkeypatch):
    images = fields[:30] * np.uint8(255)
    whole = Evaluator(model).evaluate(images, 100, paired_images=4, paired_samples=150).figures()

    def stop(done, total):
        if done >= 15:
            raise KeyboardInterrupt

    monkeypatch.setattr(evaluate, "STORE_SECONDS", -1.0)
    with pytest.raises(KeyboardInterrupt):
        Evaluator(model).evaluate(images, 100, 4, 150, tmp_path / "kept", stop)
    assert Evaluator(model).evaluate(images, 100, 4, 150, tmp_path / "kept").figures() == whole


def test_integer_model_agrees_with_the_float_model(model, fields, tmp_path):
    model.active[4] = 0.0
    steps = np.full(6, 1500, np.int64)
    arrays = export.export(model, steps, 3, export.huffman_lengths(np.ones(32)))
    export.save(tmp_path, arrays, "small", {})
    integer = zoo.load(tmp_path)
    assert integer.prior.latents == 6
    ours, theirs = export.parity(model, integer, fields[:, None].astype(np.float32))
    assert ours == pytest.approx(theirs, rel=6e-4)  # 0.05 nats of the 80 of a trained model


SWITCHED_OFF = ([], [4], [0], [6], [0, 1, 5, 6], [1, 3, 5], [0, 1, 2, 4, 5, 6])


@pytest.mark.parametrize("off", SWITCHED_OFF)
def test_an_integer_model_turns_back_into_the_float_model_it_was_made_of(model, fields, tmp_path, off):
    model.active[off] = 0.0
    count = 7 - len(off)
    arrays = export.export(model, np.full(count, 1500, np.int64), 1, export.huffman_lengths(np.ones(32)))
    export.save(tmp_path, arrays, "small", {})
    rounds = schedule(keep_latents=7), schedule(keep_latents=2)
    restored = to_float(zoo.load(tmp_path), *rounds)
    for name, array in to_arrays(restored).items():
        assert np.array_equal(array, arrays[name]), name
    x, noise = torch.from_numpy(fields[:, None].astype(np.float32)), torch.randn(100, 7)
    kept = torch.zeros(100, restored.latents)
    kept[:, restored.active.bool()] = noise[:, model.active.bool()]
    with torch.no_grad():
        theirs, ours = (sum(part.sum() for part in one(x, z)) for one, z in ((model, noise), (restored, kept)))
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-3)


def test_a_model_of_another_shape_than_its_configuration_says_is_refused(model, tmp_path):
    export.save(tmp_path, export.export(model, np.full(7, 1500, np.int64), 1, [5] * 32), "small", {})
    integer = zoo.load(tmp_path)
    other = (
        {"channels": 8},
        {"prior_hidden": 30},
        {"mixtures": 4},
        {"latents": 6},
        {"blocks": 0},
        {"masked_layers": 2},
    )
    for change in (*other, {"channels": 1 << 14}, {"dense": 1 << 14, "bottom_channels": 1 << 14}):
        with pytest.raises(ConfigError, match="configuration asks for"):
            to_float(integer, dataclasses.replace(schedule(), model=dataclasses.replace(SMALL, **change)))
    for change in ({"prior": "flow"}, {"posterior": "iaf"}, {"decoder": "factorised"}, {"dilation": 2}):
        config = dataclasses.replace(
            schedule(prune_epoch=-1, sort_epoch=-1), model=dataclasses.replace(SMALL, **change)
        )
        with pytest.raises(ConfigError, match="can be integer"):
            to_float(integer, config)


ROUND = {"run": "tiny", "steps": 1, "hours": 0.1, "config": {}}


@pytest.mark.parametrize(
    "change",
    [
        {"rounds": [{**ROUND, "config": []}]},
        {"rounds": [{**ROUND, "config": {"model": {"channels": -1}}}]},
        {"rounds": [{**ROUND, "config": {"model": {"prior_hidden": 10**9}}}]},
        {"rounds": [{**ROUND, "config": {"model": {"blocks": 10**9}}}]},
        {"rounds": [{**ROUND, "steps": math.inf}]},
        {"rounds": [{**ROUND, "hours": 10**400}]},
        {"rounds": [{"run": "tiny"}]},
        {"rounds": [1]},
        {"rounds": [[]]},
        {"rounds": []},
        {"rounds": 1},
        {"mostly_ink": 10**400},
        {"mostly_ink": "all"},
        {"mostly_ink": math.nan},
    ],
)
def test_a_model_that_says_nonsense_of_itself_is_an_error_of_one_line(run, data_folder, tmp_path, change):
    shutil.copytree(HERE / "tiny", tmp_path / "tiny")
    about = json.loads((tmp_path / "tiny" / "model.json").read_text())
    about = {**about, "rounds": [ROUND], **change}
    (tmp_path / "tiny" / "model.json").write_text(json.dumps(about))
    (tmp_path / "figures.json").write_text("{}")
    for command in (("evaluate", "--data", data_folder, "--samples", 2), ("card", tmp_path / "figures.json")):
        result = run(command[0], tmp_path / "tiny", *command[1:], expect=1)
        assert len(result.output.splitlines()) == 1


@pytest.mark.parametrize("name", [folder.name for folder in zoo.released() if folder.name not in (zoo.PHOTO, zoo.INK)])
def test_released_models_turn_back_into_float_models_and_into_themselves(name):
    model, trained = zoo.named(name), train.load_average(families.locate(f"released:{name}", Path()))
    arrays = to_arrays(trained.model)
    assert len(arrays) > 100
    for key, array in arrays.items():
        assert np.array_equal(array, model.arrays[key]), key
    card = (zoo.RELEASED / name / "card.md").read_text(encoding="utf-8")
    assert [one.steps for one in trained.rounds] == [*map(int, re.findall(r"(\d+) steps of", card))]
    assert f"{sum(one.hours for one in trained.rounds):.2f} hours" in card
    assert ("mirrored half of the time" in card) == any(one.config.data.mirrored for one in trained.rounds)
    assert card.count("with dropout") == sum(one.config.model.dropout > 0 for one in trained.rounds)


def test_an_export_replaces_another_only_if_it_agrees_with_its_run(data_folder, tmp_path, run, monkeypatch):
    monkeypatch.setenv("VLAE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(export, "DEFAULT_EFFORT", 0)  # a smaller codebook: this is not about its choice
    train.train(schedule(epochs=3), tmp_path / "run", data_folder, report=lambda _: None)
    arguments = ("export", tmp_path / "run", "-o", tmp_path / "small", "--data", data_folder)
    run(*arguments)
    assert zoo.load(tmp_path / "small").name == "small"

    def contents():
        return {path.name: path.read_bytes() for path in (tmp_path / "small").iterdir()}

    before = contents()
    assert sorted(before) == ["card.md", "model.json", "weights.npz"]
    with monkeypatch.context() as shipped:
        shipped.setattr(zoo, "folder_of", lambda name: tmp_path / name)
        run("export", "released:small", "-o", tmp_path / "again", "--name", "small", "--data", data_folder)
    assert (tmp_path / "again" / "weights.npz").read_bytes() == before["weights.npz"]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "model.json").write_text("mine")
    assert "exists" in run("export", tmp_path / "run", "-o", tmp_path / "other", expect=1).output
    assert [path.read_text() for path in (tmp_path / "other").iterdir()] == ["mine"]
    monkeypatch.setattr(export, "PARITY_NATS", -1.0)
    assert "integer model's ELBO" in run(*arguments, "-f", expect=1).output
    assert contents() == before
    (tmp_path / "bad.json").write_text("[1]")
    run("card", tmp_path / "small", tmp_path / "bad.json", expect=1)
    (tmp_path / "bad.json").write_text('{"data": "mnist_static"}')
    run("card", tmp_path / "small", tmp_path / "bad.json", expect=1)
    assert contents() == before
    run("evaluate", tmp_path / "run", "--data", data_folder, "--samples", 2, "-o", tmp_path / "figures.json")
    run("card", tmp_path / "small", tmp_path / "figures.json")
    assert "| NLL, 2 importance samples |" in (tmp_path / "small" / "card.md").read_text()
    assert contents()["weights.npz"] == before["weights.npz"]


def test_what_cannot_be_exported_says_why(data_folder, tmp_path, run, model):
    config = schedule(epochs=0)
    begun = train.Run(model, model, torch.optim.Adamax(model.parameters()), "")
    (tmp_path / "run").mkdir()
    train.save(begun, config, tmp_path / "run")
    arguments = ("export", tmp_path / "run", "-o", tmp_path / "small", "--data", data_folder)
    for step in ("0", "-1", "nan", "inf"):
        run(*arguments, "--step", step, expect=2)
    with pytest.raises(ConfigError, match="lattice step"):
        export.export_run(tmp_path / "run", tmp_path / "small", "small", math.nan, data_folder)
    model.active.zero_()
    train.save(begun, config, tmp_path / "run")
    assert "switched off" in run(*arguments, expect=1).output
    bare = dataclasses.replace(SMALL, latents=0, prior="normal")
    begun.model = begun.average = VLAE(bare)
    train.save(begun, dataclasses.replace(config, model=bare), tmp_path / "run")
    assert "can be integer" in run(*arguments, expect=1).output
    assert not (tmp_path / "small").exists()


def test_only_the_mixture_prior_can_be_exported():
    with pytest.raises(ConfigError, match="mixture"):
        export.export(VLAE(dataclasses.replace(SMALL, prior="flow")), np.ones(7, np.int64), 3, [])


def test_huffman_lengths_are_a_complete_code():
    lengths = export.huffman_lengths(np.array([1e-9, 5, 1, 1, 100, 3]))
    assert sum(2.0**-length for length in lengths) == 1.0
    assert lengths[4] == 1


@pytest.mark.parametrize("ratio", [1.0, 1.2, 1.618, 3.0])
@pytest.mark.parametrize("symbols", [2, 7, 32])
def test_huffman_lengths_are_the_best_that_are_short_enough(ratio, symbols):
    weights = np.random.default_rng(0).permutation(ratio ** np.arange(symbols))
    lengths = export.huffman_lengths(weights)
    assert max(lengths) <= LONGEST_SYMBOL_BITS
    assert sum(2.0**-length for length in lengths) == 1.0
    if ratio < 1.5 or symbols <= LONGEST_SYMBOL_BITS:  # then Huffman's own code, of any lengths, is short enough
        assert np.dot(lengths, weights) == pytest.approx(huffman_cost(weights.tolist()))


def huffman_cost(weights):
    """The sum over the inner nodes of Huffman's tree."""
    if len(weights) == 1:
        return 0
    first, second, *rest = sorted(weights)
    return first + second + huffman_cost([first + second, *rest])


def test_a_cut_model_stays_on_its_device():
    cut = VLAE(SMALL).to("meta").with_latents(torch.arange(3, device="meta"))
    assert {one.device.type for one in [*cut.parameters(), *cut.buffers()]} == {"meta"}


def test_the_nearest_drawing_is_that_of_a_loop():
    rng = np.random.default_rng(0)
    fields, drawings = rng.integers(0, 2, (5, 28, 28), np.uint8), rng.integers(0, 2, (40, 28, 28), np.uint8)
    labels = rng.integers(0, 9, 40)
    loop = [labels[min(range(40), key=lambda n, one=one: int((one != drawings[n]).sum()))] for one in fields]
    assert classifier.nearest(fields, drawings, labels).tolist() == loop
    assert classifier.nearest(drawings, drawings, labels).tolist() == labels.tolist()


def schedule(**changes):
    settings = {"epochs": 3, "batch_size": 20, "sort_epoch": 1, "keep_latents": 5, "prune_epoch": 2, "prune_nats": 0.0}
    return Config(SMALL, TrainConfig(**{**settings, **changes}), DataConfig("mnist_static", ("train",)))


def test_a_stopped_run_resumes_to_the_same_weights(data_folder, tmp_path, monkeypatch):
    whole = train.train(schedule(), tmp_path / "whole", data_folder, report=lambda _: None)
    save = train.save

    def save_and_stop(*arguments):
        save(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "CHECKPOINT_SECONDS", -1.0)
    monkeypatch.setattr(train, "save", save_and_stop)
    for step in range(15):
        torch.manual_seed(step)  # as in another process
        with pytest.raises(KeyboardInterrupt):
            train.train(schedule(), tmp_path / "parts", data_folder, report=lambda _: None)
    resumed = train.train(schedule(), tmp_path / "parts", data_folder, report=lambda _: None)
    assert resumed.step == whole.step == 15
    assert whole.model.latents == 5
    for one, other in zip(whole.average.parameters(), resumed.average.parameters(), strict=True):
        assert torch.equal(one, other)
    assert len((tmp_path / "parts" / "log.jsonl").read_text().splitlines()) == 3
    assert train.load_average(tmp_path / "parts").config == schedule()


def test_a_run_is_evaluated_on_its_own_set_or_on_another(data_folder, tmp_path, fields, run):
    np.savez(data_folder / "mnist_gray.npz", test_x=np.where(fields, 127, 0).astype(np.uint8))
    folder = tmp_path / "run"
    train.train(schedule(epochs=1), folder, data_folder, report=lambda _: None)
    images = data.load("mnist_static", ["test"], data_folder)
    whole = Evaluator(train.load_average(folder).model).evaluate(images, 2).figures()

    def figures(*arguments):
        return json.loads(run("evaluate", folder, "--data", data_folder, "--samples", 2, "--json", *arguments).stdout)

    assert figures("--images", 50)["elbo_nats"] == figures("--images", 60)["elbo_nats"] == whole.elbo_nats
    own, other = figures(), figures("--on", "mnist_gray")
    assert [(table["data"], table["images"]) for table in (own, other)] == [("mnist_static", 50), ("mnist_gray", 100)]
    assert own["elbo_nats"] != other["elbo_nats"]
    assert own == figures()  # each resumes its own
    assert other == figures("--on", "mnist_gray")
    run("evaluate", folder, "--data", data_folder, "--on", "cifar", expect=1)
    piped = json.loads(run("evaluate", folder, "--data", data_folder, "--samples", 3, "--images", 9, "-o", "-").stdout)
    for table, options in (
        (own, "--data DIR --samples 2"),
        (other, "--on mnist_gray --data DIR --samples 2"),
        (piped, "--data DIR --images 9 --samples 3"),
    ):
        card = export.card("small", train.load_average(folder).rounds, 5, 0.5, table)
        assert f"vlae-codec evaluate RUN {options} -o figures.json" in card


def test_a_model_that_ships_is_evaluated_by_its_name(data_folder, tmp_path, run, monkeypatch, fields):
    monkeypatch.setenv("VLAE_CACHE", str(tmp_path / "cache"))
    arguments = ("--data", data_folder, "--samples", 2, "--images", 20, "--json")
    result = run("evaluate", "released:mnist", *arguments)
    assert json.loads(result.stdout)["data"] == "mnist_static"
    assert 60 < json.loads(result.stdout)["nll_nats"] < 100
    assert len([*(tmp_path / "cache").rglob("evaluation-*.npz")]) == 1
    assert run("evaluate", "released:mnist", *arguments).stdout == result.stdout
    assert "give one of" in run("evaluate", "released:nothing", *arguments, expect=1).output
    assert "released:NAME" in run("evaluate", "mnist", *arguments, expect=1).output
    shutil.copytree(HERE / "tiny", tmp_path / "tiny")
    assert "does not say how" in run("evaluate", tmp_path / "tiny", *arguments, expect=1).output
    (kept,) = (tmp_path / "cache").rglob("evaluation-*.npz")
    kept.write_bytes(kept.read_bytes()[:100])
    assert run("evaluate", "released:mnist", *arguments).stdout == result.stdout
    np.savez(data_folder / "own.npz", test=np.packbits(fields[:20].reshape(20, -1), axis=1))
    first = run("evaluate", "released:mnist", "--on", "own", *arguments).stdout
    np.savez(data_folder / "own.npz", test=np.packbits(fields[20:40].reshape(20, -1), axis=1))
    assert run("evaluate", "released:mnist", "--on", "own", *arguments).stdout != first
    monkeypatch.setenv("VLAE_CACHE", str(tmp_path / "cache" / "a file"))
    (tmp_path / "cache" / "a file").write_text("where a folder would be")
    assert run("evaluate", "released:mnist", *arguments).stdout == result.stdout


def test_a_run_may_start_from_a_model_that_ships(data_folder, tmp_path):
    trained = train.load_average(families.locate("released:mnist", tmp_path))
    settings = dataclasses.replace(schedule(epochs=0).train, initial="released:mnist")
    config = Config(trained.config.model, settings, DataConfig("mnist_static", ("train",)))
    begun = train.train(config, tmp_path / "run", data_folder, report=lambda _: None)
    for one, other in zip(trained.model.parameters(), begun.model.parameters(), strict=True):
        assert torch.equal(one, other)
    train.save(begun, config, tmp_path / "run")
    rounds = train.load_average(tmp_path / "run").rounds
    assert [(one.run, one.steps) for one in rounds] == [
        ("mnist", 28080),
        ("mnist-2", 14976),
        ("mnist-3", 23400),
        ("mnist-4", 25272),
        ("run", 0),
    ]
    page = export.card("own", rounds, 17, 0.5, {})
    assert all(f"`vlae-codec train {one.run} --data DIR`" in page for one in rounds[:-1])
    assert "\n- the run `run`: mnist_static" in page
    config = dataclasses.replace(config, train=dataclasses.replace(settings, initial="released:of tomorrow"))
    train.save(begun, config, tmp_path / "run")
    train.train(config, tmp_path / "run", data_folder, report=lambda _: None)
    assert train.load_average(tmp_path / "run").rounds[:2] == rounds[:2]


def test_what_was_exported_of_a_run_is_not_trained_again(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(HERE.parent / "benchmarks")
    import reproduce

    trained = []
    monkeypatch.setattr(reproduce, "RUNS", tmp_path)
    monkeypatch.setattr(train, "train", lambda config, folder, *_, **__: trained.append(folder.name))
    reproduce.train_to_the_end("mnist-dynamic-2", tmp_path, None)
    assert trained == ["mnist", "mnist-dynamic", "mnist-dynamic-2"]
    shutil.copytree(zoo.RELEASED / "mnist-dynamic", tmp_path / "mnist-dynamic")
    reproduce.train_to_the_end("mnist-dynamic-2", tmp_path, None)
    assert trained[3:] == ["mnist-dynamic-2"]
    reproduce.train_to_the_end("mnist-dynamic-5", tmp_path, None)  # of what ships
    reproduce.train_to_the_end("mnist-dynamic", tmp_path, None)  # was exported
    assert trained[4:] == ["mnist-dynamic-5"]


def test_a_run_may_start_from_another_ones_weights(data_folder, tmp_path, fields):
    first = train.train(schedule(), tmp_path / "first", data_folder, report=lambda _: None)
    config = schedule(epochs=0, initial="first")
    second = train.train(config, tmp_path / "second", data_folder, report=lambda _: None)
    for one, other in zip(first.average.parameters(), second.model.parameters(), strict=True):
        assert torch.equal(one, other)
    with pytest.raises(ConfigError, match="checkpoint"):
        train.train(schedule(initial="nowhere"), tmp_path / "third", data_folder, report=lambda _: None)
    shape = {"blocks": 3, "bottom_blocks": 2, "masked_layers": 4, "pixel_channels": 8}
    grown = dataclasses.replace(SMALL, **shape, posterior="iaf", flow_steps=3)
    deeper = dataclasses.replace(schedule(epochs=0, initial="first", sort_epoch=-1, prune_epoch=-1), model=grown)
    third = train._grown(deeper, train.load_average(tmp_path / "first"))
    x, noise = (fields[:20, None]).astype(np.float32), torch.randn(20, third.latents)
    for one, other in zip(first.average(torch.from_numpy(x), noise), third(torch.from_numpy(x), noise), strict=True):
        assert torch.allclose(one, other, rtol=1e-5)
    sum(part.sum() for part in third(torch.from_numpy(x), noise)).backward()
    assert all(block.second.g.grad.any() for block in third.modules() if isinstance(block, ResidualBlock))
    assert third.pixels.blocks[0].first.v.grad[:5, 5:].flatten(2).any(2).all()
    assert all(step.masked[-1].weight.grad.any() for step in third.flow.steps)
    narrower = dataclasses.replace(config, model=dataclasses.replace(SMALL, masked_layers=2))
    with pytest.raises(ConfigError, match="another shape"):
        train.train(narrower, tmp_path / "fifth", data_folder, report=lambda _: None)
    dilated = dataclasses.replace(config, model=dataclasses.replace(SMALL, dilation=2, dropout=0.1))
    with pytest.raises(ConfigError, match=r"another shape .* differ in model\.dilation$"):
        train.train(dilated, tmp_path / "sixth", data_folder, report=lambda _: None)
    wider = dataclasses.replace(config, model=dataclasses.replace(SMALL, channels=8, pixel_channels=8))
    with pytest.raises(ConfigError, match=r"another shape .* differ in model\.channels$"):
        train.train(wider, tmp_path / "fourth", data_folder, report=lambda _: None)


def test_runs_that_cannot_go_on_say_why(data_folder, tmp_path):
    def trained(config, device="cpu"):
        train.train(config, tmp_path / "run", data_folder, device, report=lambda _: None)

    with pytest.raises(ConfigError, match="only"):
        trained(schedule(batch_size=10**4))
    with pytest.raises(ConfigError, match="device 'nonsense' cannot be used"):
        trained(schedule(), "nonsense")
    with pytest.raises(ConfigError, match="diverged"):
        trained(schedule(learning_rate=1e18))
    assert not (tmp_path / "run" / "checkpoint.pt").exists()
    trained(schedule(epochs=1))
    with pytest.raises(ConfigError, match="device 'nonsense' cannot be used"):
        trained(schedule(epochs=1), "nonsense")
    with FileLock(tmp_path / "run" / "lock"), pytest.raises(ConfigError, match="being trained by another process"):
        trained(schedule(epochs=1))
    with pytest.raises(ConfigError, match=r"begun with another train\.epochs, train\.seed"):
        trained(schedule(seed=9))
    told = []
    train.train(schedule(epochs=1), tmp_path / "run", data_folder, report=told.append)
    assert "has ended" in told[0]
    with np.load(data_folder / "mnist_static.npz") as arrays:
        np.savez(data_folder / "mnist_static.npz", **{**arrays, "train": arrays["train"][::-1]})
    with pytest.raises(ConfigError, match="begun with other images"):
        trained(schedule(epochs=1))
    (tmp_path / "other").mkdir()
    for name, text in (("config.json", '{"my": "project"}'), ("config.json", "{}"), ("log.jsonl", "mine")):
        (tmp_path / "other" / name).write_text(text)
        with pytest.raises(ConfigError, match="not a run's"):
            train.train(schedule(), tmp_path / "other", data_folder)
        assert [path.read_text() for path in (tmp_path / "other").iterdir()] == [text]
        (tmp_path / "other" / name).unlink()
    with pytest.raises(ConfigError, match="exported model"):
        train.train(schedule(), shutil.copytree(HERE / "tiny", tmp_path / "tiny"), data_folder)
    (tmp_path / "run" / "checkpoint.pt").write_bytes(b"no checkpoint")
    with pytest.raises(ConfigError, match="damaged"):
        trained(schedule())
    torch.save({"step": 1}, tmp_path / "run" / "checkpoint.pt")
    with pytest.raises(ConfigError, match="older version"):
        trained(schedule())


def test_a_checkpoint_that_says_nonsense_is_an_error_of_one_line(data_folder, tmp_path):
    folder = tmp_path / "run"
    train.train(schedule(epochs=1), folder, data_folder, report=lambda _: None)
    whole = torch.load(folder / "checkpoint.pt", weights_only=True)

    def read_and_resume():
        train.load_average(folder)
        train.train(schedule(epochs=1), folder, data_folder)

    for change in (
        {"before": [1]},
        {"before": [{"run": "x"}]},
        {"config": []},
        {"config": {"model": {"latents": -1}}},
        {"latents": 3},
        {"latents": "many"},
        {"average": {}},
        {"average": []},
        {"model": None},
        {"optimizer": {}},
        {"seconds": "long"},
        {"step": None},
        {"random": torch.zeros(3)},
        torch.zeros(3),
        [],
        b"G",
    ):
        if isinstance(change, bytes):
            (folder / "checkpoint.pt").write_bytes(change)
        else:
            torch.save({**whole, **change} if isinstance(change, dict) else change, folder / "checkpoint.pt")
        with pytest.raises(ConfigError) as raised:
            read_and_resume()
        assert len(str(raised.value).splitlines()) == 1


def test_too_little_memory_is_an_error_of_one_line(run, tmp_path, monkeypatch):
    monkeypatch.setattr(torch, "load", lambda *_, **__: torch.empty(1 << 58))
    (tmp_path / "checkpoint.pt").touch()
    assert "not enough memory" in run("evaluate", tmp_path, expect=1).output
    monkeypatch.setattr(train, "load_average", lambda _: torch.empty(1 << 58))
    assert "not enough memory" in run("evaluate", tmp_path, expect=1).output


def test_importance_samples_tighten_the_training_bound(data_folder, tmp_path, monkeypatch):
    """One sample is the ELBO; more of the same samples give a lower loss."""
    losses = []
    loss = train._loss

    def spied(terms, c, kl_weight):
        found = loss(terms, c, kl_weight)
        rows = terms.elbo_nats().detach().view(-1, c.importance_samples).numpy().astype(np.float64)
        assert found.item() == pytest.approx(-np.log(np.exp(rows).mean(1)).mean(), rel=1e-4)
        losses.append((found.item(), -rows.mean()))
        return found

    monkeypatch.setattr(train, "_loss", spied)
    config = schedule(epochs=1, importance_samples=3, sort_epoch=-1)
    train.train(config, tmp_path / "run", data_folder, report=lambda _: None)
    assert all(found < negative_elbo for found, negative_elbo in losses)


def test_the_weight_of_the_kl_rises_to_one(data_folder, tmp_path, monkeypatch):
    weights, loss = [], train._loss

    def spied(terms, c, kl_weight):
        weights.append(kl_weight)
        found = loss(terms, c, kl_weight)
        kl_nats = terms.kl_nats.mean(0).clamp_min(c.free_nats).sum().item()
        assert found.item() == pytest.approx(kl_weight * kl_nats - terms.log_likelihood_nats.mean().item(), rel=1e-5)
        return found

    monkeypatch.setattr(train, "_loss", spied)
    train.train(schedule(epochs=3, warm_up_epochs=2), tmp_path / "run", data_folder, report=lambda _: None)
    steps = len(weights) // 3
    assert weights == [*(step / (2 * steps) for step in range(2 * steps)), *[1.0] * steps]


@pytest.fixture
def seen(monkeypatch):
    """The images that a training looks at, in order, before they are binarised."""
    images, binarise = [], data.binarise

    def spied(batch, rng):
        images.extend(batch)
        return binarise(batch, rng)

    monkeypatch.setattr(data, "binarise", spied)
    return images


def test_mirrored_training_sees_images_and_their_mirror_images(data_folder, tmp_path, fields, seen):
    config = dataclasses.replace(schedule(epochs=2, sort_epoch=-1), data=DataConfig("mnist_static", ("train",), True))
    train.train(config, tmp_path / "run", data_folder, report=lambda _: None)
    known = {field.tobytes(): 0 for field in fields} | {field[:, ::-1].tobytes(): 1 for field in fields}
    turned = [known[(image // 255).tobytes()] for image in seen[-200:]]
    assert 50 < sum(turned) < 150


def test_images_are_warped_in_the_first_epochs_only(data_folder, tmp_path, fields, seen):
    config = schedule(epochs=2, sort_epoch=-1)
    warped = DataConfig("mnist_static", ("train",), warp=0.5)
    config = dataclasses.replace(config, data=warped, train=dataclasses.replace(config.train, warp_epochs=1))
    train.train(config, tmp_path / "run", data_folder, report=lambda _: None)
    known = {field.tobytes() for field in fields}
    warped_at = [index for index, image in enumerate(seen) if (image // 255).tobytes() not in known]
    assert 90 < len(warped_at) <= 100
    assert warped_at[-1] - warped_at[0] < 100  # then none more
    assert len(seen) > warped_at[0] + 200


@pytest.mark.parametrize("pixels", [0.0, 0.5, 30.0])
def test_warped_images_take_each_pixel_from_nearby(pixels):
    rows, columns = np.indices((28, 28), dtype=np.uint8)
    images = np.stack([rows, columns]).repeat(20, axis=0)
    moved = data.warped(images, pixels, np.random.default_rng(0)).astype(int) - images
    assert np.array_equal(data.warped(images, pixels, np.random.default_rng(0)), moved + images)
    if pixels <= 0.5:  # a field is smooth: neighbours move together, but for a pixel
        assert np.abs(moved).max() <= 5 * pixels
        assert np.abs(np.diff(moved, axis=1)).max() <= 1
        assert np.abs(np.diff(moved, axis=2)).max() <= 1
        assert bool(moved.any()) == (pixels > 0)


@pytest.mark.parametrize("where", ["dropout", "dense_dropout"])
def test_dropout_is_for_training_only(fields, where):
    model = VLAE(dataclasses.replace(SMALL, **{where: 0.5}))
    x, noise = torch.from_numpy(fields[:10, None].astype(np.float32)), torch.randn(10, 7)
    assert not torch.equal(model(x, noise)[0], model(x, noise)[0])
    model.eval()
    assert torch.equal(model(x, noise)[0], model(x, noise)[0])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own
@pytest.mark.parametrize("compiled", [False, True])
def test_dropout_zeroes_its_share_and_keeps_the_mean(compiled):
    x = torch.ones(64, 16, 14, 14).contiguous(memory_format=torch.channels_last).requires_grad_()
    layer = Dropout(0.25)
    function = _COMPILE(layer) if compiled else layer
    torch.manual_seed(1)
    y = function(x)
    y.sum().backward()
    assert torch.equal(x.grad, y)
    assert y.detach().unique().tolist() == pytest.approx([0.0, 256 / 192])
    assert abs(float(y.detach().mean()) - 1) < 0.01
    torch.manual_seed(1)
    assert torch.equal(function(x), y)
    assert not torch.equal(function(x), y)


SYSTEMS = {
    "factorised": {"decoder": "factorised", "prior": "flow"},
    "iaf": {"decoder": "factorised", "posterior": "iaf", "prior": "normal"},
    "unconditional": {"latents": 0, "prior": "normal"},
    "dilated": {"dilation": 2},
    "narrow": {"masked_layers": 1},
}


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_system_has_a_bound_that_more_samples_tighten(system, fields):
    model = VLAE(dataclasses.replace(SMALL, **SYSTEMS[system]))
    x = torch.from_numpy(fields[:40, None].astype(np.float32))
    with initialise_from(model):
        model(x, torch.randn(40, model.latents))
    evaluator = Evaluator(model)
    few, many = (evaluator.estimates(x, samples, 0) for samples in (1, 32))
    assert (many[2] <= -many[0] + 1e-4).all(), "NLL is at most -ELBO of the same samples"
    if model.latents:
        assert many[2].mean() < few[2].mean()
    else:
        assert not many[1].any()
        assert np.allclose(few[2], many[2])
    assert evaluator.latent_kl_nats(fields * np.uint8(255)).shape == (model.latents,)


def test_without_latents_the_decoder_learns_what_each_place_is_like(fields):
    model = VLAE(dataclasses.replace(SMALL, **SYSTEMS["unconditional"]))
    x = torch.from_numpy(fields[:, None].astype(np.float32))
    z, optimizer = torch.empty(len(x), 0), torch.optim.Adam(model.parameters(), lr=0.05)
    for _ in range(60):
        optimizer.zero_grad()
        (-model.log_likelihood(x, z).mean()).backward()
        optimizer.step()
    blank = torch.sigmoid(model.pixels(torch.zeros(1, 1, 28, 28), model.context(z[:1])))[0, 0]
    assert blank[10:18, 12:16].mean() > 4 * blank[:3].mean()


def test_the_kl_of_the_latents_adds_up(model, fields):
    images, evaluator = fields * np.uint8(255), Evaluator(model)
    each, whole = evaluator.latent_kl_nats(images), evaluator.evaluate(images, samples=64).kl_nats.mean()
    assert each.sum() == pytest.approx(whole, rel=0.15)


@pytest.mark.parametrize("system", SYSTEMS)
def test_drawing_by_rows_equals_drawing_from_whole_images(system, fields):
    model = VLAE(dataclasses.replace(SMALL, **SYSTEMS[system]))
    with initialise_from(model):
        model(torch.from_numpy(fields[:40, None].astype(np.float32)), torch.randn(40, model.latents))
    z, whole = torch.randn(3, model.latents), torch.zeros(3, 1, 28, 28)
    drawn = drawing._pixels(model, z, torch.Generator().manual_seed(5))
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for place in range(784):
            logits = model.pixels(whole, model.context(z)).flatten(1)[:, place]
            whole.view(3, 784)[:, place] = torch.bernoulli(torch.sigmoid(logits), generator=generator)
    assert np.array_equal(drawn, whole[:, 0].numpy())
    assert drawing.samples(model, 2, seed=0).shape == (2, 28, 28)
    assert drawing.resamplings(model, fields[:2], seed=0).shape == (2, 28, 28)


@pytest.mark.parametrize("posterior", ["gaussian", "iaf"])
def test_the_posterior_has_the_density_of_its_noise(posterior, fields):
    """log q is that of N(mu, sigma) before the flow, which keeps volumes; of a Gaussian its mean KL is the known one."""
    model = VLAE(dataclasses.replace(SMALL, posterior=posterior, prior="normal")).eval()
    x, noise = torch.from_numpy(fields[:3, None].astype(np.float32)), torch.randn(3, 20_000, 7)
    with torch.no_grad():
        mu, log_sigma = (part[:, None] for part in model.encoder(x))
        log_sigma = log_sigma.expand(3, 1, 7)
        z, log_q = model.posterior(x, noise)
        expected = torch.distributions.Normal(mu, log_sigma.exp()).log_prob(mu + noise * log_sigma.exp())
        assert torch.allclose(log_q, expected, atol=1e-3)
        if posterior == "gaussian":
            known = (0.5 * (mu**2 + (2 * log_sigma).exp() - 1) - log_sigma)[:, 0]
            assert torch.allclose(model.kl(z, log_q).mean(1), known, atol=0.1)


def test_several_samples_of_each_image_are_what_one_after_the_other_are(model, fields):
    x, noise = torch.from_numpy(fields[:4, None].astype(np.float32)), torch.randn(4, 3, 7)
    with torch.no_grad():
        together = [part.view(4, 3, *part.shape[1:]) for part in model(x, noise.flatten(0, 1))]
        for s in range(3):
            for one, all_of_them in zip(model(x, noise[:, s]), together, strict=True):
                assert torch.allclose(one, all_of_them[:, s], atol=1e-3)


def test_latents_that_were_switched_off_stay_so_when_sorted():
    model = VLAE(SMALL)
    model.active[[1, 4]] = 0.0
    assert model.with_latents(torch.tensor([4, 2, 1, 0])).active.tolist() == [0, 1, 0, 1]


def test_latents_in_another_order_mean_what_they_meant(model, fields):
    order = torch.tensor([4, 0, 5, 2])
    x, z = torch.from_numpy(fields[:5, None].astype(np.float32)), torch.randn(5, 7)
    left = torch.zeros_like(z)
    left[:, order] = z[:, order]
    new = model.with_latents(order)
    with torch.no_grad():
        assert torch.allclose(new.context(z[:, order]), model.context(left), atol=1e-4)
        for one, other in zip(new.encoder(x), model.encoder(x), strict=True):
            assert torch.allclose(one, other[:, order], atol=1e-5)


def test_the_average_follows_the_weights_at_each_step(data_folder, tmp_path, monkeypatch):
    kept, update = [], train._update_average

    def spied(run, keep):
        before = [parameter.clone() for parameter in run.average.parameters()]
        update(run, keep)
        for old, now, new in zip(before, run.average.parameters(), run.model.parameters(), strict=True):
            assert torch.allclose(now, keep * old + (1 - keep) * new, atol=1e-6)
        kept.append(keep)

    monkeypatch.setattr(train, "_update_average", spied)
    run = train.train(schedule(epochs=3, polyak=0.5), tmp_path / "run", data_folder, report=lambda _: None)
    assert len(kept) == run.step
    assert kept == pytest.approx([min(0.5, (2 + step) / (11 + step)) for step in range(run.step)])


def test_latents_below_the_limit_are_switched_off(data_folder, tmp_path, fields, monkeypatch):
    carried = torch.tensor([0.3, 0.01, 0.2, 0.0, 0.1])
    monkeypatch.setattr(train, "_kl_per_dimension", lambda model, *_: carried[: model.latents])
    config = schedule(sort_epoch=-1, prune_nats=0.1)
    config = dataclasses.replace(config, model=dataclasses.replace(SMALL, latents=5))
    run = train.train(config, tmp_path / "run", data_folder, report=lambda _: None)
    x, noise = torch.from_numpy(fields[:, None].astype(np.float32)), torch.randn(100, 5)
    for model in (run.model, run.average, train.load_average(tmp_path / "run").model):
        assert model.active.tolist() == [1, 0, 1, 0, 1]
        assert ((model(x, noise)[1] != 0).any(0) == model.active.bool()).all()


def test_a_new_run_in_an_old_folder_forgets_the_old_one(data_folder, tmp_path):
    """Neither its log nor its evaluations are taken for the new one's."""
    stores = set()
    for seed in (1, 2):
        (tmp_path / "run" / "checkpoint.pt").unlink(missing_ok=True)
        train.train(schedule(epochs=2, seed=seed), tmp_path / "run", data_folder, report=lambda _: None)
        log = (tmp_path / "run" / "log.jsonl").read_text().splitlines()
        assert [json.loads(line)["epoch"] for line in log] == [1, 2]
        (tmp_path / "run" / "log.jsonl").write_text("\n".join([*log, log[0][:20]]))
        trained = train.load_average(tmp_path / "run")
        stores.add(evaluate.store_of(trained, "mnist_static", "test", np.zeros((1, 28, 28), np.uint8)))
    assert len(stores) == 2


@pytest.mark.parametrize("steps", [3, 4])
def test_an_iaf_posterior_has_the_density_that_it_says(steps):
    """Volume-preserving: its Jacobian has determinant 1, also of what is left when latents are switched off."""
    model = VLAE(dataclasses.replace(SMALL, posterior="iaf", flow_steps=steps))
    h, z, active = torch.randn(1, SMALL.dense), torch.randn(7), torch.tensor([1.0, 0, 1, 1, 0, 1, 1])
    for on in (torch.ones(7), active):
        jacobian = torch.autograd.functional.jacobian(lambda one, on=on: model.flow(one[None], h, on)[0], z)
        assert torch.linalg.det(jacobian[on > 0][:, on > 0]).item() == pytest.approx(1.0, rel=1e-4)
        assert not jacobian[on == 0].any()
        assert not jacobian[:, on == 0].any()
    with torch.no_grad():
        model.flow.vanish()
        assert torch.equal(model.flow(z[None], h, active)[0], z * active)


def test_configs_round_trip_and_refuse_typos(tmp_path):
    config = schedule()
    assert configs.from_dict(configs.to_dict(config)) == config
    path = tmp_path / "x.toml"
    for text, message in (
        ("[train]\nepoch = 3", "unknown key train.epoch"),
        ("[model]\nlatents = 'many'", "model.latents must be int"),
        ("[model]\nprior = 'none'", "model.prior must be one of"),
        ("model = 3", "model must be a table"),
        ("[data]\nparts = 'train'", "data.parts must be a list of strings"),
        ("[train]\nbatch_size = 0", "train.batch_size must be 1 to"),
        ("[train]\nimportance_samples = 100_000", "train.importance_samples must be 1 to 65536"),
        ("[train]\ndecay_from = 1.5", "train.decay_from must be 0 to 1"),
        ("[train]\nepochs = -3", "train.epochs must be 0 to"),
        ("[train]\nprune_nats = nan", "train.prune_nats must be 0 to"),
        (f"[train]\nseed = {1 << 64}", "train.seed must be 0 to"),
        ("[train]\nlearning_rate = inf", "train.learning_rate must be 0 to"),
        (f"[train]\nlearning_rate = 1{400 * '0'}", "train.learning_rate must be at most 2"),
        (f"[train]\nepochs = 1{5000 * '0'}", "cannot read the experiment"),
        (f"x = {50_000 * '['}", "cannot read the experiment"),
        ("[model]\nlatents = 0", "without model.latents model.prior must be normal"),
        ("[model]\nlatents = 0\nprior = 'normal'\nposterior = 'iaf'", "without model.latents"),
        ("[data]\nwarp = 29", "data.warp must be 0 to 28"),
        ("[data]\nwarp = 0.5", "data.warp and train.warp_epochs must be given together"),
        ("[train]\nwarp_epochs = 5", "data.warp and train.warp_epochs must be given together"),
        ("[train]\nimportance_samples = 2\nwarm_up_epochs = 1", "train.warm_up_epochs must be 0"),
        ("[model]\nprior = 'flow'", "train.prune_epoch must be -1"),
        ("[model]\nposterior = 'iaf'", "train.prune_epoch must be -1"),
        ("[model]\nprior = 'flow'\n[train]\nprune_epoch = -1", "train.keep_latents must be all"),
        ("[model]\ndropout = 1", "model.dropout must be 0 to 0.99"),
        ("[model\n", "cannot read the experiment"),
    ):
        path.write_text(text)
        with pytest.raises(ConfigError, match=message):
            configs.load(path)
    with pytest.raises(ConfigError, match="no experiment elsewhere/mnist"):
        configs.locate(configs.Path("elsewhere/mnist"))
    for shipped in sorted((configs.locate(configs.Path("mnist")).parent).glob("*.toml")):
        family, table = families.of_experiment(shipped)
        assert family.read(table)


@pytest.mark.parametrize("data", [b"", b"rubbish", b"\x93NUMPY"], ids=["empty", "rubbish", "npy"])
def test_a_damaged_model_is_told_in_a_line(data, tmp_path, run):
    (tmp_path / "weights.npz").write_bytes(data)
    for command in (["evaluate", tmp_path], ["export", tmp_path, "-o", tmp_path / "out"]):
        assert run(*command, expect=1).stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "stored"),
    [
        ("mnist_static", np.ones((9, 784), np.uint8)),
        ("mnist_static", np.full((9, 28, 28), 200, np.uint8)),
        ("mnist_static", np.ones((9, 98), np.bool_)),
        ("omniglot28", np.ones((9, 784), np.uint8)),
        ("omniglot28", np.full((9, 14, 56), 200, np.uint8)),
        ("omniglot28", np.ones((9, 784), np.float32)),
    ],
)
def test_data_of_another_layout_are_refused(tmp_path, name, stored):
    np.savez(tmp_path / f"{name}.npz", train=stored)
    with pytest.raises(ConfigError, match="must be uint8"):
        data.load(name, ["train"], tmp_path)


def test_missing_data_says_what_to_do(tmp_path):
    with pytest.raises(ConfigError, match="--data"):
        data.load("mnist_static", ["train"], tmp_path)
    with pytest.raises(ConfigError, match="no data set 'mnist'"):
        data.load("mnist", ["train"], tmp_path)
    with pytest.raises(ConfigError, match="no part"):
        data.load("mnist_static", [], tmp_path)


def test_damaged_data_say_what_to_do(data_folder):
    path = data_folder / "mnist_static.npz"
    whole = path.read_bytes()
    for damaged in (b"", whole[: len(whole) // 2], whole[:100] + bytes(100) + whole[200:], whole[:-30] + bytes(30)):
        path.write_bytes(damaged)
        with pytest.raises(ConfigError, match="--data"):
            data.load("mnist_static", ["train"], data_folder)


def test_the_learning_rate_falls_from_the_given_time_on_to_zero():
    done = np.linspace(0, 1, 101)[:-1]
    for decay_from in (0.0, 0.5, 1.0):
        rates = [train._decay(part, decay_from) for part in done]
        assert all(rate == 1.0 for rate, part in zip(rates, done, strict=True) if part <= decay_from)
        assert rates == sorted(rates, reverse=True)
        assert rates[-1] < 0.01 or decay_from == 1.0


def test_binarise_draws_ink_with_the_gray_level_as_probability():
    gray = np.array([0, 51, 255], np.uint8).repeat(10_000).reshape(3, 100, 100)
    drawn = data.binarise(gray, np.random.default_rng(0)).mean(axis=(1, 2, 3))
    assert drawn == pytest.approx([0.0, 0.2, 1.0], abs=0.02)


FAULTS = """
import resource
from vlae_codec.models import memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    bytearray(16 << 20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

print(faults())
memory.keep_freed()
faults()
print(faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has mallopt")
def test_kept_memory_costs_no_page_faults():
    run = subprocess.run([sys.executable, "-c", FAULTS], check=True, capture_output=True, text=True)
    before, after = map(int, run.stdout.split())
    assert 4 * after < before
