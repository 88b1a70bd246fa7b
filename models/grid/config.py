"""What an experiment of the photo family says: shapes, data, and how long each stage trains."""

from __future__ import annotations

from dataclasses import dataclass, field

from .run import Schedule
from .texture import TextureConfig
from .vlae import TransformConfig


@dataclass(frozen=True)
class PhotoData:
    """Folders of pictures, below the folder of the data sets.

    scaled: photographs that went through lossy codecs, looked at at a random scale; plain: lossless ones, at their own size,
    of which those whose number `leave_out` divides are for validation of exact rates; valid: for that of lossy ones.
    scaled_share, texture_share: the share of looks at scaled ones, for the transforms and for both PixelCNNs.
    """

    scaled: str = "photos/train"
    plain: str = "photos/cid22"
    valid: str = "photos/valid"
    leave_out: int = 8
    scaled_share: float = 0.75
    texture_share: float = 0.4


@dataclass(frozen=True)
class PhotoConfig:
    """One experiment. level: that of the code in exact files.

    initial: where a new run gets its weights, and the shape of the PixelCNN that draws: the folder of a run beside its own,
    or `released:NAME`, a model that ships. The PixelCNN of `pixels` may have more channels and layers than there. A stage
    of no steps keeps what it is given. Without, all begin as noise, and what draws as what codes.
    """

    model: TransformConfig = field(default_factory=TransformConfig)
    pixels: TextureConfig = field(default_factory=TextureConfig)
    data: PhotoData = field(default_factory=PhotoData)
    transforms: Schedule = field(default_factory=lambda: Schedule(33000, decay_from=0.84))
    texture: Schedule = field(
        default_factory=lambda: Schedule(14700, 12, 72, 0.003, 0.002, 200, decay_from=0.85, average=0.996, clip=2.0)
    )
    grain: Schedule = field(
        default_factory=lambda: Schedule(5000, 8, 72, 0.001, 0.001, 100, decay_from=0.6, average=0.99, clip=2.0)
    )
    level: float = 1.0
    initial: str = ""
