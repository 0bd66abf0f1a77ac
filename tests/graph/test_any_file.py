"""Whatever a file holds in place of what belongs there: an answer, and never a foreign exception."""

import copy
import re

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nir_samples import affine, conv, end, lif, nested

from neurodeploy.errors import InputError
from neurodeploy.graph import Contract, read, survey

OPTIONS = Contract(dt=1e-3)
shapes = st.lists(st.integers(0, 3), max_size=4).map(tuple)
dtypes = st.sampled_from(["f2", "f4", ">f8", "i1", "u8", ">i4", "?", "c8", "S3", "g", "V4"])
numbers = st.sampled_from([0, 1, -1, 2, 3, 0.5, 2**63 - 1, 1e300, np.inf, -np.inf, np.nan])


def array(shape, dtype, value):
    with np.errstate(all="ignore"):
        try:
            return np.full(shape, value).astype(dtype)
        except (TypeError, ValueError, OverflowError):
            return np.zeros(shape, dtype)


values = st.one_of(
    st.builds(array, shapes, dtypes, numbers),
    numbers,
    st.sampled_from(
        ["", "same", "LIF", "NIRGraph", "é" * 300, {}, {"type": "LIF"}, {"x": 1}, {"x": {}}]
    ),
)


def tree():
    inner = nested(
        {"input": end("Input", 2), "lif": lif(), "output": end("Output", 2)},
        [("input", "lif"), ("lif", "output")],
    )
    nodes = {
        "input": end("Input", 1, 4, 4),
        "conv": conv(np.ones((2, 1, 3, 3)), input_shape=[4, 4]),
        "pool": {"type": "AvgPool2d", "kernel_size": [2, 2], "stride": [2, 2], "padding": [0, 0]},
        "flat": {"type": "Flatten", "start_dim": 0, "end_dim": -1, "input_type": [2, 1, 1]},
        "fc": affine(2, 2),
        "delay": {"type": "Delay", "delay": np.array([1e-3, 0.0])},
        "block": inner,
        "cuba": {"type": "CubaLIF", **{k: np.ones(2) for k in ("tau_syn", "tau_mem", "r", "v_leak", "v_threshold")}},
        "output": end("Output", 2),
    }  # fmt: skip
    names = list(nodes)
    metadata = {
        "neurodeploy": {"schema": 1, "dt": 1e-3, "readout": {"node": "cuba", "kind": "count"}}
    }
    root = nested(nodes, list(zip(names, names[1:], strict=False)))
    return {"version": "1.0.8", "node": {**root, "metadata": metadata}}


def places(group, path=()):
    """Every place in the tree, groups included."""
    found = []
    for key, value in group.items():
        found.append((*path, key))
        if isinstance(value, dict):
            found += places(value, (*path, key))
    return found


PLACES = places(tree())


def changed(changes):
    whole = tree()
    for place, value in changes:
        group = whole
        for key in place[:-1]:
            group = group.get(key)
            if not isinstance(group, dict):
                break
        else:
            if value is None:
                group.pop(place[-1], None)
            else:
                group[place[-1]] = copy.deepcopy(value)
    return whole


def write(path, group):
    with h5py.File(path, "w") as file:
        pending = [(file, group)]
        while pending:
            here, fields = pending.pop()
            for key, value in fields.items():
                if isinstance(value, dict):
                    pending.append((here.create_group(key), value))
                elif key == "edges" and isinstance(value, list):
                    here[key] = np.array(value, dtype="S")
                else:
                    here[key] = value


def test_the_unchanged_file_reads(tmp_path):
    write(tmp_path / "net.nir", tree())
    graph, findings = read(tmp_path / "net.nir")
    assert "block/lif" in graph.nodes
    assert not [f for f in findings if f.severity == "error"]


def check(tmp_path, changes):
    path = tmp_path / "net.nir"
    write(path, changed(changes))
    found = survey(path, OPTIONS)
    errors = [f for f in found.findings if f.severity == "error"]
    assert (found.graph is None) == bool(errors)
    for finding in found.findings:
        assert finding.where
        assert finding.what
    if errors:
        with pytest.raises(InputError, match=re.escape(str(path))):
            read(path, OPTIONS)
    else:
        graph, _ = read(path, OPTIONS)
        assert set(graph.shapes) == set(graph.nodes)


any_changes = st.lists(
    st.tuples(st.sampled_from(PLACES), st.none() | values), min_size=1, max_size=3
)
# Each example writes the same file anew.
on_files = {"deadline": None, "suppress_health_check": [HealthCheck.function_scoped_fixture]}


@settings(max_examples=100, **on_files)
@given(any_changes)
def test_any_values_in_any_places(tmp_path, changes):
    check(tmp_path, changes)


@pytest.mark.slow
@settings(max_examples=1500, **on_files)
@given(any_changes)
def test_any_values_in_any_places_many_times(tmp_path, changes):
    check(tmp_path, changes)
