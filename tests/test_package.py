"""What holds of the package as a whole."""

from __future__ import annotations

import ast
import functools
import hashlib
import inspect
import io
import json
import re
import struct
import subprocess
import sys
import zipfile
import zlib
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

import vlae_codec
import vlae_codec.cli
import vlae_codec.cluster
import vlae_codec.models
from vlae_codec import registry, zoo

DOORS = {  # report stands apart: nothing that reads or writes our files goes through it
    "torch": {"models"},
    "constriction": {"coding"},
    "numba": {"exact"},
    "llvmlite": {"exact"},
    "PIL": {"picture", "raw", "report", "pillow.py"},
    "click": {"cli"},
    "matplotlib": {"plots.py"},
    "distributed": {"cluster"},
    "fsspec": {"remote.py"},
    "pyarrow": {"parquet.py"},
}


def test_the_codec_never_imports_torch_nor_what_clusters_need(tmp_path):
    script = (
        "import sys, numpy as np, vlae_codec\n"
        "from vlae_codec.cli.main import main\n"
        "data = vlae_codec.compress(np.eye(28, dtype=bool), effort=0)\n"
        "vlae_codec.decompress(data); vlae_codec.inspect(data)\n"
        "open('a.vlz', 'wb').write(data)\n"
        "photo = np.arange(24 * 40 * 3, dtype=np.uint8).reshape(24, 40, 3)\n"
        "open('p.vlz', 'wb').write(vlae_codec.compress(photo, quality=50, model='photo'))\n"
        "for command in ('decompress a.vlz', 'decompress p.vlz', 'compress a.png -f --effort 0', 'info p.vlz',\n"
        "                'compress p.png -f --lossless', 'pack a.png p.png -o b.vlz', 'unpack b.vlz -o b', 'list b.vlz',\n"
        "                'test a.vlz b.vlz', 'models'):\n"
        "    main(command.split(), standalone_mode=False)\n"
        "import vlae_codec.cli.demo, vlae_codec.report.drawn, vlae_codec.report.photos\n"
        "for name in ('torch', 'dask', 'distributed', 'fsspec', 'pyarrow', 'vlae_codec.cluster'):\n"
        "    assert name not in sys.modules, f'{name} was imported'\n"
        "main('pack a.png -o s-{shard}.vlz --shards 1 --jobs 1 -q'.split(), standalone_mode=False)\n"
        "main(['test', 's-*.vlz', '-q'], standalone_mode=False)\n"
        "assert not {'dask', 'distributed', 'fsspec'} & {*sys.modules}, 'a set on one machine needs no engine'\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True, cwd=tmp_path)


def test_a_drawing_decodes_without_what_only_encoders_and_archives_need(tmp_path):
    """Starting is most of the time that a small file takes."""
    (tmp_path / "a.vlz").write_bytes(vlae_codec.compress(np.eye(28, dtype=bool), effort=0, lossy=True))
    script = (
        "import sys\n"
        "from vlae_codec.cli.main import main\n"
        "main('decompress a.vlz -q'.split(), standalone_mode=False)\n"
        "found = {'tarfile', 'zipfile', 'bz2', 'lzma', 'shutil', 'tempfile', 'concurrent.futures', 'threadpoolctl',\n"
        "         'click.shell_completion'} & {*sys.modules}\n"
        "ours = ('choose', 'picture.reading', 'picture.writing', 'field.search', 'archive', 'sets', 'grid', 'ink')\n"
        "found |= {f'vlae_codec.{name}' for name in ours} & {*sys.modules}\n"
        "assert not found, found\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True, cwd=tmp_path)
    assert (tmp_path / "a.png").is_file()


@pytest.mark.parametrize(("library", "doors"), DOORS.items())
def test_few_doors_per_library(library, doors):
    importers = importers_of()[library]
    assert importers
    strangers = {path for path in importers if not doors & {path.name, *(folder.name for folder in path.parents)}}
    assert not strangers


PACKAGES = {"vlae_codec": vlae_codec, "vlae_codec.cli": vlae_codec.cli, "vlae_codec.models": vlae_codec.models}
FAMILIES = {"field", "grid", "ink", "raw"}
"""Folders that know a kind of model each. Nobody else does, but for training and the one dictionary in `zoo`."""
NEVERS = {
    ("codec", "many", "archive", "sets", "places", "report", "pillow", "choose", "zoo", *FAMILIES): {"cluster"},
    ("places",): {"zoo", "sets", "archive", "codec", "container", "picture", *FAMILIES},
    ("exact",): {"coding", "picture", "family", "container", "sets", "archive", "report", "codec", *FAMILIES},
    ("coding",): {"picture", "family", "container", "sets", "archive", "report", "codec", *FAMILIES},
    ("picture",): {"family", "container", "sets", "archive", "report", "codec", *FAMILIES},
    ("sets",): {"family", "zoo", "container", "archive", "report", "codec", *FAMILIES},
    ("container", "container2"): {"sets", "archive", "zoo", "codec", *FAMILIES},
    ("family", "registry", "files", "errors"): {"zoo", "sets", "archive", "codec", *FAMILIES},
    ("codec", "many", "archive", "report", "cli", "zoo"): FAMILIES,
    (*FAMILIES,): {"sets", "archive", "report", "codec", "many", "zoo", "cli"},
}
"""Who never imports whom, by rooms: a folder, or a module beside the folders."""


@functools.cache
def importers_of():
    """The files that import each library, by its name."""
    found = defaultdict(set)
    for _, path, tree in sources():
        for node in ast.walk(tree):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            for name in names:
                found[name.split(".")[0]].add(path)
    return found


@functools.cache
def sources():
    """(name, path, syntax tree) of every module of the package."""
    found = []
    for package, module in PACKAGES.items():
        root = Path(module.__file__).parent
        for path in root.rglob("*.py"):
            parts = [part for part in path.relative_to(root).with_suffix("").parts if part != "__init__"]
            found.append((".".join([package, *parts]), path, ast.parse(path.read_text())))
    return found


def imports(name, path, nodes):
    """The modules of the package that these nodes import."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module if node.level == 0 else ".".join(filter(None, (package, node.module)))
            yield from (f"{base}.{alias.name}" for alias in node.names)


def room(name):
    """`field` of vlae_codec.field.model."""
    return [*name.split("."), ""][1]


def arrows(nodes_of):
    """(importer, imported) of all pairs of rooms."""
    rooms = {room(name) for name, _, _ in sources()}
    found = set()
    for name, path, tree in sources():
        ours = (one for one in imports(name, path, nodes_of(tree)) if one.startswith("vlae_codec."))
        found |= {(room(name), room(one)) for one in ours if room(one) in rooms - {room(name)}}
    return found


def test_who_never_imports_whom():
    found = arrows(ast.walk)
    assert ("codec", "zoo") in found
    assert ("field", "picture") in found
    for rooms, never in NEVERS.items():
        assert not {(one, other) for one, other in found if one in rooms and other in never}


def test_functions_of_the_command_line_are_short():
    """At most 40 lines each, signature and docstring among them."""
    for name, _, tree in sources():
        for node in ast.walk(tree):
            if room(name) == "cli" and isinstance(node, ast.FunctionDef):
                assert node.end_lineno - node.lineno < 40, f"{name}.{node.name}"


def test_no_message_of_the_library_names_an_option_of_the_command_line():
    """It names arguments, which the command line says in its own words: see `cli.words`."""
    for name, _, tree in sources():
        ours = room(name) not in ("cli", "models") and not name.endswith(".html")  # a page has styles
        texts = {id(text) for node in ast.walk(tree) if isinstance(node, ast.Expr) for text in [node.value]}
        for node in ast.walk(tree):
            if ours and isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in texts:
                words = " " in node.value  # else it may be an argument for another tool
                assert not words or not re.search(r"(^|\W)--[a-z]|(^|\s)-[a-zA-Z]\b", node.value), (
                    f"{name}: {node.value}"
                )


def test_rooms_import_each_other_in_no_circle():
    found = arrows(lambda tree: tree.body)
    while ends := {other for _, other in found} - {one for one, _ in found}:
        found = {(one, other) for one, other in found if other not in ends}
    assert not found


def test_a_familys_name_is_asked_of_in_one_dictionary_only():
    for name, _, tree in sources():
        for node in ast.walk(tree):
            if isinstance(node, ast.Compare):
                sides = [node.left, *node.comparators]
                asked = any(isinstance(side, ast.Attribute) and side.attr == "family" for side in sides)
                assert not (asked and any(isinstance(side, ast.Constant) for side in sides)), name
    assert {*zoo.FAMILIES} <= FAMILIES
    assert all(zoo.family(name).name == name for name in zoo.FAMILIES)


def test_registered_numbers_are_unique_and_permanent():
    numbers = {registry.number_of(zoo.named(folder.name).digest): folder.name for folder in zoo.released()}
    assert numbers == {5: "mnist-dynamic", 6: "caltech101", 7: "omniglot", 9: "mnist", 10: "photo", 11: "ink"}
    assert [*registry.REGISTERED] == [*range(1, 12)], "a number that was given is never taken back"
    assert all(zoo.named(folder.name).name == folder.name for folder in zoo.released())
    specification = (Path(__file__).parent.parent / "FORMAT.md").read_text(encoding="utf-8")
    for number, digest in registry.REGISTERED.items():
        assert re.search(rf"\| {number} \| {numbers.get(number, '.*')} \| `{digest}` \|", specification)
    assert sum((folder / "weights.npz").stat().st_size for folder in zoo.released()) < 30e6


def deflated(member):
    """A zip of that member of an npz file; of none, one whose stream is no deflated one, as no check tells."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", member or bytes(9999))
    return out.getvalue() if member else out.getvalue().replace(zlib.compress(bytes(9999))[2:-4][:8], b"\xff" * 8)


def test_a_damaged_model_is_refused(tmp_path):
    source = zoo.RELEASED / zoo.DEFAULT
    (tmp_path / "model.json").write_text((source / "model.json").read_text())
    data = bytearray((source / "weights.npz").read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "weights.npz").write_bytes(data)
    with pytest.raises(vlae_codec.ModelError, match="SHA-256"):
        zoo.load(tmp_path)
    header = b"{'descr': '<i8', 'fortran_order': False, 'shape': (\0".ljust(99) + b"\n"
    for member in (b"", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header):
        (tmp_path / "weights.npz").write_bytes(odd := deflated(member))
        (tmp_path / "model.json").write_text(json.dumps({"name": "odd", "sha256": hashlib.sha256(odd).hexdigest()}))
        with pytest.raises(vlae_codec.ModelError, match="damaged"):
            zoo.load(tmp_path)
    (tmp_path / "model.json").write_text("{}")
    with pytest.raises(vlae_codec.ModelError):
        zoo.load(tmp_path)
    with pytest.raises(vlae_codec.ModelError):
        zoo.load(tmp_path / "missing")


@pytest.mark.parametrize("package", [vlae_codec, vlae_codec.cluster], ids=["vlae_codec", "cluster"])
def test_what_a_signature_shows_is_public(package):
    """Of the package's own classes, in functions and in classes that are made; what models tell each other is for them."""
    public = {*vlae_codec.__all__, *package.__all__}
    shown = {(name, one.__name__) for name in package.__all__ for one in classes_of(getattr(package, name))}
    assert {pair for pair in shown if pair[1] not in public} == set()


def classes_of(thing):
    """Our classes in the annotations of a function, or of a class and its methods, but for protocols."""
    if getattr(thing, "_is_protocol", False):
        return
    parts = [thing]
    if inspect.isclass(thing):
        members = [value for name, value in vars(thing).items() if not name.startswith("_")]
        parts += [getattr(one, "fget", None) or getattr(one, "__func__", None) or one for one in members]
    known = vars(sys.modules[thing.__module__])
    for part in parts:
        for annotation in getattr(part, "__annotations__", {}).values():
            for word in re.findall(r"[A-Za-z]\w*", str(annotation)):
                one = known.get(word)
                if inspect.isclass(one) and one.__module__.startswith("vlae_codec."):
                    yield one


def test_what_models_are_said_to_take_was_measured():
    results = Path(__file__).parent.parent / "results"
    photos = json.loads((results / "photos.json").read_text())["ours"]
    assert registry.about(bytes.fromhex(photos["sha256"]))["takes"].startswith(f"{photos['lossless']['bpd']:.2f} bits")
    pages = [row for row in json.loads((results / "pages.json").read_text())["pictures"] if row["kind"] == "page"]
    bpp = 8 * sum(row["bytes"]["ink"] for row in pages) / sum(row["width"] * row["height"] for row in pages)
    assert registry.about(zoo.named(zoo.INK).digest)["takes"].startswith(f"{bpp:.4f} bits")
