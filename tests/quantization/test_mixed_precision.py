"""Widths of their own for every synapse: the least loss that fits, and what is said about it."""

import itertools

import numpy as np
import pytest
from quantization.deployable import random_deployable

from neurodeploy import hardware_profiles
from neurodeploy.errors import InputError, ResourceError
from neurodeploy.network import ALWAYS_ON, check_legality
from neurodeploy.network.network_file import network_hash
from neurodeploy.quantization import QuantizeConfig, quantize
from neurodeploy.quantization import mixed_precision as mixed
from neurodeploy.quantization.mixed_precision import (
    WeightMemory,
    WidthChoice,
    least_loss,
    memory_of,
    used_bits,
)

LOIHI2 = hardware_profiles.load("loihi2")
BUDGET = WeightMemory(2**20, 0, "the budget")


def choices(rng, count=5):
    """Losses that fall by four with each bit, more or less."""
    return [
        WidthChoice(
            f"s{i}", int(rng.integers(1, 60)),
            tuple(np.sort(rng.uniform(0.2, 1, 7) * 4.0 ** -np.arange(7) * rng.uniform(1, 50))[::-1]),
        )
        for i in range(count)
    ]  # fmt: skip


def loss_of(found, some):
    return sum(c.losses[found[c.name] - 2] for c in some)


@pytest.mark.parametrize("seed", range(6))
def test_nothing_that_fits_loses_less(seed):
    rng = np.random.default_rng(seed)
    some = choices(rng)
    most = sum(c.weights for c in some)
    limit = int(rng.integers(2 * most, 8 * most))
    found = least_loss(some, limit, BUDGET)
    assert sum(c.weights * found[c.name] for c in some) <= limit
    best = min(
        sum(c.losses[b - 2] for c, b in zip(some, bits, strict=True))
        for bits in itertools.product(range(2, 9), repeat=len(some))
        if sum(c.weights * b for c, b in zip(some, bits, strict=True)) <= limit
    )
    assert loss_of(found, some) == pytest.approx(best, rel=1e-12)


def test_many_synapses_lose_nearly_nothing_to_coarser_steps(monkeypatch):
    some = choices(np.random.default_rng(9), 8)
    limit = 4 * sum(c.weights for c in some)
    exact = least_loss(some, limit, BUDGET)
    monkeypatch.setattr(mixed, "_STATES", 64)
    coarse = least_loss(some, limit, BUDGET)
    assert sum(c.weights * coarse[c.name] for c in some) <= limit
    assert loss_of(exact, some) <= loss_of(coarse, some) < 1.5 * loss_of(exact, some)


def test_a_network_fits_its_budget_with_findings():
    rng = np.random.default_rng(2)
    net = random_deployable(rng, layers=3)
    codes = rng.integers(0, 256, (20, net.n_input)).astype(np.int32)
    fixed, findings = quantize(net, LOIHI2, QuantizeConfig("auto"), calibration=codes)
    own = [s for s in fixed.synapses if s.source != ALWAYS_ON]
    assert {s.weight_bits for s in own} == {8}
    whole = sum(used_bits(fixed).values()) // 8
    config = QuantizeConfig("auto", memory_bytes=whole // 2)
    fixed, findings = quantize(net, LOIHI2, config, calibration=codes)
    assert not check_legality(fixed)
    assert len({s.weight_bits for s in fixed.synapses if s.source != ALWAYS_ON}) > 1
    used = sum(s.weight.size * s.weight_bits for s in fixed.synapses) / 8
    (told,) = (f for f in findings if f.where == "weights")
    assert told.numbers == {"bytes": used, "limit_bytes": whole // 2}
    assert 0.9 * (whole // 2) < used <= whole // 2
    widths = {f.where: f.numbers["bits"] for f in findings if "squared membrane" in f.what}
    assert widths == {
        f"synapse {s.name}": s.weight_bits for s in fixed.synapses if s.source != ALWAYS_ON
    }
    again = quantize(net, LOIHI2, config, calibration=codes).value
    assert network_hash(again) == network_hash(fixed)
    with pytest.raises(
        ResourceError, match=r"weights of 2 bits take \d+ bytes, the budget holds 9"
    ):
        quantize(net, LOIHI2, QuantizeConfig("auto", memory_bytes=9), calibration=codes)


def test_what_memory_there_is():
    held = memory_of(LOIHI2, None)
    # The lower estimates of the profile: 120 cores, 48,000 bytes each.
    assert (held.bits, held.core_bits) == (120 * 48_000 * 8, 48_000 * 8)
    assert held.excess({"a": held.bits}) == 0
    # One bit in a core takes all of it.
    assert held.excess({"a": held.bits - held.core_bits, "b": 1}) == 0
    assert held.excess({"a": held.bits - held.core_bits + 1, "b": 1}) == held.core_bits
    with pytest.raises(InputError, match="lava has no synaptic memory"):
        memory_of(hardware_profiles.load("lava"), None)
    for bad in ({"memory_bytes": 100}, {"weight_bits": "auto", "memory_bytes": 0},
                {"weight_bits": "auto", "sign_split": "auto"}):  # fmt: skip
        with pytest.raises(InputError, match="auto"):
            QuantizeConfig(**bad)
