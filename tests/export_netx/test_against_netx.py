"""What lava-dl's NetX did with small files on Lava (``make_fixtures.py``), value for value."""

import json
from pathlib import Path

import numpy as np
import pytest
from oracles.literal_fixed import logical_records, run_aligned, run_hardware

from neurodeploy.errors import InputError
from neurodeploy.export.lava import LavaRun, run_lava_batch
from neurodeploy.export.netx import from_netx
from neurodeploy.export.netx.weights import choose_shift, prepare
from neurodeploy.simulate import run_fixed

FIXTURES = Path(__file__).parent / "fixtures"
NAMES = sorted(path.stem for path in FIXTURES.glob("*.net"))
#: Those in which some layer fires from its bias before any input reaches it.
EARLY = {"one_sign", "reset_from_bias", "slips"}
#: Weights of nine bits, which lava-dl hands to Lava and our own way to Lava refuses.
NINE_BITS = {"dense_odd_nine_bits", "recurrent_nine_bits", "slips"}
#: The bias of the input neurons: in lava-dl part of what is sent to them, so it is in u.
INPUT_BIAS = {"input_neurons": 3 << 6}


def read(name, **options):
    stored = np.load(FIXTURES / f"{name}.npz")
    options = {**json.loads(str(stored["options"])), **options}
    net, findings = from_netx(FIXTURES / f"{name}.net", steps=len(stored["codes"]), **options)
    return net, findings, stored


def differences(name, net, records, stored, first_latency=None):
    """Count values that differ from NetX's, per record.

    With ``first_latency`` our step t is NetX's t + latency - first_latency.
    """
    found = {}
    for number, population in enumerate(net.populations):
        late = 0 if first_latency is None else population.latency - first_latency
        for quantity in ("spikes", "u", "v"):
            theirs = stored[f"{number}/{quantity}"].astype(np.int64)[late:]
            ours = records[f"{population.name}/{quantity}"][: len(theirs), 0].astype(np.int64)
            if (number, quantity) == (0, "u"):
                ours = ours + INPUT_BIAS.get(name, 0)
            found[f"{number}/{quantity}"] = int((ours != theirs).sum())
    return {key: count for key, count in found.items() if count}


def codes_of(stored):
    return stored["codes"][:, None, :]


@pytest.mark.parametrize("name", NAMES)
def test_the_literal_oracle_on_the_read_network_does_what_netx_did(name):
    net, _, stored = read(name)
    run = run_aligned(net, codes_of(stored))
    assert differences(name, net, run.records, stored) == {}
    assert any(stored[f"{k}/spikes"].any() for k in range(len(net.populations)))


@pytest.mark.parametrize("name", NAMES)
def test_hardware_time_gives_the_same(name):
    net, _, stored = read(name)
    codes = codes_of(stored)
    records = logical_records(net, run_hardware(net, codes), len(codes))
    assert differences(name, net, records, stored) == {}


@pytest.mark.parametrize("name", NAMES)
def test_the_simulator_does_what_netx_did(name):
    net, _, stored = read(name)
    traces = run_fixed(net, codes_of(stored), record=("spikes", "u", "v"))
    assert differences(name, net, traces.records, stored) == {}


@pytest.mark.parametrize("name", NAMES)
def test_aligned_layers_do_the_same_as_many_steps_earlier_as_they_are_deep(name):
    if name in EARLY:
        with pytest.raises(InputError, match="fire from their bias before any input"):
            read(name, time="aligned")
        return
    net, _, stored = read(name, time="aligned")
    # Input neurons step with NetX's; our own synapse before them is their latency.
    first = int(net.populations[0].name.startswith("input"))
    run = run_aligned(net, codes_of(stored))
    assert differences(name, net, run.records, stored, first) == {}


def test_weights_are_those_of_netx_and_lava():
    stored = np.load(FIXTURES / "weights.npz")
    lossy = 0
    for weight, held, exponent, bits in zip(*stored.values(), strict=True):
        made = prepare(weight, choose_shift(weight))
        assert (made.weight == held).all()
        if held.any():
            assert (made.weight_exp, made.weight_bits) == (exponent, bits)
        stands_for = held * 2.0**exponent
        assert made.changed == (stands_for != weight).sum()
        lossy += made.changed > 0
    assert 100 < lossy < len(stored["weight"])


@pytest.mark.slow
@pytest.mark.lava
def test_lava_itself_does_the_same_from_our_networks(runtime):
    read_ = {name: read(name) for name in NAMES if name not in NINE_BITS}
    assert len(read_) > 15
    record = ("spikes", "u", "v")
    runs = [
        LavaRun(net, codes_of(stored), record=record, lava_quirks=True)
        for net, _, stored in read_.values()
    ]
    traces = run_lava_batch(runs)
    for (name, (net, _, stored)), one in zip(read_.items(), traces, strict=True):
        assert differences(name, net, one.records, stored) == {}, name
