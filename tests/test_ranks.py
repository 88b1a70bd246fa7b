"""Two processes that train together do what one does: the same gradients, one folder, and a run that goes on."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import socket
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from conftest import TINY  # noqa: E402
from test_grid_training import SMALL as PHOTO  # noqa: E402
from test_grid_training import write_data  # noqa: E402
from test_models import SMALL  # noqa: E402

from vlae_codec import cluster  # noqa: E402
from vlae_codec.errors import ConfigError  # noqa: E402
from vlae_codec.models import ranks, shards, train  # noqa: E402
from vlae_codec.models.config import Config, DataConfig, TrainConfig  # noqa: E402
from vlae_codec.models.grid import train as photo_train  # noqa: E402
from vlae_codec.models.grid.run import Schedule  # noqa: E402

CONFIG = Config(
    replace(SMALL, dropout=0.0, dense_dropout=0.0),
    TrainConfig(batch_size=20, epochs=2, sort_epoch=1, keep_latents=5, free_nats=0.05),
    DataConfig("mnist_static", ("train",)),
)
PARTS = "train", "valid", "test"


def step(folder):
    """One step of training in float32, and one as it is; rank 0 writes the gradients and what the steps told of."""
    torch.set_num_threads(1)
    images, autocast, found = np.load(folder / "images.npy"), torch.autocast, {"count": 0}
    with ranks.joined("cpu"):
        for kind, context in (("float32", lambda *_, **__: contextlib.nullcontext()), ("bfloat16", autocast)):
            torch.autocast = context
            run = train.start(CONFIG, images, "cpu", folder)
            order = np.random.default_rng(0).permutation(len(images))
            trainer = train.Trainer(CONFIG, folder, images, None, "cpu", print)
            told = trainer.step(run, ranks.wrapped(run.model), order, 0, 1)
            found[kind] = {"gradients": {name: one.grad for name, one in run.model.named_parameters()}, "told": told}
        if ranks.rank() == 0:
            torch.save({**found, "count": ranks.count()}, folder / "step.pt")


def photo_steps(folder):
    """One step of each stage of a photo model's training, in float32; rank 0 writes the gradients of the first two."""
    torch.set_num_threads(1)
    torch.autocast = lambda *_, **__: contextlib.nullcontext()
    photo_train.compiled = lambda function: function
    average, found = ranks.average_gradients, []

    def recording(model):
        average(model)
        gradients = ((name, one.grad) for name, one in model.named_parameters())
        found.append({name: gradient.clone() for name, gradient in gradients if gradient is not None})
        if ranks.rank() == 0:
            torch.save({"count": ranks.count(), "stages": found[:2]}, folder / "steps.pt")

    ranks.average_gradients = recording
    stages = dict.fromkeys(("transforms", "texture", "grain"), Schedule(1, 2, 48, warm_up=1))
    photo_train.train(replace(PHOTO, **stages), folder / f"run-{os.environ['WORLD_SIZE']}", folder)


def training(folder, data_folder, epochs):
    """Trains so many of the epochs of a run, and tells of them."""
    torch.set_num_threads(1)
    torch.compile = lambda function, **_: function
    epoch, left = train.Trainer.epoch, iter(range(epochs))

    def stopping(trainer, run, number):
        if next(left, None) is None:
            sys.exit(0)
        return epoch(trainer, run, number)

    train.Trainer.epoch = stopping
    train.train(CONFIG, folder, data_folder)


def reading(folder):
    """What this rank sees of the set in the folder, in the second epoch."""
    with ranks.joined("cpu"):
        images = shards.ShardedImages(str(folder / "set-*.vlz"), shuffle=True, model=str(TINY))
        images.set_epoch(1)
        np.save(folder / f"seen-{ranks.rank()}.npy", np.stack([image.numpy() for image in images]))


def as_rank(environment, function, out, *arguments):
    """Calls a function in a process that torchrun would have begun with that environment; `out` gets what it prints."""
    os.environ.update(environment)
    with Path(out).open("w", encoding="utf-8") as file, contextlib.redirect_stdout(file):
        function(*arguments)


def together(count, function, folder, *arguments):
    """Calls function(folder, ...) in so many processes, as torchrun would begin them; what each printed."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    context = multiprocessing.get_context("forkserver")  # which imports torch once for all of them
    context.set_forkserver_preload(["vlae_codec.models.train"])
    outs, processes = [folder.parent / f"{folder.name}-{rank}.txt" for rank in range(count)], []
    for rank, out in enumerate(outs):
        said = {"WORLD_SIZE": str(count), "RANK": str(rank), "LOCAL_RANK": str(rank), "MASTER_PORT": port}
        environment = {**said, "MASTER_ADDR": "127.0.0.1"}
        processes.append(context.Process(target=as_rank, args=(environment, function, out, folder, *arguments)))
        processes[-1].start()
    for process in processes:
        process.join(timeout=300)
    assert [process.exitcode for process in processes] == [0] * count
    return [out.read_text(encoding="utf-8") for out in outs]


def test_gradients_of_two_processes_are_those_of_one(tmp_path, fields):
    np.save(tmp_path / "images.npy", fields * np.uint8(255))
    found = []
    for count in (1, 2):
        together(count, step, tmp_path)
        found.append(torch.load(tmp_path / "step.pt", weights_only=True))
        assert found[-1]["count"] == count
    for kind, most in (("float32", 1e-5), ("bfloat16", 0.02)):
        one, two = (each[kind] for each in found)
        assert two["told"] == pytest.approx(one["told"], rel=10 * most)
        largest = max(float(gradient.abs().max()) for gradient in one["gradients"].values())
        assert largest > 0
        for name, gradient in one["gradients"].items():
            difference = float((two["gradients"][name] - gradient).norm())
            assert difference <= most * (float(gradient.norm()) + 1e-3 * largest), (kind, name)


def test_photo_models_have_the_gradients_of_one_process(tmp_path):
    write_data(tmp_path)
    found = []
    for count in (1, 2):
        together(count, photo_steps, tmp_path)
        found.append(torch.load(tmp_path / "steps.pt", weights_only=True))
        assert found[-1]["count"] == count
    for one, two in zip(*(each["stages"] for each in found), strict=True):
        largest = max(float(gradient.abs().max()) for gradient in one.values())
        assert largest > 0
        for name, gradient in one.items():
            assert float((two[name] - gradient).norm()) <= 1e-3 * (float(gradient.norm()) + 0.01 * largest), name


def test_two_ranks_share_the_shards_of_a_set(tmp_path, fields):
    np.save(tmp_path / "a.npy", fields[:30])
    cluster.pack(str(tmp_path / "a.npy"), str(tmp_path / "set-{shard}.vlz"), 5, jobs=1, model=str(TINY))
    together(2, reading, tmp_path)
    seen = [np.load(tmp_path / f"seen-{rank}.npy") for rank in range(2)]
    assert sorted(map(len, seen)) == [12, 18]
    assert sorted(image.tobytes() for image in np.concatenate(seen)) == sorted(image.tobytes() for image in fields[:30])


@pytest.fixture
def data_sets(tmp_path, fields):
    np.savez(tmp_path / "mnist_static.npz", **{part: np.packbits(fields.reshape(100, -1), axis=1) for part in PARTS})
    return tmp_path


def test_a_run_of_two_processes_goes_on_and_the_first_alone_writes(tmp_path, data_sets):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    first, second = together(2, training, whole, data_sets, 2)
    assert "epoch 2/2" in first
    assert second == ""
    together(2, training, parts, data_sets, 1)
    assert len((parts / "log.jsonl").read_text().splitlines()) == 1
    together(2, training, parts, data_sets, 9)
    assert len((parts / "log.jsonl").read_text().splitlines()) == 2
    one, other = (torch.load(folder / "checkpoint.pt", weights_only=True) for folder in (whole, parts))
    assert one["step"] == other["step"] == 10
    assert one["latents"] == 5
    for key in one["average"]:
        assert torch.equal(one["average"][key], other["average"][key]), key


def test_batches_are_shared_equally(monkeypatch):
    monkeypatch.setattr(ranks, "count", lambda: 3)
    monkeypatch.setattr(ranks, "rank", lambda: 1)
    assert ranks.rows(21) == slice(7, 14)
    with pytest.raises(ConfigError, match="3 processes cannot share a batch of 20 equally"):
        ranks.rows(20)
