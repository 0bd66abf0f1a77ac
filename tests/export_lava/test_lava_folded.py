"""Convolutions over all steps at once against Lava: dense trains, zero tolerance."""

from __future__ import annotations

import numpy as np
import pytest
from simulate_networks import network, population

from neurodeploy.export import lava
from neurodeploy.network import INPUT, ConvLayout, FixedSynapse
from neurodeploy.simulate import folded_conv, run_fixed
from neurodeploy.simulate.folded_conv import FoldedConv

pytestmark = [pytest.mark.lava, pytest.mark.usefixtures("runtime")]


@pytest.mark.parametrize(("groups", "bits"), [(1, 1), (2, 4)])
def test_dense_trains_through_convolutions_equal_lava(monkeypatch, groups, bits):
    calls = []
    add = FoldedConv.add
    monkeypatch.setattr(folded_conv, "FOLD_FROM", 0.0)
    monkeypatch.setattr(FoldedConv, "add", lambda self, *a: (calls.append(1), add(self, *a))[1])
    rng = np.random.default_rng([groups, bits])
    first = ConvLayout((1, 2), (1, 0), (1, 1), groups, (2, 7, 8), (6, 7, 3))
    second = ConvLayout((1, 1), (1, 1), (1, 1), 1, (6, 7, 3), (4, 7, 3))
    payload = bits if bits > 1 else 0
    net = network(
        [
            population("a", 126, shape=(6, 7, 3), v_threshold=600 * 2**bits),
            population("b", 84, 2, shape=(4, 7, 3)),
        ],
        [
            FixedSynapse("in", INPUT, "a", rng.integers(-60, 80, (6, 2 // groups, 3, 3)) * 2, 0,
                         "mixed", message_bits=payload, layout=first),
            FixedSynapse("ab", "a", "b", rng.integers(-60, 80, (4, 6, 3, 3)) * 2, 0, "mixed",
                         layout=second),
        ],
        112, bits=bits,
    )  # fmt: skip
    codes = rng.integers(1, 2**bits, (25, 4, 112)) * (rng.random((25, 4, 112)) < 0.8)
    reference = run_fixed(net, codes, record=("spikes", "u", "v"), threads=1)
    assert calls
    assert 0.01 < reference.records["a/spikes"].mean() < 0.9
    found = lava.verify_against(net, codes, reference, timeout_s=300)
    assert found.compared > 10_000
    assert found.mismatches == 0
