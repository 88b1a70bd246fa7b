"""Training, export and evaluation of the photo family, as `families` calls them."""

from vlae_codec.models.experiment import Experiment

from .config import PhotoConfig
from .evaluate import evaluate_run as evaluate
from .export import FILES, export_run
from .train import train as train_run

__all__ = ["FILES", "evaluate", "export", "read", "train"]

_EXPERIMENT = Experiment(PhotoConfig, train_run, export_run)
read, train, export = _EXPERIMENT.read, _EXPERIMENT.train, _EXPERIMENT.export
