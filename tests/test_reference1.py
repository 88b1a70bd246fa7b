"""Golden files of version 1 decode to their pictures by a decoder that was written from FORMAT.md alone."""

from __future__ import annotations

import pytest
import reference1
from reference1 import RefusedError

GOLDEN = {name: (layers, cases) for name, layers, cases in reference1.goldens()}
TRIED = [
    (name, case)
    for name, (_, cases) in GOLDEN.items()
    for case in cases
    if name == "tiny"
    or case["name"] in ("digit 0, lossy", "digit 7, lossless", "digit 7, cut", "noise, raw", "lattice")
]
"""All of the smallest model, and of the others one of each kind: `python tests/reference1.py` decodes every one."""


@pytest.mark.parametrize(("name", "case"), TRIED, ids=lambda one: one if isinstance(one, str) else one["name"])
def test_golden_files_decode_by_the_document_alone(name, case):
    reference1.check(GOLDEN[name][0], case)


def test_each_kind_of_file_is_among_them():
    for name in GOLDEN:
        kinds = {case["name"].split(", ")[-1] for one, case in TRIED if one == name}
        assert {"lossy", "lossless", "cut", "raw", "lattice"} <= kinds


def test_it_refuses_what_is_damaged():
    layers, cases = GOLDEN["tiny"]
    for case in cases[:3] + cases[22:24] + [case for case in cases if case["name"] == "noise, raw"]:
        data = bytes.fromhex(case["file"])
        for at in (0, 1, len(data) - 1, len(data) // 2):
            with pytest.raises((RefusedError, StopIteration)):
                reference1.decode(data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :], layers)
