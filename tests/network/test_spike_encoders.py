"""Rate, latency and events: what a network receives, against encoders written out in full."""

import dataclasses
import json
from fractions import Fraction

import h5py
import numpy as np
import pytest
import torch
from oracles.random_networks import random_fixed_network

from neurodeploy.attacks import BernoulliCode
from neurodeploy.errors import ContractError, FileFormatError, InputError, RangeError
from neurodeploy.files import content_hash
from neurodeploy.network import (
    ConstantEncoder,
    EventsEncoder,
    LatencyEncoder,
    RateEncoder,
    Samples,
    Stimuli,
    encoder_from,
    load_network,
    network_hash,
    save_network,
)

GRIDS = [ConstantEncoder(), ConstantEncoder(-1.0, 3.0, 1), ConstantEncoder(0.0, 2.0, 16)]
ENCODERS = [
    ConstantEncoder(-1.0, 1.0, 4),
    ConstantEncoder(form="bias"),
    *(RateEncoder(grid, seed) for grid, seed in zip(GRIDS, (0, 7, 2**63 - 1), strict=True)),
    *(LatencyEncoder(grid) for grid in GRIDS),
    EventsEncoder(),
    EventsEncoder(ConstantEncoder(0.0, 15.0, 4)),
]


def levels_of(grid, batch, n=9, seed=0):
    codes = np.random.default_rng(seed).integers(0, grid.max_code + 1, (batch, n))
    codes[0, :2] = 0, grid.max_code
    return codes.astype(np.int32)


def spike_times(codes, largest, steps):
    """Latency code by fractions: Python rounds half to even."""
    spikes = np.zeros((steps, *codes.shape), int)
    for place, code in np.ndenumerate(codes):
        if code:
            when = round(Fraction(steps - 1) * Fraction(largest - int(code), largest))
            spikes[(when, *place)] = 1
    return spikes


@pytest.mark.parametrize("encoder", ENCODERS)
def test_stored_encoders_are_the_same_again(encoder):
    assert encoder_from(encoder.as_dict()) == encoder


@pytest.mark.parametrize("steps", [1, 2, 7, 100])
@pytest.mark.parametrize("grid", GRIDS)
def test_latency_is_the_formula(grid, steps):
    codes = levels_of(grid, 11)
    spikes = LatencyEncoder(grid).messages(codes, steps)
    assert np.array_equal(spikes, spike_times(codes, grid.max_code, steps))
    assert spikes.dtype == np.uint8
    assert np.array_equal(spikes.sum(0), codes > 0)
    assert spikes[0, 0, 1] == 1


def test_latency_of_every_code_rounds_halves_to_even():
    codes = np.arange(256, dtype=np.int32)[None]
    for steps in (2, 4, 86, 256):  # 85 * (255 - c) / 255 is a third, 3 / 255 none
        found = LatencyEncoder().messages(codes, steps)
        assert np.array_equal(found, spike_times(codes, 255, steps))
    two = ConstantEncoder(0.0, 1.0, 2)  # codes 0..3; c = 1 of 3 steps: 4 / 3, c = 2: 2 / 3
    assert LatencyEncoder(two).messages(np.array([[1, 2, 3]]), 4).argmax(0).tolist() == [[2, 1, 0]]
    # snnTorch's own example: 0.5 of 1 in 5 steps spikes at 2, 1 at 0.
    even = LatencyEncoder(ConstantEncoder(0.0, 1.0, 16))
    assert even.messages(np.array([[32768, 65535]]), 5).argmax(0).tolist() == [[2, 0]]


@pytest.mark.parametrize("steps", [1, 33])
@pytest.mark.parametrize("grid", GRIDS)
def test_rate_is_the_bernoulli_code_of_the_attacks(grid, steps):
    codes = levels_of(grid, 5)
    for seed in (0, 3, 2**40 + 1):
        spikes = RateEncoder(grid, seed).messages(codes, steps)
        theirs = BernoulliCode(steps, grid.max_code).spikes(torch.tensor(codes, dtype=float), seed)
        assert np.array_equal(spikes, theirs.numpy())


def test_rate_hangs_on_seed_and_content_alone():
    grid, encoder = GRIDS[0], RateEncoder(GRIDS[0], 5)
    codes = levels_of(grid, 6)
    spikes = encoder.messages(codes, 40)
    order = np.array([3, 0, 3, 5])
    assert np.array_equal(encoder.messages(codes[order], 40), spikes[:, order])
    assert np.array_equal(encoder.messages(codes[4:5], 40), spikes[:, 4:5])
    assert not np.array_equal(RateEncoder(grid, 6).messages(codes, 40), spikes)
    assert not spikes[:, 0, 0].any()
    assert spikes[:, 0, 1].all()


def test_rates_are_the_probabilities():
    codes = np.tile(np.arange(256, dtype=np.int32), (1, 1))
    spikes = RateEncoder(GRIDS[0], 1).messages(codes, 4000)
    chance = codes[0] / 255
    deviation = (spikes[:, 0].mean(0) - chance) / np.sqrt(np.maximum(chance * (1 - chance), 1e-9))
    assert np.abs(deviation * np.sqrt(4000)).max() < 4.5


@pytest.mark.parametrize("encoder", [RateEncoder(GRIDS[1]), LatencyEncoder(GRIDS[2])])
def test_a_network_of_spikes_receives_0_and_1(encoder):
    assert (encoder.low, encoder.high, encoder.bits, encoder.max_code, encoder.step) == (
        0,
        1,
        1,
        1,
        1,
    )
    assert encoder.encode(np.array([-3.0, 0.2, 0.6, 1.0, 9.0])).tolist() == [0, 0, 1, 1, 1]
    assert encoder.decode(np.array([0, 1])).tolist() == [0.0, 1.0]
    for steps, error in ((None, "--steps"), (0, "at least one")):
        with pytest.raises(InputError, match=error):
            encoder.messages(levels_of(encoder.levels, 1), steps)


def test_images_are_clipped_counted_and_hashed_on_their_own_grid():
    grid = ConstantEncoder(0.0, 2.0, 8)
    images = np.array([[0.0, 1.5, 2.0], [0.5, 1.0, 3.0]])
    samples = Samples(images, [0, 1])
    for encoder in (RateEncoder(grid), LatencyEncoder(grid)):
        assert np.array_equal(samples.codes(encoder, 3), grid.encode(images))
        assert samples.hashes(encoder) == samples.hashes(grid)
        assert Stimuli(images, None, held=True).hashes(encoder) == samples.hashes(grid)
        (finding,) = samples.out_of_range(encoder)
        assert finding.numbers["clipped"] == 1


def test_events_have_a_grid_that_begins_at_0_and_no_images():
    encoder = EventsEncoder(ConstantEncoder(0.0, 15.0, 4))
    assert encoder.encode(np.array([0.0, 1.0, 14.6, 40.0])).tolist() == [0, 1, 15, 15]
    assert (EventsEncoder().max_code, EventsEncoder().high) == (1, 1.0)
    with pytest.raises(ContractError, match="no events; give events or a sequence"):
        encoder.messages(levels_of(encoder.levels, 2), 4)
    with pytest.raises(RangeError, match="must begin at 0"):
        EventsEncoder(ConstantEncoder(-1.0, 1.0, 1))


def test_impossible_encoders_are_refused():
    for seed in (-1, 2**63):
        with pytest.raises(RangeError, match="seed"):
            RateEncoder(seed=seed)
    with pytest.raises(RangeError, match="choose graded or bias"):
        ConstantEncoder(form="current")


@pytest.mark.parametrize("encoder", ENCODERS)
def test_a_network_file_holds_any_encoder(tmp_path, encoder):
    net = random_fixed_network(np.random.default_rng(0), layers=1)
    net = dataclasses.replace(net, encoder=encoder)
    digest = save_network(net, tmp_path / "net.h5")
    again = load_network(tmp_path / "net.h5")
    assert again.encoder == encoder
    assert network_hash(again) == digest


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        ("rate", "seed", -1), ("rate", "seed", 2**63), ("rate", "seed", None), ("rate", "seed", 1.5),
        ("rate", "form", "bias"), ("latency", "seed", 1), ("constant", "form", "current"),
        ("constant", "form", "graded"), ("constant", "seed", 1), ("events", "low", -1.0),
        ("events", "bits", 0), ("latency", "kind", "phase"), ("latency", "kind", ["rate"]),
    ],
)  # fmt: skip
def test_fields_that_an_encoder_cannot_have_are_refused(tmp_path, kind, field, value):
    grid = {"low": 0.0, "high": 1.0, "bits": 4}
    own = {"seed": 3} if kind == "rate" else {}
    checked = {**grid, "kind": kind, **own}
    net = dataclasses.replace(
        random_fixed_network(np.random.default_rng(0), layers=1), encoder=encoder_from(checked)
    )
    save_network(net, tmp_path / "net.h5")
    with h5py.File(tmp_path / "net.h5", "r+") as file:
        arrays = {}
        file.visititems(
            lambda n, d: arrays.update({n: d[()]} if isinstance(d, h5py.Dataset) else {})
        )
        header = json.loads(arrays["header"].tobytes())
        header["encoder"][field] = value
        if value is None:
            del header["encoder"][field]
        del file["header"]
        arrays["header"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
        file["header"] = arrays["header"]
        file.attrs["content_hash"] = content_hash({n: np.asarray(a) for n, a in arrays.items()})
    with pytest.raises((FileFormatError, RangeError), match=field):
        load_network(tmp_path / "net.h5")
