"""What the reader makes of files: integers worked out by hand, options, findings."""

import numpy as np
import pytest
from export_netx.netx_files import conv, dense, flatten, input_layer, neuron, recurrent, write
from oracles.literal_fixed import run_aligned

import neurodeploy.export
from neurodeploy.errors import InputError, RangeError, ShapeError, UnsupportedNodeError
from neurodeploy.export.netx import from_netx
from neurodeploy.network import check_legality, load_network

FORGETFUL = neuron(iDecay=4096, vDecay=4096, vThMant=9)


def found(findings, word):
    return [finding for finding in findings if word in finding.what]


def test_one_neuron_by_hand(tmp_path):
    """weight 10 is shifted by 4 bits and back; v keeps 3/4; the threshold is 25 * 64 = 1600."""
    cell = neuron(iDecay=4096, vDecay=1024, vThMant=25)
    path = write(tmp_path / "a.net", [dense([[10]], cell, bias=[4])], steps=6)
    net, _ = from_netx(path)
    assert net.steps == 6
    assert (net.synapses[0].weight[0, 0], net.synapses[0].weight_exp) == (160, -4)
    codes = np.array([1, 1, 0, 1, 1, 1]).reshape(6, 1, 1)
    v = run_aligned(net, codes).records["dense_0/v"][:, 0, 0]
    # Input of step t is felt at t + 1; the bias of 4 * 64 = 256 acts from the first step.
    assert v.tolist() == [256, 192 + 640 + 256, 0, 256, 192 + 640 + 256, 0]


def test_a_flatten_reads_channels_first(tmp_path):
    """A dense row with one weight picks the value that it would pick in torch."""
    shape, place = (2, 3, 4), (1, 2, 1)
    row = np.zeros(shape)
    row[place] = 20
    identity = np.zeros((2, 2, 1, 1))
    identity[0, 0], identity[1, 1] = 20, 20
    layers = [
        input_layer(shape),
        conv(identity, shape, cell=FORGETFUL),
        flatten(24),
        dense(row.reshape(1, -1), FORGETFUL),
    ]
    net, _ = from_netx(write(tmp_path / "a.net", layers))
    assert net.input_shape == shape
    assert net.populations[0].shape == shape
    for c, y, x in np.ndindex(shape):
        codes = np.zeros((3, 1, *shape), int)
        codes[0, 0, c, y, x] = 1
        run = run_aligned(net, codes.reshape(3, 1, -1))
        assert run.records["dense_3/spikes"][2, 0, 0] == ((c, y, x) == place)


def test_input_weight_multiplies_codes_or_values_of_a_range(tmp_path):
    cell = neuron(iDecay=4096, vDecay=1024, vThMant=25)
    layers = [input_layer((3,), cell, weight=40.0, bias=36.0), dense([[8, 8, 8]])]
    path = write(tmp_path / "a.net", layers)
    net, findings = from_netx(path)
    assert net.synapses[0].weight.tolist() == [40, 40, 40]
    assert net.encoder.encode(np.array([0.0, 3.0, 255.0])).tolist() == [0, 3, 255]
    assert found(findings, "leaves the input layer's weight and bias to the program")
    ranged, _ = from_netx(path, input_range=(-1.0, 1.0))
    values = np.array([-1.0, -0.33, 1.0])
    codes = ranged.encoder.encode(values)
    run = run_aligned(ranged, np.tile(codes, (1, 1, 1)))
    expected = np.rint(40 * values + 36).astype(int) << 6
    assert run.records["input_0/v_pre"][0, 0].tolist() == expected.tolist()
    assert np.abs(ranged.encoder.decode(codes) - values).max() <= 0.5 / 40


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"input_range": (1.0, 1.0)}, "ascending range"),
        ({"input_range": (-1.0, 1.0), "input_bits": 3}, "81 values in steps of 1/40"),
        ({"input_bits": 17}, "0 to 16 bits"),
        ({"time": "hardware"}, "netx or aligned"),
        ({"reset_interval": 0}, "at least 1"),
        ({"reset_offset": -1}, "cannot be negative"),
        ({"skip_layers": 2}, "leaves none of 2 layers"),
        ({"num_layers": 0}, "at least one layer"),
        ({"steps": 0}, "at least 1"),
    ],
)
def test_options_that_make_no_sense_say_so(tmp_path, options, message):
    layers = [input_layer((3,), neuron(), weight=40.0), dense([[8, 8, 8]])]
    path = write(tmp_path / "a.net", layers)
    with pytest.raises(InputError, match=message):
        from_netx(path, **options)


def test_a_range_belongs_to_input_neurons(tmp_path):
    path = write(tmp_path / "a.net", [dense([[8]])])
    with pytest.raises(InputError, match="whose input layer has neurons"):
        from_netx(path, input_range=(0.0, 1.0))


@pytest.mark.parametrize(
    ("cell", "kind", "readout"),
    [
        (neuron(), "lif", "count"),
        (neuron(vThMant=131071, vDecay=0), "lif", "last_v"),
        (neuron(vThMant=131071, vDecay=100), "lif", "mean_v"),
        (neuron(vThMant=2**30, vDecay=0), "readout", "last_v"),
        (None, "readout", "mean_v"),
    ],
)
def test_the_read_out_follows_the_last_threshold(tmp_path, cell, kind, readout):
    path = write(tmp_path / "a.net", [dense([[8]]), dense([[9]], cell)])
    net, _ = from_netx(path)
    assert (net.populations[-1].kind, net.readout.kind) == (kind, readout)
    assert net.readout.population == "dense_1"
    assert from_netx(path, readout="max_v").value.readout.kind == "max_v"


def test_steps_are_said_or_assumed_aloud(tmp_path):
    path = write(tmp_path / "a.net", [dense([[8]])])
    net, findings = from_netx(path)
    assert (net.steps, len(found(findings, "16 are assumed"))) == (16, 1)
    net, findings = from_netx(path, steps=5)
    assert (net.steps, found(findings, "assumed")) == (5, [])


def test_what_netx_ignores_is_found_and_what_no_chip_holds_is_read(tmp_path):
    layers = [dense([[9, -201]], neuron(refDelay=4)), dense([[3]], None)]
    net, findings = from_netx(write(tmp_path / "a.net", layers))
    refractory = found(findings, "refDelay [4] of 1 layers has no effect")
    assert refractory[0].severity == "warning"
    assert refractory[0].numbers == {"layers": {"dense_0": 4}}
    illegal = check_legality(net)
    assert found(illegal, "weight_bits is 9..9")
    assert found(illegal, "decay_u is -1..-1")


def test_changed_weights_are_counted(tmp_path):
    path = write(tmp_path / "a.net", [dense([[300, 7, -9], [8, 2, 4]])])
    _, findings = from_netx(path)
    (finding,) = found(findings, "act as other numbers")
    assert finding.numbers == {"changed": 1, "largest_change": 46.0}
    assert "layer 0: weight" in finding.where


def test_all_zero_weights_which_netx_cannot_read(tmp_path):
    net, _ = from_netx(write(tmp_path / "a.net", [dense([[0, 0]])]))
    assert (net.synapses[0].weight.tolist(), net.synapses[0].weight_exp) == ([[0, 0]], 0)


def test_equal_numbers_of_inputs_and_outputs_leave_a_delay_open(tmp_path):
    path = write(tmp_path / "a.net", [dense([[8, 4], [2, 6]], delay=np.array([0.0, 3.0]))])
    net, findings = from_netx(path)
    assert net.synapses[0].delay.tolist() == [[0, 0], [3, 3]]
    assert found(findings, "could belong to inputs or outputs")


def test_some_layers_of_a_file(tmp_path):
    shape = (2, 3, 3)
    kernel = np.full((2, 2, 1, 1), 20)
    layers = [
        input_layer((2, 3, 3), neuron("SDNN")),
        conv(kernel, shape),
        conv(kernel, shape),
        flatten(18),
        dense(np.full((4, 18), 2)),
        {"type": "average", "shape": np.array([2, 1, 1])},
    ]
    path = write(tmp_path / "a.net", layers)
    net, _ = from_netx(path, skip_layers=2, num_layers=5, reset_interval=7)
    assert [p.name for p in net.populations] == ["conv_2", "dense_4"]
    assert net.input_shape == shape
    # lava-dl counts the layers it builds: the first is reset at step 1, the second at step 2.
    assert [(p.reset_interval, p.reset_offset) for p in net.populations] == [(7, 1), (7, 2)]
    tail, _ = from_netx(path, skip_layers=3, num_layers=5)
    assert (tail.n_input, tail.input_shape) == (18, shape)


def test_a_file_without_input_layer_needs_a_shape(tmp_path):
    path = write(tmp_path / "a.net", [conv(np.full((2, 1, 2, 2), 9), (2, 3, 4))])
    with pytest.raises(ShapeError, match="shape unknown"):
        from_netx(path)
    net, _ = from_netx(path, input_shape=(1, 4, 5))
    assert net.n_input == 20


def test_everything_unsupported_is_one_error(tmp_path):
    layers = [
        dense([[8]]),
        {"type": "pool", "shape": np.array([1])},
        dense([[8]], neuron("RF_PHASE")),
        recurrent([[8]], [[4]], delay=1.0),
        dense([[8]], neuron(messageBits=8)),
        input_layer((1,)),
        {"type": "conv", "shape": np.array([1, 1, 1]), "neuron": None},
    ]
    path = write(tmp_path / "a.net", layers)
    with pytest.raises(UnsupportedNodeError) as caught:
        from_netx(path)
    text = str(caught.value)
    for line in (
        "6 layers or neurons",
        "layer 1: type 'pool'",
        "layer 2: neuron 'RF_PHASE'",
        "layer 3: delays in a recurrent layer",
        "layer 4: neuron with messageBits",
        "layer 5: an input layer behind layer 4",
        "layer 6: no neuron",
        "supported: input, dense, dense_rec, conv, flatten",
    ):
        assert line in text


@pytest.mark.parametrize(
    ("layers", "error", "message"),
    [
        ([dense([[8, 2]]), dense([[8, 2]])], ShapeError, "gets 1 values"),
        ([input_layer((3,)), dense([[8, 2]])], ShapeError, "gets 3 values"),
        (
            [input_layer((1, 3, 3)), conv(np.ones((2, 1, 2, 2)), (2, 3, 3))],
            ShapeError,
            "layer 1: kernel .* make 2 values of 3",
        ),
        (
            [
                input_layer((1, 3, 3)),
                conv(np.ones((2, 1, 2, 2)), (2, 2, 2)),
                dense(np.ones((1, 8))),
            ],
            ShapeError,
            "needs a flatten",
        ),
        ([dense([[8]], neuron(vDecay=4097))], RangeError, "vDecay: is 4097..4097"),
        ([dense([[8]], neuron(iDecay=0.5))], RangeError, "whole numbers"),
        ([dense([[8]], neuron(vDecay=np.ones(3)))], ShapeError, "fits no neurons"),
        ([dense([[8]], delay=-1)], RangeError, "cannot be negative"),
        ([dense([[8]], delay=np.ones(3))], ShapeError, "fits neither"),
        ([recurrent([[8]], [[8, 2]])], ShapeError, "does not lead 1 neurons back"),
        ([dense([[1e12]])], RangeError, "does not fit int32"),
        ([input_layer((2,))], InputError, "no layer with neurons"),
        ([flatten(3)], InputError, "no layer with neurons"),
        ([input_layer((2, 2, 2, 2)), dense([[1]])], ShapeError, "1 to 3 extents"),
        ([input_layer((2,), neuron(), weight=[1.0, 2.0])], ShapeError, "needs one number"),
    ],
)
def test_what_does_not_fit_together_is_named(tmp_path, layers, error, message):
    path = write(tmp_path / "a.net", layers)
    with pytest.raises(error, match=message):
        from_netx(path)


def test_wide_geometry_that_lava_holds_in_eight_bits(tmp_path):
    kernel = np.full((128, 1, 1, 1), 9)
    layers = [input_layer((128, 1, 1)), conv(kernel, (128, 1, 1), groups=128)]
    net, findings = from_netx(write(tmp_path / "a.net", layers))
    assert found(findings, "geometry up to 128")
    assert net.synapses[0].layout.groups == 128


def test_the_network_can_be_written_and_the_name_is_public(tmp_path):
    layers = [dense([[8, 2]], delay=2), recurrent([[8]], [[-4]], bias=[3])]
    net, _ = neurodeploy.export.from_netx(write(tmp_path / "a.net", layers), reset_interval=3)
    digest = net.save(tmp_path / "net.h5")
    assert load_network(tmp_path / "net.h5").save(tmp_path / "again.h5") == digest
