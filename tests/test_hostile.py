"""Files made to waste memory, disks or time: each is refused early, or costs what its bytes do."""

from __future__ import annotations

import numpy as np
import pytest

from vlae_codec import zoo
from vlae_codec.errors import FormatError
from vlae_codec.field import chain, network
from vlae_codec.field.bitsback import Counted

GROWS = bytes.fromhex(
    "c67ed2f68c26d5a1143b294de206d9768e93b9ba37d0ea8c416384d2f1745ae7732bfda9a87f549c47678b5b01884806edcd"
    "676cf9e6a4bc169fc8da11a5da2e292cfc565d38110943424c3b961f287925061667051ca2453d2aaa013503fb24ac60ebe8"
    "ca8be57e8b5777f9fe7f"
)
"""A chain of `mnist-dynamic` that is soon exhausted, and fed by samples that were popped of nothing."""


def test_a_chain_that_feeds_on_samples_popped_of_nothing_is_refused_at_once(monkeypatch):
    drawn, draw = [], network.PixelCNN.draw

    def counting(self, context, decide):
        drawn.append(len(context))
        return draw(self, context, decide)

    monkeypatch.setattr(network.PixelCNN, "draw", counting)
    inside = np.broadcast_to(np.True_, (131055, 28, 28))
    with pytest.raises(FormatError, match="ends before"):
        chain.pop(zoo.load_default(), GROWS, Counted(1), inside, samples=32)
    assert sum(drawn) <= 256
