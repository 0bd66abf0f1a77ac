import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurodeploy.errors import InputError, RangeError, ShapeError
from neurodeploy.network import ConstantEncoder, decide, read_out
from neurodeploy.network.arrays import float_array, int_array


def test_integer_arrays_refuse_fractions_and_overflow():
    with pytest.raises(RangeError, match="whole numbers"):
        int_array("here", [1.5], (1,))
    with pytest.raises(RangeError, match="does not fit int32"):
        int_array("here", [2**31], (1,))
    assert int_array("here", 2**31 - 1, (2,)).tolist() == [2**31 - 1] * 2


def test_arrays_are_read_only_and_independent_of_their_source():
    source = np.zeros(3)
    array = float_array("here", source, (3,))
    source[0] = 1
    assert array[0] == 0
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 2


def test_wrong_shape_names_both_shapes():
    with pytest.raises(ShapeError, match=r"here: has shape \(2,\), needs \(3,\)"):
        float_array("here", np.zeros(2), (3,))


@pytest.mark.parametrize("bits", [1, 4, 8, 16])
@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-1.0, 1.0), (2.5, 7.0)])
def test_every_code_survives_decoding_and_encoding(bits, low, high):
    encoder = ConstantEncoder(low, high, bits)
    codes = np.arange(encoder.max_code + 1)
    assert (encoder.encode(encoder.decode(codes)) == codes).all()


def test_encoding_clips_and_rounds_to_nearest():
    encoder = ConstantEncoder(0, 1, 8)
    assert encoder.encode(np.array([-1.0, 0.5, 2.0, 1.4 / 255])).tolist() == [0, 128, 255, 1]


@pytest.mark.parametrize(
    ("low", "high", "bits"), [(1, 1, 8), (0, np.inf, 8), (0, 1, 0), (0, 1, 17)]
)
def test_impossible_encoders_are_refused(low, high, bits):
    with pytest.raises(RangeError):
        ConstantEncoder(low, high, bits)


@given(st.lists(st.integers(-3, 3), min_size=2, max_size=6))
def test_decision_is_the_strict_maximum(scores):
    decision = int(decide(np.array([scores]))[0])
    if scores.count(max(scores)) > 1:
        assert decision == -1
    else:
        assert scores[decision] == max(scores)


def test_read_out_kinds_on_a_known_output():
    output = np.array([[[1, 5]], [[2, -9]], [[0, 3]]], dtype=np.int32)
    assert read_out(output, "count").tolist() == [[3, -1]]
    assert read_out(output, "sum").tolist() == [[0, 3]]
    assert read_out(output, "last_v").tolist() == [[0, 3]]
    assert read_out(output, "max_v").tolist() == [[2, 5]]
    assert read_out(output, "mean_v").tolist() == [[3, -1]]
    assert read_out(output.astype(float), "mean_v").tolist() == [[1.0, -1 / 3]]


def test_counting_uint8_spikes_does_not_overflow():
    assert read_out(np.ones((300, 1, 1), dtype=np.uint8), "count").tolist() == [[300]]


def test_samples_refuse_what_cannot_be_labelled():
    from neurodeploy.network import Samples

    with pytest.raises(ShapeError):
        Samples(np.zeros((3, 4)), np.zeros(2))
    with pytest.raises(InputError, match="NaN"):
        Samples(np.full((1, 4), np.nan), np.zeros(1))
    with pytest.raises(InputError, match="whole numbers"):
        Samples(np.zeros((1, 4)), np.array([0.5]))
