"""An independent judge: which digit, or which character, does a picture show?

A small convolutional network, trained on binarised images with labels and never on a picture of ours. It says what share of
decompressed pictures still reads as the original's class, beside its accuracy on the originals.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import data
from .layers import placed
from .train import write_tensors

EPOCHS = 8
CHARACTER_EPOCHS = 30
_BATCH = 128


class Classifier(nn.Module):
    """Logits of the classes: (B, 1, 28, 28) in {0, 1} -> (B, classes)."""

    def __init__(self, classes: int = 10, width: int = 128) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 32, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 32, 3, padding=1, stride=2),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.Conv2d(32, 64, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(64, 64, 3, padding=1, stride=2),
            nn.BatchNorm2d(64),
            nn.ReLU(),
            nn.Flatten(),
            nn.Dropout(0.3),
            nn.Linear(64 * 49, width),
            nn.ReLU(),
            nn.Dropout(0.3),
            nn.Linear(width, classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.layers(x)
        return logits


def train(
    images: data.Images,
    labels: npt.NDArray[np.integer],
    model: Classifier,
    epochs: int = EPOCHS,
    shift: int = 0,
    report: Callable[[str], None] = print,
    seed: int = 0,
) -> Classifier:
    """Trains the model on images (N, 28, 28) of ink probability, binarised anew each epoch, and labels (N,).

    shift: each batch is moved by up to so many pixels, for sets with few images of a class.
    """
    model = placed(model, "cpu").train()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.002)
    steps = len(images) // _BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.004, total_steps=epochs * steps)
    for epoch in range(epochs):
        rng = np.random.default_rng([seed, epoch])
        order, correct = rng.permutation(len(images)), 0
        for step in range(steps):
            chosen = order[step * _BATCH : (step + 1) * _BATCH]
            drawn = data.binarise(images[chosen], rng)
            if shift:
                drawn = _shifted(drawn, *rng.integers(-shift, shift + 1, 2).tolist())
            x = torch.from_numpy(drawn).contiguous(memory_format=torch.channels_last)
            y = torch.from_numpy(labels[chosen].astype(np.int64))
            logits = model(x)
            optimizer.zero_grad()
            F.cross_entropy(logits, y).backward()
            optimizer.step()
            schedule.step()
            correct += int((logits.argmax(1) == y).sum())
        report(f"classifier, epoch {epoch + 1}/{epochs}: {correct / steps / _BATCH:.2%} right in training")
    return model.eval()


def _shifted(x: npt.NDArray[np.float32], down: int, right: int) -> npt.NDArray[np.float32]:
    """Fields (B, 1, 28, 28) moved by so many pixels; what leaves one side is lost, what enters is paper."""
    edge = max(abs(down), abs(right))
    padded = np.pad(x, ((0, 0), (0, 0), (edge, edge), (edge, edge)))
    return padded[:, :, edge - down : edge - down + x.shape[2], edge - right : edge - right + x.shape[3]]


def digits(path: Path, data_folder: Path | None = None, report: Callable[[str], None] = print) -> Classifier:
    """The classifier of digits kept at `path`; if it is not there, trained on the 60,000 training digits, in minutes."""

    def new() -> Classifier:
        images = data.load("mnist_gray", ["train", "valid"], data_folder)
        return train(images, data.labels("train", data_folder), Classifier(), report=report)

    return _kept(path, Classifier, new)


def characters(path: Path, data_folder: Path | None = None, report: Callable[[str], None] = print) -> Classifier:
    """As `digits`, of the characters of OMNIGLOT, from the 15 training drawings of each."""

    def untrained() -> Classifier:
        return Classifier(data.CHARACTERS, width=512)

    def new() -> Classifier:
        images = data.load("omniglot28", ["train"], data_folder)
        return train(images, data.characters("train"), untrained(), CHARACTER_EPOCHS, shift=2, report=report)

    return _kept(path, untrained, new)


def _kept(path: Path, untrained: Callable[[], Classifier], new: Callable[[], Classifier]) -> Classifier:
    if path.exists():
        model = untrained()
        model.load_state_dict(torch.load(path, weights_only=True))
        return model.eval()
    torch.manual_seed(0)
    model = new()
    write_tensors(path, model.state_dict())
    return model


@torch.no_grad()
def classify(model: Classifier, fields: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """The class of each field (B, 28, 28) of 0 and 1: (B,)."""
    x = torch.from_numpy(fields[:, None].astype(np.float32))
    return torch.cat([model(part).argmax(1) for part in x.split(500)]).numpy()


def nearest(
    fields: npt.NDArray[np.uint8], drawings: npt.NDArray[np.uint8], labels: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """The class of that drawing which differs from a field in the fewest pixels, for each field: (B,).

    Fields (B, 28, 28) and drawings (N, 28, 28) are of 0 and 1; labels (N,) are the drawings' classes.
    """
    a, b = (bits.reshape(len(bits), -1).astype(np.float32) for bits in (fields, drawings))
    differing = a.sum(1)[:, None] + b.sum(1) - 2 * a @ b.T  # (B, N), exact
    return labels[differing.argmin(1)]
