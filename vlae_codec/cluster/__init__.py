"""Many archives at once, as the shards of one set: by processes of this machine, or by the workers of a Dask cluster.

    from vlae_codec import cluster

    cluster.pack("drawings/", "set-{shard:05d}.vlz", 8)                       # processes of this machine
    cluster.pack("s3://bucket/drawings/", "s3://bucket/set-{shard:05d}.vlz", 1000, client=client)
    cluster.test("set-*.vlz", client=client)
    cluster.unpack("set-*.vlz", "folder", client=client)

`client` is any `distributed.Client`; Dask and fsspec come with `pip install 'vlae-codec[cluster]'`, and are imported when a
client or a URL is given. docs/scale.md says what a set is, what happens when something dies, and how far it goes.
"""

from vlae_codec.report.kinds import DrawingKind, OfKind
from vlae_codec.report.photo_measure import Crop, PhotoMeasurement
from vlae_codec.report.tables import Measurement

from .api import PackedSet, Tested, UnpackedSet, pack, test, unpack
from .measuring import measure, measure_photographs
from .progress import Tally

__all__ = [
    "Crop",
    "DrawingKind",
    "Measurement",
    "OfKind",
    "PackedSet",
    "PhotoMeasurement",
    "Tally",
    "Tested",
    "UnpackedSet",
    "measure",
    "measure_photographs",
    "pack",
    "test",
    "unpack",
]
