"""Comparing a Lava run with a reference: counts, order of the first mismatch."""

import numpy as np
import pytest

from neurodeploy.errors import InputError, ShapeError
from neurodeploy.export.lava import compare
from neurodeploy.network import Traces

SHAPE = (5, 2, 3)


def traces(**changed):
    rng = np.random.default_rng(0)
    records = {}
    for population in ("a", "b"):
        for quantity in ("u", "v", "spikes"):
            dtype = np.uint8 if quantity == "spikes" else np.int32
            records[f"{population}/{quantity}"] = rng.integers(0, 2, SHAPE).astype(dtype)
    for key, place in changed.items():
        records[key.replace("_", "/")][place] += 7
    meta = {"populations": {"a": {}, "b": {}}, "readout": {"kind": "sum"}, "lava_mode": "shim"}
    return Traces(records["b/v"], records, meta=meta)


def test_equal_runs():
    result = compare(traces(), traces())
    assert result.ok
    assert result.compared == 6 * 30
    assert result.samples == 2
    assert result.as_dict() == {
        "samples": 2,
        "compared": 180,
        "mismatches": 0,
        "by_quantity": {"u": 0, "v": 0, "spikes": 0},
        "first": None,
        "mode": "shim",
    }


def test_the_first_mismatch_is_the_earliest():
    result = compare(traces(a_v=(4, 0, 1), b_u=(2, 1, 0), b_spikes=(2, 0, 0)), traces())
    assert not result.ok
    assert result.by_quantity == {"u": 1, "v": 1, "spikes": 1}
    assert result.mismatches == 3
    first = result.first
    assert (first.population, first.quantity, first.t) == ("b", "u", 3)
    assert (first.sample, first.neuron) == (1, 0)
    assert first.lava == first.reference + 7
    assert str(first) == (
        f"b/u at step 3, sample 1, neuron 0: Lava {first.lava}, reference {first.reference}"
    )


def test_at_one_step_network_order_decides():
    result = compare(traces(b_u=(2, 0, 0), a_spikes=(2, 1, 2)), traces())
    assert (result.first.population, result.first.quantity) == ("a", "spikes")


def test_v_pre_is_not_compared():
    with_v_pre = traces()
    records = {**with_v_pre.records, "a/v_pre": np.zeros(SHAPE, np.int32)}
    with_v_pre = Traces(with_v_pre.output, records, meta=with_v_pre.meta)
    assert compare(traces(), with_v_pre).compared == 180


def test_nothing_to_compare_is_not_agreement():
    empty = Traces(traces().output, {}, meta=traces().meta)
    with pytest.raises(InputError):
        compare(traces(), empty)


def test_other_steps_are_an_error():
    t = traces()
    short = Traces(t.output[:4], {k: v[:4] for k, v in t.records.items()}, meta=t.meta)
    with pytest.raises(ShapeError):
        compare(traces(), short)
