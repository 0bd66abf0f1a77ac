"""Trained digit networks with images as biases: what the coarser units change."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from neurodeploy.network import as_biases, decide, fit_to_biases, load_network
from neurodeploy.simulate import run_fixed

NETWORKS = Path(__file__).parents[1] / "robustness/networks"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "coarser_bits", "turned"), [("lif", 2, 2), ("dlif-mppd", 0, 0), ("dlif-at-mppd", 0, 0)]
)
def test_digits_keep_their_decisions(tmp_path, name, coarser_bits, turned):
    (tmp_path / "net.h5").write_bytes(gzip.decompress((NETWORKS / f"{name}.h5.gz").read_bytes()))
    net = load_network(tmp_path / "net.h5")
    codes = net.encoder.encode(load_digits().data / 16)
    fitted, (finding,) = fit_to_biases(net)
    assert finding.numbers["coarser_bits"] == coarser_bits
    before, after = (run_fixed(n, codes, record=("spikes", "v")) for n in (net, fitted))
    assert int((decide(before.scores()) != decide(after.scores())).sum()) == turned
    for key, spikes in before.records.items():
        if key.endswith("/spikes"):
            assert (spikes == after.records[key]).mean() > (0.995 if coarser_bits else 0.999999)
    for i in (0, 1, 2):
        single = run_fixed(as_biases(fitted, codes[i]), codes[i : i + 1], record=("spikes", "v"))
        for key, found in single.records.items():
            assert np.array_equal(found[:, 0], after.records[key][:, i]), key
