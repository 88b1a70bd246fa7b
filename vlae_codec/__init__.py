"""vlae-codec: a generative image codec (Variational Lossy Autoencoder, Chen et al. 2016) that writes real files.

    data = vlae_codec.compress(picture)          # a Pillow image or a numpy array -> bytes
    picture = vlae_codec.decompress(data)        # bytes -> Pillow image
    vlae_codec.inspect(data)                     # what the file says about itself

Names load on first use, so that the command line can start quickly and say how many threads BLAS may have.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .codec import Decoded, Encoded, Ledger, compress, decode, decompress, encode, inspect
    from .errors import ConfigError, FormatError, ImageError, ModelError, OutputError, TruncatedError, VlaeError
    from .field.texture import Sampling
    from .picture.drawing import Drawing
    from .picture.images import to_drawing

__version__ = "0.1.0"

__all__ = [
    "ConfigError",
    "Decoded",
    "Drawing",
    "Encoded",
    "FormatError",
    "ImageError",
    "Ledger",
    "ModelError",
    "OutputError",
    "Sampling",
    "TruncatedError",
    "VlaeError",
    "compress",
    "decode",
    "decompress",
    "encode",
    "inspect",
    "to_drawing",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        for module in ("errors", "picture.drawing", "picture.images", "field.texture", "codec"):
            found = getattr(import_module(f"{__name__}.{module}"), name, None)
            if found is not None:
                return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
