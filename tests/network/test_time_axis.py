"""Hardware time cut to logical time, and membranes whose origin differs between neurons."""

import numpy as np
import pytest

from neurodeploy.errors import InputError, ShapeError
from neurodeploy.network import Traces, compare_traces, on_logical_axis

META = {
    "timing": "lava",
    "steps": 3,
    "readout": {"population": "b", "kind": "last_v"},
    "populations": {"a": {"scale": 2.0, "latency": 1}, "b": {"scale": 1.0, "latency": 2}},
}


def hardware_traces():
    rows = np.arange(5)[:, None, None]
    return Traces(rows + 20, {"a/v": rows, "b/v": rows + 20}, {}, META)


def test_each_population_is_cut_at_its_own_latency():
    cut = on_logical_axis(hardware_traces())
    assert cut.records["a/v"].ravel().tolist() == [1, 2, 3]
    assert cut.records["b/v"].ravel().tolist() == [22, 23, 24]
    assert cut.output.ravel().tolist() == [22, 23, 24]
    assert cut.meta["timing"] == "aligned"


def test_logical_traces_stay_as_they_are():
    cut = on_logical_axis(hardware_traces())
    assert on_logical_axis(cut) is cut


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"steps": None}, InputError),
        ({"populations": {"b": {"scale": 1.0, "latency": 2}}}, InputError),
        ({"steps": 5}, ShapeError),
    ],
)
def test_traces_that_cannot_be_cut_say_why(change, error):
    traces = hardware_traces()
    broken = Traces(traces.output, traces.records, {}, {**META, **change})
    with pytest.raises(error, match="run again|hardware steps"):
        on_logical_axis(broken)


def test_membranes_are_compared_with_an_origin_per_neuron():
    readout = {"population": "a", "kind": "last_v"}
    fixed = np.array([[[64, 128]]])
    populations = {"a": {"scale": 64.0, "origin": [1.0, -2.0]}}
    a = Traces(fixed, {"a/v": fixed}, {}, {"readout": readout, "populations": populations})
    membrane = np.array([[[2.0, 0.0]]])
    plain = {"a": {"scale": 1.0}}
    b = Traces(membrane, {"a/v": membrane}, {}, {"readout": readout, "populations": plain})
    assert compare_traces(a, b, scaled=True).exact
    wrong = {"a": {"scale": 64.0, "origin": [1.0, -2.0, 0.0]}}
    c = Traces(fixed, {"a/v": fixed}, {}, {"readout": readout, "populations": wrong})
    with pytest.raises(ShapeError, match="3,"):
        compare_traces(c, b, scaled=True)
