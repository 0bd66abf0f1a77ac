"""Runs small network files in lava-dl's NetX on Lava's CPU models and keeps what they did.

    python3.10 -m venv ENV && ENV/bin/pip install -r requirements-netx.txt
    ENV/bin/pip install --no-deps lava-dl==0.6.0
    ENV/bin/python make_fixtures.py [NAME ...]

Writes ``fixtures/NAME.net`` and ``fixtures/NAME.npz``: ``codes`` [T, N], and per layer with neurons
``<k>/spikes``, ``<k>/u``, ``<k>/v`` [T, N], all in the order (C, H, W); ``options`` of ``from_netx``
as JSON. lava-dl imports torch only for neurons and trainers that no case uses, so a stand-in takes
its place.
"""

import json
import sys
import types
from pathlib import Path
from unittest.mock import MagicMock

import numpy as np
from netx_files import conv, dense, flatten, input_layer, neuron, recurrent, write

FOLDER = Path(__file__).parent / "fixtures"
STEPS = 24


def ints(rng, low, high, shape, step=1):
    """Return integers in low..high on a grid of ``step``."""
    return step * rng.integers(low // step, high // step + 1, shape)


def chain(rng, sizes, low, high, step=1, **fields):
    return [
        dense(ints(rng, low, high, (n, m), step), bias=ints(rng, -6, 14, n), **fields)
        for m, n in zip(sizes, sizes[1:], strict=False)
    ]


def case_dense_even(rng):
    return chain(rng, (12, 10, 7), -120, 160, 2), {}


def case_dense_odd(rng):
    return chain(rng, (12, 10, 7), -90, 127), {}


def case_dense_odd_nine_bits(rng):
    return chain(rng, (12, 10, 7), -150, 253), {}


def case_one_sign(rng):
    layers = [
        dense(ints(rng, 0, 45, (9, 12))),
        dense(ints(rng, -255, -1, (8, 9)), bias=np.full(8, 60)),
        dense(ints(rng, 0, 255, (6, 8))),
    ]
    return layers, {}


def case_slips(rng):
    """Matrices of which NetX and Lava make others."""
    cell = neuron(vThMant=2)
    powers = ints(rng, -64, -1, (8, 10))
    powers[0, 0] = -64
    layers = [
        dense(ints(rng, -300, 300, (10, 12)), bias=ints(rng, 0, 30, 10)),
        dense(powers, cell, bias=np.full(8, 5)),
        dense(-2 * (rng.random((7, 8)) < 0.5), cell, bias=np.full(7, 5)),
        dense(ints(rng, 0, 300, (6, 7)), cell, bias=np.full(6, 3)),
        dense(np.full((5, 6), -256), cell, bias=np.full(5, 7)),
    ]
    return layers, {}


def case_fractions(rng):
    weight = rng.uniform(-60, 90, (8, 12)).round(1)
    return [dense(weight, bias=rng.uniform(-3, 9, 8).round(1))], {}


def case_no_neuron(rng):
    layers = chain(rng, (12, 10), -90, 127)
    return [*layers, dense(ints(rng, -40, 50, (4, 10), 2), None)], {}


def case_registers(rng):
    """Every register per neuron."""
    cell = neuron(
        "CUBA",
        iDecay=ints(rng, 100, 4096, 10),
        vDecay=ints(rng, 0, 4096, 10),
        vThMant=ints(rng, 5, 90, 10),
    )
    return [dense(ints(rng, -90, 127, (10, 12)), cell, bias=ints(rng, -3, 9, 10))], {}


def case_recurrent(rng):
    layers = [
        recurrent(ints(rng, 0, 60, (9, 12)), ints(rng, -80, 40, (9, 9)), bias=ints(rng, 0, 5, 9)),
        recurrent(ints(rng, -90, 120, (6, 9)), ints(rng, -127, -1, (6, 6))),
    ]
    return layers, {}


def case_recurrent_nine_bits(rng):
    """One-sign halves that the width of the whole turns to zeros."""
    halves = ints(rng, 0, 250, (9, 12)), ints(rng, -201, 40, (9, 9))
    return [recurrent(*halves, bias=ints(rng, 0, 8, 9))], {}


def case_delay_scalar(rng):
    layers = chain(rng, (12, 10), -90, 127)
    return [*layers, dense(ints(rng, -90, 127, (7, 10)), delay=3)], {}


def case_delay_outputs(rng):
    layers = chain(rng, (12, 10), -90, 127)
    delay = rng.integers(0, 9, 7).astype(np.float32)
    return [*layers, dense(ints(rng, -90, 127, (7, 10)), delay=delay)], {}


def case_delay_inputs(rng):
    layers = chain(rng, (12, 10), -90, 127)
    delay = rng.integers(0, 8, 10).astype(np.float32)
    delay[:2] = 62, 79
    return [*layers, dense(ints(rng, -90, 127, (7, 10), 2), delay=delay)], {}


def case_delay_weights(rng):
    delay = rng.integers(0, 6, (10, 12)).astype(np.float32)
    return [dense(ints(rng, -90, 127, (10, 12)), delay=delay)], {}


def case_conv(rng):
    """Axes of different extent everywhere, so that no two can be exchanged unseen."""
    layers = [
        input_layer((2, 9, 7)),
        conv(
            ints(rng, -40, 60, (4, 2, 3, 2)),
            (4, 5, 8),
            stride=(2, 1),
            padding=(1, 1),
            bias=ints(rng, -9, 20, 4),
        ),
        conv(
            ints(rng, -60, 90, (6, 2, 2, 3)),
            (6, 4, 4),
            padding=(0, 1),
            stride=(1, 2),
            groups=2,
        ),
        flatten(96),
        dense(ints(rng, -60, 90, (5, 96)), bias=ints(rng, -5, 5, 5)),
    ]
    return layers, {}


def case_conv_dilated(rng):
    cell = neuron(vThMant=ints(rng, 20, 60, 3), vDecay=ints(rng, 100, 900, (6, 5, 3)))
    bias = ints(rng, -5, 15, (6, 5, 3))
    kernel = ints(rng, -400, 600, (3, 3, 3, 2))
    layers = [
        input_layer((3, 9, 8)),
        conv(kernel, (3, 5, 6), dilation=(2, 2), cell=cell, bias=bias),
    ]
    return layers, {}


def case_reset(rng):
    layers = chain(rng, (12, 10, 8, 7), -90, 127)
    return layers, {"reset_interval": 5, "reset_offset": 2}


def case_reset_from_bias(rng):
    """Every layer fires from its bias alone, from its first step on."""
    cell = neuron(vThMant=8)
    layers = [
        dense(ints(rng, -90, 127, (n, m)), cell, bias=ints(rng, 9, 30, n))
        for m, n in ((12, 10), (10, 7))
    ]
    return layers, {"reset_interval": 7}


def case_graded(rng):
    return chain(rng, (12, 8), -30, 40), {"input_message_bits": 8}


def case_graded_conv(rng):
    kernel = ints(rng, -20, 25, (3, 2, 2, 2))
    layers = [input_layer((2, 4, 5)), conv(kernel, (3, 3, 4), bias=ints(rng, -9, 20, 3))]
    return layers, {"input_message_bits": 6}


def case_input_neurons(rng):
    """lava-dl's user multiplies by the weight and adds the bias, 7 and 3 here."""
    cell = neuron(iDecay=4096, vDecay=1024, vThMant=25)
    layers = [
        input_layer((2, 5, 4), cell, weight=np.float32([7.0]), bias=np.float32([3.0])),
        conv(ints(rng, -40, 60, (3, 2, 2, 2)), (3, 4, 3), bias=ints(rng, 5, 30, 3)),
        flatten(36),
        dense(ints(rng, -60, 90, (5, 36)), bias=ints(rng, -5, 9, 5)),
    ]
    return layers, {"reset_interval": 9}


def random_matrix(rng):
    """Return small integers with the edges of all sign modes among them."""
    low = rng.choice([0, -1, -2, -3, -64, -127, -128, -129, -255, -256, -257, -300])
    high = rng.choice([0, 1, 2, 3, 64, 127, 128, 129, 253, 254, 255, 256, 300])
    step = 2 ** rng.integers(0, 4)
    weight = step * (rng.integers(low, high + 1, (3, 4)) // step)
    weight[rng.integers(3), rng.integers(4)] = rng.choice([low, high])
    weight[0, 0] = low if rng.random() < 0.5 else high
    return weight


def make_weights(matrices=600):
    """Keep what NetX and Lava make of random matrices: weights, exponent, declared bits.

    Of a matrix that NetX cannot shift (it is all zero) nothing is kept.
    """
    import_netx()
    from lava.lib.dl.netx.utils import optimize_weight_bits
    from lava.utils.weightutils import clip_weights, determine_sign_mode, truncate_weights

    rng, rows = np.random.default_rng(5), []
    while len(rows) < matrices:
        weight = random_matrix(rng)
        if not weight.any():
            continue
        shifted, bits, exponent, _ = optimize_weight_bits(weight)
        mode = determine_sign_mode(shifted)
        held = truncate_weights(clip_weights(shifted, mode, num_bits=8), mode, bits)
        rows.append((weight, held, exponent, bits))
    names = ("weight", "held", "weight_exp", "weight_bits")
    columns = (np.array(c).astype(np.int32) for c in zip(*rows, strict=True))
    np.savez_compressed(FOLDER / "weights.npz", **dict(zip(names, columns, strict=True)))


def stimulus(rng, name, shape):
    """Return codes [T, N] in the order (C, H, W)."""
    if "graded" in name:
        return rng.integers(0, 40, (STEPS, int(np.prod(shape))))
    if "input_neurons" in name:
        return rng.integers(0, 9, (STEPS, int(np.prod(shape))))
    return (rng.random((STEPS, int(np.prod(shape)))) < 0.35).astype(int)


def lava_axes(values, shape):
    """Return [T, N] in the order (C, H, W) as lava's (W, H, C, T), or (N, T)."""
    if len(shape) == 1:
        return values.T
    return values.reshape(-1, *shape).transpose(3, 2, 1, 0)


def our_axes(values):
    """Undo ``lava_axes``."""
    return values.transpose(*range(values.ndim - 1, -1, -1)).reshape(values.shape[-1], -1)


def import_netx():
    """Import lava-dl's NetX without torch and without SLAYER."""
    sys.modules["torch"] = MagicMock()
    for name in ("slayer", "slayer.neuron", "slayer.neuron.rf"):
        module = types.ModuleType(f"lava.lib.dl.{name}")
        module.__path__, module.neuron_params = [], None
        sys.modules[module.__name__] = module
    from lava.lib.dl.netx import hdf5

    return hdf5


def run_netx(path, x, options):
    """Return spikes, u and v of every layer, [T, N]."""
    hdf5 = import_netx()
    from lava.magma.core.run_conditions import RunSteps
    from lava.magma.core.run_configs import Loihi2SimCfg
    from lava.proc import io

    net = hdf5.Network(net_config=str(path), **options)
    steps = x.shape[-1]
    source = io.source.RingBuffer(data=x.astype(np.int32))
    # lava-dl leaves the port of an input block with neurons unconnected.
    into = net.inp if hasattr(net.in_layer, "synapse") else net.in_layer.neuron.a_in
    source.s_out.connect(into)
    sinks = {}
    for number, layer in enumerate(net.layers):
        spikes = io.sink.RingBuffer(shape=layer.neuron.s_out.shape, buffer=steps)
        layer.neuron.s_out.connect(spikes.a_in)
        sinks[f"{number}/spikes"] = spikes
        for quantity in ("u", "v"):
            sinks[f"{number}/{quantity}"] = io.sink.Read(buffer=steps)
            sinks[f"{number}/{quantity}"].connect_var(getattr(layer.neuron, quantity))
    net.run(condition=RunSteps(num_steps=steps), run_cfg=Loihi2SimCfg(select_tag="fixed_pt"))
    found = {name: our_axes(np.asarray(sink.data.get())) for name, sink in sinks.items()}
    net.stop()
    return found


def make(name):
    seed = sum(map(ord, name))
    rng = np.random.default_rng(seed)
    layers, netx_options = globals()[f"case_{name}"](rng)
    path = write(FOLDER / f"{name}.net", layers)
    given = layers[0]["type"] == "input"
    shape = tuple(layers[0]["shape"]) if given else (layers[0]["weight"].shape[1],)
    codes = stimulus(rng, name, shape)
    sent = codes * 7 + 3 if name == "input_neurons" else codes
    x = lava_axes(sent, shape)
    records = run_netx(path, x, netx_options)
    narrow = {
        key: value.astype(np.uint8 if key.endswith("spikes") else np.int32)
        for key, value in records.items()
    }
    options = dict(netx_options)
    if "input_message_bits" in options:
        options["input_bits"] = options.pop("input_message_bits")
    np.savez_compressed(
        FOLDER / f"{name}.npz",
        codes=codes.astype(np.uint8),
        options=json.dumps(options),
        **narrow,
    )
    rates = [round(float(v.mean()), 3) for k, v in records.items() if k.endswith("spikes")]
    sys.stdout.write(f"{name}: spikes per neuron and step {rates}\n")


CASES = [key.removeprefix("case_") for key in dict(globals()) if key.startswith("case_")]

if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name in sys.argv[1:] or [*CASES, "weights"]:
        make_weights() if name == "weights" else make(name)
