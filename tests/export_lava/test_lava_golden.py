"""Known answers of Lava's fixed_pt models, on the installed Lava itself.

The expected numbers stand here once more, so that the self-test cannot agree with itself.
"""

import pytest

from neurodeploy.export.lava import runtime as lava_runtime

KNOWN = {
    "u=1000, du=-1/0/2048/4095: u'": (1000, 999, 499, 0),
    "a=203200 wraps u once: u'": (-3772416,),
    "a=30480000 leaves 24 bits: u', v'": (1933942784, 8388607),
    "u=v=2^25, du=-1: u', v'": (16777216, 8388607),
    "bias_mant=20000, bias_exp=6: v'": (1280000,),
    "bias_mant=1.7/-1.7: bias": (1, -1),
    "vth=1/0, a=1: spikes in 5 steps": (0, 5),
    "weights 3.9 -3.9 300 -300, mixed": (2, -4, 254, -256),
    "weights 5 -5 300, excitatory": (5, 0, 255),
    "weights -6 2, weight_exp=-2: a": (-2, 0),
    "binary, w=10, inputs 5 -3 0 2: a": (10, 10, 0, 10),
    "graded, w=10, inputs 5 -3 0 2: a": (50, -30, 0, 20),
    "delays 1 4, max_delay 2, weights 3 5: a": (0, 0, 3, 0, 0, 0, 0, 0, 0, 0),
    "dlif, a+b=11, gain 3 5, shift 2: v": (0, 512, 832, 832, 832),
    "dlif, a+b=-11: v": (0, -576, -896, -896, -896),
    "dlif, vth=8: spikes": (0, 0, 1, 1, 1),
    "subtract, wait 1, reset every 4: v": (640, 256, 256, 896, 640),
    "subtract, wait 1, reset every 4: s": (0, 1, 0, 0, 0),
}


@pytest.mark.lava
def test_golden_vectors(runtime):
    checks = lava_runtime.golden_checks(runtime)
    assert {check.name: check.found for check in checks} == KNOWN
    assert {check.name: check.expected for check in checks} == KNOWN


@pytest.mark.lava
def test_status_says_which_runtime(runtime):
    status = lava_runtime.status()
    assert status.ok
    assert len(status.checks) == len(KNOWN)
    assert status.mode == runtime.mode
    assert status.versions["lava-nc"] == "0.10.0"
    assert status.versions["numpy"] == "1.26.4"
    minor = int(status.versions["python"].split(".")[1])
    assert (minor == 10) == (status.mode == "official")
    document = status.as_dict()
    assert document["available"]
    assert all(check["ok"] for check in document["checks"])


def test_a_wrong_answer_is_not_ok(tmp_path):
    wrong = lava_runtime.GoldenCheck("u'", expected=(1,), found=(2,))
    right = lava_runtime.GoldenCheck("v'", expected=(1,), found=(1,))
    assert not lava_runtime.RuntimeStatus("official", tmp_path, {}, (right, wrong)).ok
    assert lava_runtime.RuntimeStatus("official", tmp_path, {}, (right,)).ok
