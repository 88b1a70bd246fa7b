"""One experiment: model, data and schedule as typed frozen dataclasses, read from a TOML file.

An unknown key is an error, a missing one takes its default. The whole configuration is stored with the weights.
"""

from __future__ import annotations

import dataclasses
import sys
import types
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args, get_type_hints

from vlae_codec.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


_SHIPPED = Path(__file__).parent / "experiments"
_CHOICES = {
    "decoder": ("pixelcnn", "factorised"),
    "posterior": ("gaussian", "iaf"),
    "prior": ("mixture", "flow", "normal"),
}
_DEPTHS = ("blocks", "bottom_blocks", "masked_layers", "dilation", "prior_layers", "flow_steps")
_NONE = ("latents", "blocks", "bottom_blocks")  # may be 0
_MOST = 1 << 62
"""Of any number of a schedule: what seeds torch, and counts its steps, has 64 bits."""


@dataclass(frozen=True)
class ModelConfig:
    """The shape of a VLAE, or of a system that it is compared with.

    latents: 0 leaves z away: the PixelCNN alone, told of places only (the paper's Unconditional Decoder); the prior is
    `normal` then, and the posterior `gaussian`. posterior: `gaussian`, or `iaf` (Kingma et al. 2016). prior: `mixture`
    (the codec's), `flow` (the paper's) or `normal`. prior_layers: hidden layers of each MADE of prior and `iaf` (the
    paper's have 3). decoder: `pixelcnn`, or `factorised`, pixels independent given z. masked_layers, dilation: the
    PixelCNN's window. dropout: of the residual blocks of encoder and decoder, in training only; dense_dropout: likewise,
    of what enters their largest matrices.

    Raises:
        ConfigError: a choice is none of these, a size beyond what can be, or a dropout not below 1; or there are no
            latents, but a prior or a posterior of some.
    """

    latents: int = 64
    channels: int = 32
    bottom_channels: int = 64
    blocks: int = 2
    bottom_blocks: int = 1
    dense: int = 256
    pixel_channels: int = 16
    masked_layers: int = 6
    dilation: int = 1
    decoder: str = "pixelcnn"
    posterior: str = "gaussian"
    prior: str = "mixture"
    prior_hidden: int = 640
    prior_layers: int = 2
    mixtures: int = 8
    flow_steps: int = 4
    dropout: float = 0.0
    dense_dropout: float = 0.0

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise ConfigError(f"model.{name} must be one of {', '.join(choices)}, not {getattr(self, name)!r}")
        for size in (one.name for one in dataclasses.fields(self) if one.type == "int"):
            least, most = int(size not in _NONE), 64 if size in _DEPTHS else 1 << 14
            if not least <= getattr(self, size) <= most:
                raise ConfigError(f"model.{size} must be {least} to {most}, not {getattr(self, size)}")
        for name in ("dropout", "dense_dropout"):
            if not 0.0 <= getattr(self, name) <= 0.99:
                raise ConfigError(f"model.{name} must be 0 to 0.99, not {getattr(self, name)}")
        if not self.latents and (self.prior, self.posterior) != ("normal", "gaussian"):
            raise ConfigError("without model.latents model.prior must be normal, and model.posterior gaussian")


@dataclass(frozen=True)
class TrainConfig:
    """The schedule. Learning rate: constant until `decay_from` of the epochs are done, then a cosine to zero; 1: to the end.

    The KL's weight rises from zero to one in the first `warm_up_epochs`, so that the decoder learns to use z before it
    can do without. In the first `warp_epochs` the images are warped, if `data.warp` says so. Latents are sorted and cut
    to `keep_latents` if there are more, and pruned unless `prune_epoch` is -1: see `train`. initial: the run, in the
    folder beside, whose averaged weights a new run starts from, or `released:NAME`, a model that ships; the new one may
    have more residual blocks and pixel_channels, and the posterior `iaf`. importance_samples: of more than one, the bound
    on log p(x) is theirs (Burda et al. 2016), without free bits and warm-up.

    Raises:
        ConfigError: a number is out of range.
    """

    initial: str = ""
    epochs: int = 40
    batch_size: int = 128
    learning_rate: float = 0.002
    decay_from: float = 0.5
    polyak: float = 0.998
    free_nats: float = 0.01
    importance_samples: int = 1
    warm_up_epochs: int = 0
    warp_epochs: int = 0
    seed: int = 1
    sort_epoch: int = 3
    keep_latents: int = 32
    prune_epoch: int = 20
    prune_nats: float = 0.03

    def __post_init__(self) -> None:
        for name in ("batch_size", "importance_samples", "keep_latents"):
            if not 1 <= getattr(self, name) <= 1 << 16:
                raise ConfigError(f"train.{name} must be 1 to {1 << 16}, not {getattr(self, name)}")
        for name in ("epochs", "learning_rate", "free_nats", "warm_up_epochs", "warp_epochs", "seed", "prune_nats"):
            if not 0 <= getattr(self, name) <= _MOST:
                raise ConfigError(f"train.{name} must be 0 to 2^62, not {getattr(self, name)}")
        if self.importance_samples > 1 and self.warm_up_epochs:
            raise ConfigError("train.warm_up_epochs must be 0 with several train.importance_samples")
        for name in ("decay_from", "polyak"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ConfigError(f"train.{name} must be 0 to 1, not {getattr(self, name)}")


@dataclass(frozen=True)
class DataConfig:
    """The training set: a name of `models.data` and the parts to train on; the remaining part is for validation.

    mirrored: each image is turned left to right half of the times that it is looked at in training. warp: how far, in
    pixels, each is moved in the first `train.warp_epochs`: see `data.warped`.

    Raises:
        ConfigError: warp is not 0 to 28.
    """

    name: str = "mnist_static"
    parts: tuple[str, ...] = ("train",)
    mirrored: bool = False
    warp: float = 0.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.warp <= 28.0:
            raise ConfigError(f"data.warp must be 0 to 28, not {self.warp}")


@dataclass(frozen=True)
class Config:
    """One experiment.

    Raises:
        ConfigError: latents of a flow are to be pruned, or cut: only all of them together have a density; or one of
            `data.warp` and `train.warp_epochs` is given without the other.
    """

    model: ModelConfig = field(default_factory=ModelConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    data: DataConfig = field(default_factory=DataConfig)

    def __post_init__(self) -> None:
        if (self.data.warp > 0) != (self.train.warp_epochs > 0):
            raise ConfigError("data.warp and train.warp_epochs must be given together, or neither")
        if self.model.prior != "flow" and self.model.posterior != "iaf":
            return
        if self.train.prune_epoch != -1:
            raise ConfigError("train.prune_epoch must be -1 with a flow, whose latents have a density only together")
        if self.train.sort_epoch != -1 and self.train.keep_latents < self.model.latents:
            raise ConfigError("train.keep_latents must be all model.latents with a flow, or train.sort_epoch -1")


@dataclass(frozen=True)
class Round:
    """One run that led to a model, and how long it was trained in it."""

    run: str
    steps: int
    hours: float
    config: Config


def locate(experiment: Path) -> Path:
    """The file itself, or the one of that name among those that ship.

    Raises:
        ConfigError: there is neither.
    """
    if experiment.is_file():
        return experiment
    if experiment.parent == Path() and (named := _SHIPPED / f"{experiment.name}.toml").is_file():
        return named
    raise ConfigError(f"no experiment {experiment}: give a TOML file or one of {', '.join(shipped())}")


def shipped() -> list[str]:
    """The names of the experiments that ship."""
    return sorted(path.stem for path in _SHIPPED.glob("*.toml"))


def ships(name: str, config: Config) -> bool:
    """Whether an experiment of that name ships, and is this one."""
    return name in shipped() and load(_SHIPPED / f"{name}.toml") == config


def load(path: Path) -> Config:
    """Reads an experiment file.

    Raises:
        ConfigError: the file cannot be read, is not TOML, or has a key that no field knows.
    """
    return from_dict(read_table(path))


def read_table(path: Path) -> dict[str, Any]:
    """What an experiment file says.

    Raises:
        ConfigError: the file cannot be read, or is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, OverflowError, RecursionError) as error:  # also of numbers and depths beyond Python's
        raise ConfigError(f"cannot read the experiment {path}: {error}") from error


def from_dict(table: dict[str, Any]) -> Config:
    """The configuration whose `dataclasses.asdict` (or TOML table) is `table`."""
    config: Config = build(Config, table)
    return config


def to_dict(config: Config) -> dict[str, Any]:
    """The inverse of `from_dict`, JSON-ready."""
    table = dataclasses.asdict(config)
    table["data"]["parts"] = list(config.data.parts)
    return table


def round_from_dict(table: dict[str, Any]) -> Round:
    """The inverse of `round_to_dict`.

    Raises:
        ConfigError, TypeError, OverflowError: it is not what `round_to_dict` makes.
    """
    one: Round = build(Round, table)
    return one


def round_to_dict(one: Round) -> dict[str, Any]:
    """A round, JSON-ready."""
    return {**dataclasses.asdict(one), "config": to_dict(one.config)}


def differing(one: Config, other: Config) -> list[str]:
    """The keys in which two configurations differ, such as `train.epochs`."""
    tables = to_dict(one), to_dict(other)
    return [
        f"{part}.{key}" for part in tables[0] for key in tables[0][part] if tables[0][part][key] != tables[1][part][key]
    ]


_NAMES = {str: "strings", int: "integers"}


def build(cls: Any, table: dict[str, Any], where: str = "") -> Any:
    """A dataclass of the values in a table, in which tables are dataclasses and lists are tuples; `where` is for messages.

    Raises:
        ConfigError: a key is unknown, or a value of another type.
    """
    hints = get_type_hints(cls)
    unknown = sorted(set(table) - set(hints))
    if unknown:
        raise ConfigError(f"unknown key {where}{unknown[0]}: known are {', '.join(sorted(hints))}")
    values = {}
    for name, value in table.items():
        kind = hints[name]
        if dataclasses.is_dataclass(kind):
            if not isinstance(value, dict):
                raise ConfigError(f"{where}{name} must be a table, not {value!r}")
            value = build(kind, value, f"{where}{name}.")
        elif isinstance(kind, types.GenericAlias):
            of = get_args(kind)[0]
            if not isinstance(value, list | tuple) or not all(type(one) is of for one in value):
                raise ConfigError(f"{where}{name} must be a list of {_NAMES[of]}, not {value!r}")
            value = tuple(value)
        elif kind is float and type(value) is int:
            if abs(value) > _MOST:
                raise ConfigError(f"{where}{name} must be at most 2^62, not {str(value)[:20]}...")
            value = float(value)
        elif type(value) is not kind:
            raise ConfigError(f"{where}{name} must be {kind.__name__}, not {value!r}")
        values[name] = value
    return cls(**values)
