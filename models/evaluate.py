"""What a trained model is worth: ELBO with its two terms, and the importance-sampled NLL (Burda et al. 2015).

NLL of an image: -log (1/S) sum_s p(x|z_s) p(z_s) / q(z_s|x), with z_s ~ q(z|x); an upper bound that falls with S. Images
differ by some 20 nats, so that a part of a test set says little: S = 128 is used on all images, and the mean *paired*
difference to a larger S on a fixed random part. Both sides of that difference run in bfloat16, which halves its time
and cancels in it; all other figures are float32.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vlae_codec import files
from vlae_codec.errors import OutputError
from vlae_codec.models.field.vlae import VLAE

from . import data, memory
from .layers import compiled, placed
from .train import Trained

_ROWS = 128  # decoder evaluations at a time
STORE_SECONDS = 30.0
Report = Callable[[int, int], None]
"""(images done, of how many)."""
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Figures:
    """Means over the test set in nats, with standard errors of the mean (`_se`)."""

    images: int
    elbo_nats: float
    elbo_nats_se: float
    kl_nats: float
    kl_nats_se: float
    distortion_nats: float
    distortion_nats_se: float
    nll_nats: float
    nll_nats_se: float
    samples: int
    paired_images: int = 0
    paired_samples: int = 0
    paired_difference_nats: float = 0.0
    paired_difference_nats_se: float = 0.0

    def as_dict(self) -> dict[str, float]:
        """All figures, and the main ones in bits and in bits per dimension."""
        rates = {f.name[:-5]: getattr(self, f.name) for f in dataclasses.fields(self) if f.name.endswith("_nats")}
        bits = {f"{name}_bits": value / math.log(2) for name, value in rates.items()}
        bpd = {f"{name}_bpd": value / math.log(2) / 784 for name, value in rates.items()}
        return {**dataclasses.asdict(self), **bits, **bpd}


@dataclass(frozen=True)
class Evaluation:
    """What was estimated of each image of a test set, nats: ELBO, KL and NLL, (N,), from `samples` samples; and the NLL of
    those of `paired_part`, (P,), from as few and from `paired_samples`."""

    elbo_nats: Floats
    kl_nats: Floats
    nll_nats: Floats
    samples: int
    few_nll_nats: Floats
    many_nll_nats: Floats
    paired_samples: int

    def figures(self) -> Figures:
        """Their means."""
        distortion_nats, difference_nats = -self.elbo_nats - self.kl_nats, self.many_nll_nats - self.few_nll_nats
        return Figures(
            images=len(self.nll_nats),
            elbo_nats=float(self.elbo_nats.mean()),
            elbo_nats_se=standard_error(self.elbo_nats),
            kl_nats=float(self.kl_nats.mean()),
            kl_nats_se=standard_error(self.kl_nats),
            distortion_nats=float(distortion_nats.mean()),
            distortion_nats_se=standard_error(distortion_nats),
            nll_nats=float(self.nll_nats.mean()),
            nll_nats_se=standard_error(self.nll_nats),
            samples=self.samples,
            paired_images=len(difference_nats),
            paired_samples=self.paired_samples if len(difference_nats) else 0,
            paired_difference_nats=float(difference_nats.mean()) if len(difference_nats) else 0.0,
            paired_difference_nats_se=standard_error(difference_nats),
        )


class Evaluator:
    """Evaluates one model; compiles its decoder once."""

    def __init__(self, model: VLAE, device: str = "cpu") -> None:
        memory.keep_freed()
        self._model = placed(model, device).eval()
        self._log_likelihood = compiled(self._model.log_likelihood, freezing=True)
        self._device = device

    @torch.no_grad()
    def log_weights(self, x: Tensor, samples: int, seed: int, fast: bool) -> tuple[Tensor, Tensor]:
        """log q(z|x) - log p(z), and log p(x|z) less that, of samples for images (B, 1, 28, 28): two (B, S), nats.

        `fast`: decoder and PixelCNN run in bfloat16.
        """
        model, batch = self._model, len(x)
        generator = torch.Generator().manual_seed(seed)
        noise = torch.randn(batch, samples, model.latents, generator=generator).to(self._device)
        z, log_q = model.posterior(x, noise)
        kl = model.kl(z, log_q).sum(2)
        images = x[:, None].expand(batch, samples, *x.shape[1:]).flatten(0, 1)
        starts = range(0, batch * samples, _ROWS)
        with torch.autocast(torch.device(self._device).type, torch.bfloat16, enabled=fast):
            parts = [self._padded(images[i : i + _ROWS], z.flatten(0, 1)[i : i + _ROWS]) for i in starts]
        return kl, torch.cat(parts).view(batch, samples) - kl

    def _padded(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x|z) of up to _ROWS rows, at the one compiled batch size."""
        missing = _ROWS - len(x)
        if missing:
            x, z = (torch.cat([part, part[:1].expand(missing, *part.shape[1:])]) for part in (x, z))
        x = x.contiguous(memory_format=torch.channels_last)
        return self._log_likelihood(x, z)[: _ROWS - missing]

    def estimates(
        self,
        x: Tensor,
        samples: int,
        seed: int,
        fast: bool = False,
        store: Path | None = None,
        report: Report | None = None,
    ) -> Floats:
        """ELBO, KL and NLL of each image (N, 1, 28, 28) from `samples` samples: (3, N) nats.

        What is done is kept in the file `store` twice a minute, and taken from there by a later call.
        """
        found, done = _restore(store, len(x))
        per_batch, saved = max(1, _ROWS // samples), time.monotonic()
        for start in range(done, len(x), per_batch):
            part = slice(start, start + per_batch)
            kl, weights = self.log_weights(x[part].to(self._device), samples, seed + start, fast)
            found[:, part] = np.stack([weights.mean(1).cpu(), kl.mean(1).cpu(), _nll(weights)])
            if store and (time.monotonic() - saved > STORE_SECONDS or start + per_batch >= len(x)):
                _keep(store, found, min(start + per_batch, len(x)))
                saved = time.monotonic()
            if report:
                report(min(start + per_batch, len(x)), len(x))
        return found

    @torch.no_grad()
    def latent_kl_nats(self, images: data.Images) -> Floats:
        """The mean KL of each latent dimension over the images (N, 28, 28), one sample each: (D,) nats, as `VLAE.kl`."""
        x = torch.from_numpy(binarised(images))
        generator, total = torch.Generator().manual_seed(0), np.zeros(self._model.latents)
        for part in x.split(500):
            noise = torch.randn(len(part), 1, self._model.latents, generator=generator).to(self._device)
            kl = self._model.kl(*self._model.posterior(part.to(self._device), noise))
            total += kl[:, 0].double().sum(0).cpu().numpy()
        return total / len(x)

    def evaluate(
        self,
        images: data.Images,
        samples: int = 128,
        paired_images: int = 0,
        paired_samples: int = 4096,
        store: Path | None = None,
        report: Report | None = None,
    ) -> Evaluation:
        """Of each image of a test set (N, 28, 28), which is binarised.

        Args:
            store: where unfinished work is kept, as the beginning of a path; see `estimates`.
            samples: importance samples; a model without latents takes 1, which is exact.
        """
        x = torch.from_numpy(binarised(images))
        if not self._model.latents:
            samples, paired_images = 1, 0
        chosen = paired_part(len(images), paired_images)

        def kept(suffix: str) -> Path | None:
            return store.with_name(f"{store.name}-{suffix}.npz") if store else None

        elbo, kl, nll = self.estimates(x, samples, 0, False, kept(f"{samples}"), report)
        few, many = (
            self.estimates(x[chosen], count, 10**6, True, kept(f"paired-{count}-{len(chosen)}"), report)[2]
            for count in (samples, paired_samples)
        )
        return Evaluation(elbo, kl, nll, samples, few, many, paired_samples)


def binarised(images: data.Images, draw: int = 0) -> npt.NDArray[np.float32]:
    """A test set (N, 28, 28) as it is evaluated, the same each time, or in another draw: (N, 1, 28, 28)."""
    return data.binarise(images, np.random.default_rng(draw))


def paired_part(images: int, paired_images: int) -> npt.NDArray[np.int64]:
    """Which of so many images the paired difference is measured on: always the same, at random."""
    return np.random.default_rng(0).permutation(images)[:paired_images]


def weights_digest(model: VLAE) -> str:
    """The SHA-256 of all weights, in hexadecimal."""
    digest = hashlib.sha256()
    for tensor in model.state_dict().values():
        digest.update(np.ascontiguousarray(tensor.numpy()).data)
    return digest.hexdigest()


def store_of(trained: Trained, name: str, part: str, images: data.Images) -> Path | None:
    """Where the unfinished evaluation of a trained model on a part of a set is kept: the beginning of a path.

    It names the weights and the images by what they are.
    """
    weights = weights_digest(trained.model)
    kept = f"evaluation-{weights[:8]}-{name}-{part}-{len(images)}-{data.digest(images)[:8]}"
    return trained.folder / kept if trained.folder else None


def _restore(store: Path | None, count: int) -> tuple[Floats, int]:
    """What an earlier evaluation has found, and how many of `count` images are done; a damaged file is as good as none."""
    found = np.zeros((3, count))
    if store is None:
        return found, 0
    try:
        with store.open("rb") as file, np.load(file, allow_pickle=False) as kept:
            stored, done = kept["found"], int(kept["done"])
    except Exception:  # zipfile and numpy fail in many ways on what is damaged
        return found, 0
    if stored.shape != found.shape or not 0 <= done <= count:
        return found, 0
    found[:, :done] = stored[:, :done]
    return found, done


def _keep(store: Path, found: Floats, done: int) -> None:
    """Keeps it if the disk lets us; without, an evaluation that is stopped begins anew."""
    out = io.BytesIO()
    np.savez(out, found=found, done=done)
    with contextlib.suppress(OSError, OutputError):
        store.parent.mkdir(parents=True, exist_ok=True)
        files.write(store, out.getvalue(), force=True)


def _nll(log_weights: Tensor) -> Floats:
    """-log mean_s w_s, (B, S) -> (B,) nats."""
    log_mean = torch.logsumexp(log_weights.double(), dim=1) - math.log(log_weights.shape[1])
    nll: Floats = -log_mean.cpu().numpy()
    return nll


def standard_error(values: Floats) -> float:
    """Of the mean of independent values (N,)."""
    return float(values.std(ddof=1) / math.sqrt(len(values))) if len(values) > 1 else 0.0
