"""An independent judge: which digit does a picture show?

A small convolutional network, trained on dynamically binarised MNIST with labels and never on a picture of ours. It says
what share of decompressed digits still reads as the original's class, beside its accuracy on the originals.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import data
from .layers import placed

EPOCHS = 8
_BATCH = 128


class Classifier(nn.Module):
    """Logits of ten classes: (B, 1, 28, 28) in {0, 1} -> (B, 10)."""

    def __init__(self) -> None:
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
            nn.Linear(64 * 49, 128),
            nn.ReLU(),
            nn.Dropout(0.3),
            nn.Linear(128, 10),
        )

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.layers(x)
        return logits


def train(data_folder: Path | None = None, report: Callable[[str], None] = print, seed: int = 0) -> Classifier:
    """Trains on all 60,000 training digits, binarised anew each epoch; some minutes on a CPU."""
    torch.manual_seed(seed)
    images = data.load("mnist_gray", ["train", "valid"], data_folder)
    labels = data.labels("train", data_folder)
    model = placed(Classifier(), "cpu")
    optimizer = torch.optim.Adam(model.parameters(), lr=0.002)
    steps = len(images) // _BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.004, total_steps=EPOCHS * steps)
    for epoch in range(EPOCHS):
        rng = np.random.default_rng([seed, epoch])
        order, correct = rng.permutation(len(images)), 0
        for step in range(steps):
            chosen = order[step * _BATCH : (step + 1) * _BATCH]
            x = torch.from_numpy(data.binarise(images[chosen], rng)).contiguous(memory_format=torch.channels_last)
            y = torch.from_numpy(labels[chosen].astype(np.int64))
            logits = model(x)
            optimizer.zero_grad()
            F.cross_entropy(logits, y).backward()
            optimizer.step()
            schedule.step()
            correct += int((logits.argmax(1) == y).sum())
        report(f"classifier, epoch {epoch + 1}/{EPOCHS}: {correct / steps / _BATCH:.2%} right in training")
    return model.eval()


def trained(path: Path, data_folder: Path | None = None, report: Callable[[str], None] = print) -> Classifier:
    """The classifier kept at `path`, trained first if it is not there."""
    if path.exists():
        model = Classifier()
        model.load_state_dict(torch.load(path, weights_only=True))
        return model.eval()
    model = train(data_folder, report)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    torch.save(model.state_dict(), temporary)
    os.replace(temporary, path)
    return model


@torch.no_grad()
def classify(model: Classifier, fields: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """The class of each field (B, 28, 28) of 0 and 1: (B,)."""
    x = torch.from_numpy(fields[:, None].astype(np.float32))
    return torch.cat([model(part).argmax(1) for part in x.split(500)]).numpy()
