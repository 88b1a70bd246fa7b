"""vlae-codec: a generative image codec (Variational Lossy Autoencoder, Chen et al. 2016) that writes real files.

    data = vlae_codec.compress(picture)          # a Pillow image or a numpy array -> bytes
    picture = vlae_codec.decompress(data)        # bytes -> Pillow image
    vlae_codec.inspect(data)                     # what the file says about itself

    vlae_codec.pack("folder", "set.vlz")         # many images -> one archive
    vlae_codec.unpack("set.vlz", "folder")
    with vlae_codec.open_archive("set.vlz") as images:
        images[0], images.names[0]               # any image, read at random

`import vlae_codec.pillow` lets Pillow open and save our files; `from vlae_codec import cluster` packs sets of archives.

Names load on first use, so that the command line can start quickly and say how many threads BLAS may have.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .archive.api import Packed, Unpacked, pack, unpack
    from .archive.chunks import ArchiveLedger
    from .archive.reader import Archive, open_archive
    from .archive.sharded import ArchiveSet
    from .codec import Encoded, Ledger, compress, decode, decode_bands, decode_samples, decompress, encode, inspect
    from .errors import (
        ConfigError,
        FormatError,
        ImageError,
        ModelError,
        OptionError,
        OutputError,
        PlaceError,
        TruncatedError,
        VlaeError,
    )
    from .family import Banded, Coder, Decoded, Sampling
    from .many import Compressed, Decompressed, compress_files, decompress_files
    from .picture.drawing import Drawing, Look
    from .picture.images import to_drawing
    from .picture.metadata import Metadata, Resolution, Unit
    from .picture.raster import Geometry, Kind, PixelFormat, Raster

__version__ = "0.1.0"

_HOMES = {
    "archive.api": ("Packed", "Unpacked", "pack", "unpack"),
    "archive.chunks": ("ArchiveLedger",),
    "archive.reader": ("Archive", "open_archive"),
    "archive.sharded": ("ArchiveSet",),
    "codec": (
        "Encoded",
        "Ledger",
        "compress",
        "decode",
        "decode_bands",
        "decode_samples",
        "decompress",
        "encode",
        "inspect",
    ),
    "errors": (
        "ConfigError",
        "FormatError",
        "ImageError",
        "ModelError",
        "OptionError",
        "OutputError",
        "PlaceError",
        "TruncatedError",
        "VlaeError",
    ),
    "family": ("Banded", "Coder", "Decoded", "Sampling"),
    "many": ("Compressed", "Decompressed", "compress_files", "decompress_files"),
    "picture.drawing": ("Drawing", "Look"),
    "picture.images": ("to_drawing",),
    "picture.metadata": ("Metadata", "Resolution", "Unit"),
    "picture.raster": ("Geometry", "Kind", "PixelFormat", "Raster"),
}
"""The names of this package, by the module that has them."""

__all__ = [
    "Archive",
    "ArchiveLedger",
    "ArchiveSet",
    "Banded",
    "Coder",
    "Compressed",
    "ConfigError",
    "Decoded",
    "Decompressed",
    "Drawing",
    "Encoded",
    "FormatError",
    "Geometry",
    "ImageError",
    "Kind",
    "Ledger",
    "Look",
    "Metadata",
    "ModelError",
    "OptionError",
    "OutputError",
    "Packed",
    "PixelFormat",
    "PlaceError",
    "Raster",
    "Resolution",
    "Sampling",
    "TruncatedError",
    "Unit",
    "Unpacked",
    "VlaeError",
    "compress",
    "compress_files",
    "decode",
    "decode_bands",
    "decode_samples",
    "decompress",
    "decompress_files",
    "encode",
    "inspect",
    "open_archive",
    "pack",
    "to_drawing",
    "unpack",
]


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
