"""Trains one experiment (Chen et al. 2016, Appendix A); stops and resumes at any moment.

A run is a folder: `config.json` (for people), `log.jsonl` (one line per epoch, ready to plot) and `checkpoint.pt` (tensors
and plain values only, read with `weights_only=True`), replaced atomically every few minutes; and a lock, since two trainings
in one folder would undo each other.

Twists: after `sort_epoch` epochs the latents are sorted by KL, cut to `keep_latents`, and the prior starts anew, since an
autoregressive prior is tied to its order. After `prune_epoch` epochs those that carry less than `prune_nats` are switched
off for good; the codec never hears of them.

Several processes may train together: see `ranks`.
"""

from __future__ import annotations

import copy
import io
import json
import math
import pickle
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from filelock import FileLock, Timeout
from torch import Tensor

from vlae_codec import files
from vlae_codec.errors import ConfigError
from vlae_codec.files import cache_folder
from vlae_codec.models.field import integer
from vlae_codec.models.field.integer import to_float
from vlae_codec.models.field.priors import InverseFlow
from vlae_codec.models.field.vlae import VLAE, Terms

from . import config as configs
from . import data, memory, ranks
from .config import Config, ModelConfig, Round, TrainConfig
from .families import locate
from .layers import ResidualBlock, compiled, compiles, initialise_from, placed

CHECKPOINT_SECONDS = 180.0
Order = npt.NDArray[np.int64]
_SENSELESS = (LookupError, TypeError, ValueError, AttributeError, OverflowError)
"""What is raised of tables that are of other keys, types or sizes than a configuration."""
_DAMAGED = (*_SENSELESS, OSError, RuntimeError, EOFError, AssertionError, struct.error, pickle.UnpicklingError)
"""What torch raises of files that are not a checkpoint, and of tensors that are not the model's."""


@dataclass
class Run:
    """All that a checkpoint restores. `model` is trained, `average` (Polyak) is what is evaluated and released.

    images: the SHA-256 of those that it is trained on. before: the rounds that its first weights have gone through.
    """

    model: VLAE
    average: VLAE
    optimizer: torch.optim.Optimizer
    images: str
    before: tuple[Round, ...] = ()
    step: int = 0
    seconds: float = 0.0


def train(
    config: Config,
    folder: Path,
    data_folder: Path | None = None,
    device: str = "cpu",
    threads: int | None = None,
    report: Callable[[str], None] = print,
) -> Run:
    """Trains to the end of the schedule, from `folder`'s checkpoint if there is one. Returns the finished run.

    A new run starts from the averaged weights of `config.train.initial`, if given, else from noise.

    Raises:
        ConfigError: the folder holds another run, an exported model or a stranger's files, or is being trained in; data,
            device or initial weights cannot be used; or training diverged. The last checkpoint stays.
        ModelError: an initial model is not there, or damaged.
        OutputError, OSError: the folder cannot be written to.
    """
    with ranks.joined(device):
        return _train(config, folder, data_folder, device, threads, report if ranks.rank() == 0 else lambda _: None)


def _train(
    config: Config,
    folder: Path,
    data_folder: Path | None,
    device: str,
    threads: int | None,
    report: Callable[[str], None],
) -> Run:
    memory.keep_freed()
    if not compiles():
        report("without a C++ compiler and Python's headers the networks are not compiled, and a few times slower")
    if threads:
        torch.set_num_threads(threads)
    images = data.load(config.data.name, config.data.parts, data_folder)
    if len(images) < config.train.batch_size:
        raise ConfigError(f"train.batch_size is {config.train.batch_size}, and there are only {len(images)} images")
    ranks.rows(config.train.batch_size)
    trainer = Trainer(config, folder, images, _held_out(config, data_folder), device, report)
    with ExitStack() as undo:
        if ranks.rank() == 0:
            undo.enter_context(_locked(folder))
        ranks.wait()
        run = _resume(config, folder, device, images) or start(config, images, device, folder)
        if run.step >= config.train.epochs * trainer.steps_per_epoch:
            report(f"the run in {folder} has ended: -o names a folder for a new one")
        ranks.wait()  # until all have read the checkpoint
        if ranks.rank() == 0:
            written = json.dumps(configs.to_dict(config), indent=2) + "\n"
            files.write(folder / "config.json", written.encode(), force=True)
            _cut_log(folder, run.step)
        while (epoch := run.step // trainer.steps_per_epoch) < config.train.epochs:
            if run.step % trainer.steps_per_epoch == 0:
                _adjust_latents(run, config, images, epoch, device)
            steps, seconds = run.step, run.seconds
            elbo_nats, kl_nats = trainer.epoch(run, epoch)
            if ranks.rank() == 0:
                trainer.log(run, epoch, elbo_nats, kl_nats, (run.seconds - seconds) / (run.step - steps))
                save(run, config, folder)
    return run


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """The folder of a run, for no other training meanwhile, and for nothing else."""
    if is_model(folder):
        raise ConfigError(f"{folder} holds an exported model: -o names a folder for a run")
    if _is_of_others(folder):
        raise ConfigError(
            f"{folder} holds a config.json or a log.jsonl that is not a run's: -o names a folder for a run"
        )
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / "lock", timeout=0):
            yield
    except Timeout as error:
        raise ConfigError(f"the run in {folder} is being trained by another process") from error


@dataclass(frozen=True)
class Trainer:
    """What stays the same throughout a run."""

    config: Config
    folder: Path
    images: data.Images
    held_out: data.Images | None
    device: str
    report: Callable[[str], None]

    @property
    def steps_per_epoch(self) -> int:
        return len(self.images) // self.config.train.batch_size

    def epoch(self, run: Run, epoch: int) -> tuple[float, float]:
        """The rest of one epoch; mean (elbo_nats, kl_nats) of the steps taken."""
        forward = ranks.wrapped(compiled(run.model))
        order = np.random.default_rng([self.config.train.seed, epoch]).permutation(len(self.images))
        started = saved = time.monotonic()
        sums, first = np.zeros(2), run.step
        for index in range(run.step % self.steps_per_epoch, self.steps_per_epoch):
            sums += self.step(run, forward, order, epoch, index)
            now = time.monotonic()
            due = now - saved > CHECKPOINT_SECONDS and ranks.rank() == 0
            if due and index + 1 < self.steps_per_epoch:  # after the last, logged first
                run.seconds, started, saved = run.seconds + now - started, now, now
                save(run, self.config, self.folder)
                elbo_nats = sums[0] / (run.step - first)
                self.report(f"epoch {epoch + 1} step {index + 1}/{self.steps_per_epoch}, ELBO {elbo_nats:.2f} nats")
        run.seconds += time.monotonic() - started
        elbo_nats, kl_nats = sums / (run.step - first)
        return float(elbo_nats), float(kl_nats)

    def step(
        self, run: Run, forward: Callable[..., tuple[Tensor, Tensor]], order: Order, epoch: int, index: int
    ) -> tuple[float, float]:
        """One step of Adamax, on noise and binarisation of its own seed; (elbo_nats, kl_nats) of the batch.

        forward: `run.model`, or what was compiled of it. order: of the images in this epoch. index: of the step in it.

        Raises:
            ConfigError: the ELBO is not a finite number.
        """
        c = self.config.train
        rng = np.random.default_rng([c.seed, epoch, index])
        batch = self.images[order[index * c.batch_size : (index + 1) * c.batch_size]]
        if self.config.data.mirrored:
            batch = np.where(rng.integers(0, 2, (len(batch), 1, 1), dtype=np.uint8), batch[:, :, ::-1], batch)
        if epoch < c.warp_epochs:
            batch = data.warped(batch, self.config.data.warp, rng)
        own = ranks.rows(c.batch_size)
        x = torch.from_numpy(data.binarise(batch, rng)[own]).to(self.device, memory_format=torch.channels_last)
        shape = (c.batch_size, c.importance_samples, run.model.latents)
        noise = torch.from_numpy(rng.standard_normal(shape, dtype=np.float32)[own]).flatten(0, 1)
        torch.manual_seed(int(rng.integers(2**62)) + ranks.rank())  # of the dropout
        with torch.autocast(self.device, torch.bfloat16):
            terms = Terms(*forward(x, noise.to(self.device)))
        for group in run.optimizer.param_groups:
            group["lr"] = c.learning_rate * _decay(run.step / (c.epochs * self.steps_per_epoch), c.decay_from)
        run.optimizer.zero_grad()
        warm_up_steps = c.warm_up_epochs * self.steps_per_epoch
        _loss(terms, c, min(1.0, run.step / warm_up_steps) if warm_up_steps else 1.0).backward()
        run.optimizer.step()
        run.step += 1
        _update_average(run, min(c.polyak, (1 + run.step) / (10 + run.step)))
        elbo_nats, kl_nats = ranks.mean(torch.stack([terms.elbo_nats().mean(), terms.kl_nats.sum(1).mean()])).tolist()
        if not math.isfinite(elbo_nats):
            raise ConfigError(f"training diverged in epoch {epoch + 1}: try a lower train.learning_rate")
        return elbo_nats, kl_nats

    def log(self, run: Run, epoch: int, elbo_nats: float, kl_nats: float, step_seconds: float) -> None:
        """Appends one line to log.jsonl and reports it, with the throughput of late: a run may have been slower before."""
        c = self.config.train
        line: dict[str, Any] = {
            "epoch": epoch + 1,
            "step": run.step,
            "seconds": round(run.seconds, 1),
            "train_elbo_nats": round(elbo_nats, 4),
            "train_kl_nats": round(kl_nats, 4),
            "active_latents": int(run.model.active.sum()),
        }
        if self.held_out is not None:
            valid = _terms(run.average, self.held_out, c.seed, self.device)
            elbo_nats, kl_nats = float(valid.elbo_nats().mean()), float(valid.kl_nats.sum(1).mean())
            line |= {"valid_elbo_nats": round(elbo_nats, 4), "valid_kl_nats": round(kl_nats, 4)}
        with (self.folder / "log.jsonl").open("a") as log:
            log.write(json.dumps(line) + "\n")
        left = step_seconds * self.steps_per_epoch * (c.epochs - epoch - 1)
        self.report(
            f"epoch {epoch + 1}/{c.epochs}: ELBO {elbo_nats:.2f} nats, KL {kl_nats:.2f} nats, "
            f"{c.batch_size / step_seconds:.0f} images/s, {left / 60:.0f} min left"
        )


def _loss(terms: Terms, c: TrainConfig, kl_weight: float) -> Tensor:
    """What is minimised, nats: KL times its weight, at least `free_nats` per latent dimension, plus distortion; or with
    several importance samples of each image, which follow each other, -log of their mean weight (Burda et al., Eq. 8)."""
    if c.importance_samples == 1:
        kl_nats = terms.kl_nats.mean(0)
        costs = ranks.mean(kl_nats) > c.free_nats  # of all processes together
        kl_nats = torch.where(costs, kl_nats, c.free_nats).sum()
        return kl_weight * kl_nats - terms.log_likelihood_nats.mean()
    log_weights = terms.elbo_nats().view(-1, c.importance_samples)
    return math.log(c.importance_samples) - torch.logsumexp(log_weights, dim=1).mean()


def _decay(done: float, decay_from: float) -> float:
    """The learning rate's factor when the fraction `done` of the schedule is over."""
    past = (done - decay_from) / (1.0 - decay_from) if done > decay_from else 0.0
    return 0.5 * (1.0 + math.cos(math.pi * past))


@torch.no_grad()
def _update_average(run: Run, keep: float) -> None:
    average: list[Tensor] = list(run.average.parameters())
    current: list[Tensor] = list(run.model.parameters())
    torch._foreach_lerp_(average, current, 1.0 - keep)


def _averaged(model: VLAE) -> VLAE:
    """A Polyak average that starts at `model`; it is evaluated, never trained."""
    return copy.deepcopy(model).eval()


def _adamax(model: VLAE, config: Config) -> torch.optim.Optimizer:
    return torch.optim.Adamax(model.parameters(), lr=config.train.learning_rate, foreach=True)


def _cut_log(folder: Path, step: int) -> None:
    """Drops what an earlier run in the folder, or one stopped before it saved, has logged of later steps."""
    path = folder / "log.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
    kept = [line for line in lines if _logged_step(line) <= step]
    if len(kept) < len(lines):
        files.write(path, "".join(kept).encode(), force=True)


def _logged_step(line: str) -> float:
    """The step of a line of the log; infinity if it has none, such as one that was being written."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return math.inf


def start(config: Config, images: data.Images, device: str, folder: Path) -> Run:
    """A new run, to be kept in `folder`; initial weights are those of a run beside it.

    Raises:
        ConfigError, ModelError: as `train`.
    """
    initial = load_average(locate(config.train.initial, folder.parent)) if config.train.initial else None
    model = placed(_grown(config, initial) if initial else _new(config, images), device)
    before = initial.rounds if initial else ()
    return Run(model, _averaged(model), _adamax(model, config), data.digest(images), before)


def _new(config: Config, images: data.Images) -> VLAE:
    """A model of noise, initialised from some of the images."""
    torch.manual_seed(config.train.seed)
    model = VLAE(config.model)
    rng = np.random.default_rng(config.train.seed)
    batch = torch.from_numpy(data.binarise(images[rng.permutation(len(images))[:512]], rng))
    with initialise_from(model):
        model(batch, torch.randn(len(batch), model.latents))
    return model


def _grown(config: Config, initial: Trained) -> VLAE:
    """A trained model, in the shape that `config` asks for: deeper, with a flow in its posterior, or with a wider PixelCNN,
    it begins as what it was.

    Raises:
        ConfigError: it has not grown, but has another shape.
    """
    torch.manual_seed(config.train.seed)
    asked = config.model
    narrow = replace(asked, pixel_channels=min(asked.pixel_channels, initial.config.model.pixel_channels))
    model = _deepened(replace(config, model=narrow), initial)
    return model if narrow == asked else _widened(model, asked)


def _deepened(config: Config, initial: Trained) -> VLAE:
    """What it has not got of residual blocks, or a flow, begins as the identity (Net2Net: Chen, Goodfellow & Shlens 2016,
    Section 2.2)."""
    model = VLAE(config.model, initial.model.latents)
    before, expected = initial.model.state_dict(), model.state_dict()
    added = {
        f"{name}.": one
        for name, one in model.named_modules()
        if isinstance(one, ResidualBlock | InverseFlow) and not any(key.startswith(f"{name}.") for key in before)
    }
    new = {key for key in expected if key.startswith(tuple(added))}
    shapes = {key: before[key].shape for key in before}
    dilations = config.model.dilation, initial.config.model.dilation
    if {key: expected[key].shape for key in expected.keys() - new} != shapes or len(set(dilations)) > 1:
        like = replace(initial.config.model, dropout=config.model.dropout, dense_dropout=config.model.dense_dropout)
        keys = ", ".join(configs.differing(replace(config, model=like), config))
        raise ConfigError(
            f"{config.train.initial} has another shape than the experiment's model: they differ in {keys}"
        )
    model.load_state_dict({**expected, **before})
    for one in added.values():
        one.vanish()
    return model


def _widened(model: VLAE, shape: ModelConfig) -> VLAE:
    """Channels that its PixelCNN has not got are random features, which those that it has do not hear at first."""
    wide, before = VLAE(shape, model.latents), model.state_dict()

    def filled(key: str, new: Tensor) -> Tensor:
        groups = 4 if key.startswith("decoder.output.") else 1  # of outputs: see `depth_to_space`
        old, new = (one.unflatten(0, (groups, len(one) // groups)) for one in (before[key], new.clone()))
        new[:, : old.shape[1]] = 0
        new[tuple(slice(size) for size in old.shape)] = old
        return new.flatten(0, 1)

    wide.load_state_dict({key: filled(key, new) for key, new in wide.state_dict().items()})
    return wide


def _adjust_latents(run: Run, config: Config, images: data.Images, epoch: int, device: str) -> None:
    """Sorts or prunes the latents where the schedule says so; sorting starts prior, average and optimiser anew."""
    c = config.train
    if epoch == c.sort_epoch and run.model.latents > c.keep_latents:
        kl_nats = _kl_per_dimension(run.average, images, c.seed, device)
        order = kl_nats.argsort(descending=True)[: c.keep_latents]
        model = placed(run.model.with_latents(order), device)
        ranks.agree(model)  # on the new prior
        run.model, run.average, run.optimizer = model, _averaged(model), _adamax(model, config)
    if epoch == c.prune_epoch:
        active = (_kl_per_dimension(run.average, images, c.seed, device) >= c.prune_nats).float()
        run.model.active.copy_(active)
        run.average.active.copy_(active)


@torch.no_grad()
def _kl_per_dimension(model: VLAE, images: data.Images, seed: int, device: str) -> Tensor:
    """The mean KL of each latent dimension over 2,000 images, nats: (D,)."""
    return _terms(model, data.shuffled_part(images, 2000, seed), seed, device).kl_nats.mean(0)


@torch.no_grad()
def _terms(model: VLAE, images: data.Images, seed: int, device: str) -> Terms:
    """One-sample terms of all images, evaluated in float32 on the device."""
    rng = np.random.default_rng(seed)
    parts = []
    for start in range(0, len(images), 250):
        x = torch.from_numpy(data.binarise(images[start : start + 250], rng)).to(device)
        noise = torch.from_numpy(rng.standard_normal((len(x), model.latents), dtype=np.float32)).to(device)
        parts.append(model(x, noise))
    return Terms(torch.cat([p[0] for p in parts]), torch.cat([p[1] for p in parts]))


def _held_out(config: Config, data_folder: Path | None) -> data.Images | None:
    """2,000 validation images, unless the experiment trains on them."""
    if "valid" in config.data.parts or config.data.name == "omniglot28":
        return None
    return data.shuffled_part(data.load(config.data.name, ["valid"], data_folder), 2000, config.train.seed)


def save(run: Run, config: Config, folder: Path) -> None:
    """Writes the checkpoint atomically.

    Raises:
        OutputError: it cannot be written.
    """
    state = {
        "config": configs.to_dict(config),
        "latents": run.model.latents,
        "images": run.images,
        "before": [configs.round_to_dict(one) for one in run.before],
        "step": run.step,
        "seconds": run.seconds,
        "model": run.model.state_dict(),
        "average": run.average.state_dict(),
        "optimizer": run.optimizer.state_dict(),
        "random": torch.get_rng_state(),
    }
    write_tensors(folder / "checkpoint.pt", state)


def write_tensors(path: Path, state: dict[str, Any]) -> None:
    """Writes what `torch.load(path, weights_only=True)` reads, whole or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    written = io.BytesIO()
    torch.save(state, written)
    files.write(path, written.getvalue(), force=True)


def _resume(config: Config, folder: Path, device: str, images: data.Images) -> Run | None:
    if not _is_run(folder):
        return None
    with _reading(folder) as state:
        if (begun := configs.from_dict(state["config"])) != config:
            keys = ", ".join(configs.differing(begun, config))
            raise ConfigError(f"the run in {folder} was begun with another {keys}: -o names a folder for a new one")
        if state["images"] != data.digest(images):
            raise ConfigError(f"the run in {folder} was begun with other images: -o names a folder for a new one")
        model = placed(VLAE(config.model, state["latents"]), device)
        model.load_state_dict(state["model"])
        average = _averaged(model)
        average.load_state_dict(state["average"])
        optimizer = _adamax(model, config)
        optimizer.load_state_dict(state["optimizer"])
        if "random" in state:  # which the new prior of sorted latents is drawn from
            torch.set_rng_state(state["random"])
        step, seconds = int(state["step"]), float(state["seconds"])
        return Run(model, average, optimizer, state["images"], _before(state), step, seconds)


def _before(state: dict[str, Any]) -> tuple[Round, ...]:
    return tuple(map(configs.round_from_dict, state["before"]))


@contextmanager
def _reading(folder: Path) -> Iterator[dict[str, Any]]:
    """What the checkpoint of a run holds; what goes wrong with it within the context is a ConfigError."""
    path = folder / "checkpoint.pt"
    if not _is_run(folder):
        raise ConfigError(f"{folder} holds no checkpoint of a run; for a model that ships give released:NAME")
    try:
        with memory.named():
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            if "before" not in state:
                raise ConfigError(f"{path} is a checkpoint of an older version: -o names a folder for a new run")
            yield state
    except _DAMAGED as error:
        raise ConfigError(f"{path} is damaged, or no checkpoint: {str(error).partition(chr(10))[0]}") from error


class Trained(NamedTuple):
    """What a run has made so far: its averaged model on the CPU in float32, and how it came about.

    rounds: the runs that its weights have gone through, in order, its own the last. folder: where unfinished evaluations
    are kept, if there is a place.
    """

    model: VLAE
    rounds: tuple[Round, ...]
    folder: Path | None

    @property
    def config(self) -> Config:
        """Of the last round."""
        return self.rounds[-1].config


def load_average(folder: Path) -> Trained:
    """The averaged model of a run; of the folder of an integer model what it was rounded from, but for the rounding.

    Raises:
        ConfigError: the folder holds neither a checkpoint nor a model, or files that are not.
        ModelError: the integer model is damaged.
    """
    if is_model(folder):
        return _of_integers(folder)
    with _reading(folder) as state:
        config = configs.from_dict(state["config"])
        model = VLAE(config.model, state["latents"])
        model.load_state_dict(state["average"])
        last = Round(folder.resolve().name, state["step"], round(state["seconds"] / 3600, 2), config)
        return Trained(model.eval(), (*_before(state), last), folder)


def _of_integers(folder: Path) -> Trained:
    model = integer.load(folder)
    try:
        about = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        rounds = tuple(map(configs.round_from_dict, about["rounds"]))
    except _SENSELESS as error:
        raise ConfigError(f"{folder / 'model.json'} does not say how the model was trained") from error
    try:
        with memory.named():
            restored = to_float(model, *(one.config for one in rounds))
    except (*_SENSELESS, RuntimeError) as error:
        raise ConfigError(f"{folder} is not the model that its configuration describes") from error
    cache = cache_folder()
    return Trained(restored, rounds, cache and cache / model.digest.hex()[:16])


def _is_run(folder: Path) -> bool:
    return (folder / "checkpoint.pt").exists()


def _is_of_others(folder: Path) -> bool:
    """Whether there are files where a run's would be, but no configuration such as a run begins with."""
    config = folder / "config.json"
    if _is_run(folder) or not (config.exists() or (folder / "log.jsonl").exists()):
        return False
    try:
        table = json.loads(config.read_bytes())
        return configs.to_dict(configs.from_dict(table)) != table
    except (ConfigError, OSError, RecursionError, *_SENSELESS):
        return True


def is_model(folder: Path) -> bool:
    """Whether the folder holds an exported model, and no run."""
    return (folder / "weights.npz").exists() and not _is_run(folder)
