"""A slow, literal step of float networks, for tests only: one neuron of one sample at a time.

Written from the docstrings of Population and Synapse, in Python floats; it imports the types of a
network and nothing of the simulator.
"""

import math

import numpy as np

from neurodeploy.network import ALWAYS_ON, INPUT, Convolution, Dense, Pool, Scale, Sparse


def run(net, values, dtype=np.float64):
    """Run on ``values`` [T, B, n_input]; return (records, counts) of everything."""
    records, counts = {}, {}
    for sample in range(values.shape[1]):
        one = _Sample(net, np.asarray(values[:, sample], dtype), dtype)
        for t in range(len(values)):
            one.step(t)
        for key, rows in one.records.items():
            records.setdefault(key, []).append(np.array(rows))
        for key, count in one.counts.items():
            counts.setdefault(key, []).append(count)
    stacked = {key: np.stack(samples, axis=1) for key, samples in records.items()}
    return stacked, {key: np.array(count) for key, count in counts.items()}


class _Sample:
    def __init__(self, net, values, dtype):
        self.net, self.values, self.dtype = net, values, dtype
        self.records = {}
        self.counts = {f"{p.name}/spikes": 0 for p in net.populations}
        self.counts |= {f"{s.name}/operations": 0 for s in net.synapses}
        self.v = {p.name: [dtype(x) for x in p.v_init] for p in net.populations}
        self.u = {p.name: [dtype(0)] * p.size for p in net.populations}
        self.spiked = {p.name: [dtype(0)] * p.size for p in net.populations}
        self.arrived = {p.name: [] for p in net.populations if p.kind == "delay"}
        self.silence = {p.name: np.zeros(p.size, dtype) for p in net.populations}
        self.silence |= {INPUT: np.zeros(net.n_input, dtype), ALWAYS_ON: np.zeros(1, dtype)}
        self.sent = []

    def step(self, t):
        now = {INPUT: self.values[t], ALWAYS_ON: np.ones(1, self.dtype)}
        for p in self.net.populations:
            # What a delay sends does not need what arrives in this step, if it waits.
            if p.kind == "delay" and (p.delay_steps >= 1).all():
                now[p.name] = self.delayed(p, None)
        for p in self.net.populations:
            x = np.zeros(p.size, self.dtype)
            for s in self.net.synapses_into(p.name):
                if s.silent_first and t == 0:
                    continue
                x = x + self.chain(s, self.carried(s, now))
            x = x + p.bias.astype(self.dtype)
            now[p.name] = self.send(p, x, t)
        self.sent.append(now)

    def carried(self, synapse, now):
        if synapse.delay_steps == 0:
            return now[synapse.source]
        past = synapse.delay_steps <= len(self.sent)
        return (self.sent[-synapse.delay_steps] if past else self.silence)[synapse.source]

    def chain(self, synapse, values):
        for operator in synapse.operators:
            values, met = apply(operator, values, self.dtype)
            self.counts[f"{synapse.name}/operations"] += met
        return values

    def send(self, p, x, t):
        if p.kind == "delay":
            sent = self.delayed(p, x)
            self.arrived[p.name].append(x)
        elif p.kind == "relay":
            sent = x
        elif p.kind == "threshold":
            sent = np.array([self.dtype(v > th) for v, th in zip(x, p.v_threshold, strict=True)])
            self.note(p, "spikes", sent)
        else:
            return np.array([self.neuron(p, i, x[i], t) for i in range(p.size)])
        if p.kind != "threshold":
            self.note(p, "y", sent)
        else:
            self.counts[f"{p.name}/spikes"] += int(sent.sum())
        return sent

    def delayed(self, p, x):
        sent = np.zeros(p.size, self.dtype)
        for i, d in enumerate(p.delay_steps):
            if d == 0:
                sent[i] = x[i]
            elif len(self.arrived[p.name]) >= d:
                sent[i] = self.arrived[p.name][-d][i]
        return sent

    def neuron(self, p, i, x, t):
        def number(array):
            return self.dtype(array[i])

        gain = 1.0 if p.gain is None else p.gain[min(t, len(p.gain) - 1)]
        v, threshold = self.v[p.name][i], number(p.v_threshold)
        if p.decay_u is None:
            drive = self.dtype(p.input_gain[i] * gain) * x
        else:
            u = self.u[p.name][i]
            u = u + number(p.decay_u) * (self.dtype(p.w_in[i] * gain) * x - u)
            self.u[p.name][i] = u
            drive = number(p.input_gain) * u
            self.note_one(p, "u", i, u)
        y = v + number(p.decay_v) * (number(p.v_leak) - v) + drive
        if p.kind == "li":
            decided, n, after = y, 0, y
        else:
            if p.reset == "subtract-late":
                # The spikes of the step before are paid for now, after decay and input.
                for _ in range(int(self.spiked[p.name][i])):
                    y = y - threshold
            decided = y
            if p.reset == "subtract-once" and v > threshold:
                decided = y - threshold
            if p.spikes == "multiple":
                n = max(0, math.floor(decided / threshold))
            else:
                n = int(decided > threshold)
            after = y
            if p.reset == "value" and n:
                after = number(p.v_reset)
            if p.reset in ("subtract", "subtract-once") and n:
                after = y - self.dtype(n) * threshold
        if p.v_min is not None:
            after = max(after, self.dtype(p.v_min))
        self.v[p.name][i], self.spiked[p.name][i] = after, n
        for quantity, value in (("v_pre", decided), ("v", after), ("spikes", n)):
            self.note_one(p, quantity, i, value)
        self.counts[f"{p.name}/spikes"] += n
        return after if p.kind == "li" else self.dtype(n)

    def note(self, p, quantity, row):
        self.records.setdefault(f"{p.name}/{quantity}", []).append(list(row))

    def note_one(self, p, quantity, i, value):
        rows = self.records.setdefault(f"{p.name}/{quantity}", [])
        if i == 0:
            rows.append([])
        rows[-1].append(value)


def apply(operator, x, dtype):
    """Return what an operator gives for ``x``, and how many non-zero products it made."""
    if isinstance(operator, Scale):
        weights = [[(i, f)] for i, f in enumerate(operator.factor)]
    elif isinstance(operator, Dense):
        weights = _dense(operator)
    elif isinstance(operator, Sparse):
        ends = zip(operator.indptr, operator.indptr[1:], strict=False)
        weights = [
            list(zip(operator.indices[a:b], operator.weight[a:b], strict=True)) for a, b in ends
        ]
    elif isinstance(operator, Convolution):
        weights = _convolution(operator)
    else:
        assert isinstance(operator, Pool)
        weights = _pool(operator)
    y, met = [], 0
    for row in weights:
        total = dtype(0)
        for j, w in row:
            total = total + x[j] * dtype(w)
            met += int(x[j] != 0 and w != 0)
        y.append(total)
    y = np.array(y, dtype)
    if isinstance(operator, Pool) and operator.kind == "average":
        y = y / dtype(operator.kernel[0] * operator.kernel[1])
    if operator.bias is not None:
        per_bias = len(y) // len(operator.bias)
        y = y + np.array([operator.bias[i // per_bias] for i in range(len(y))], dtype)
    return y, met


def _dense(operator):
    weight = operator.weight.reshape(-1, *operator.weight.shape[-2:])
    n_in = weight.shape[2]
    return [
        [(g * n_in + j, weight[g, i, j]) for j in range(n_in)]
        for g in range(len(weight))
        for i in range(weight.shape[1])
    ]


def _convolution(operator):
    """Give each output its (input index, weight) pairs; a 1-D convolution has one row."""
    one = len(operator.stride) == 1
    channels, *extent = operator.input_shape
    rows, columns = (1, *extent) if one else extent
    (s0, s1), (d0, d1) = ((1, *t) if one else t for t in (operator.stride, operator.dilation))
    (top, _), (left, _) = ((0, 0), *operator.padding) if one else operator.padding
    weight = operator.weight[:, :, None] if one else operator.weight
    n_out, per_group, height, width = weight.shape
    out_rows, out_columns = (1, *operator.output_shape[1:]) if one else operator.output_shape[1:]
    found = []
    for o in range(n_out):
        first = o // (n_out // operator.groups) * per_group
        for i in range(out_rows):
            for j in range(out_columns):
                pairs = []
                for c in range(per_group):
                    for a in range(height):
                        for b in range(width):
                            r, q = i * s0 + a * d0 - top, j * s1 + b * d1 - left
                            if 0 <= r < rows and 0 <= q < columns:
                                index = ((first + c) * rows + r) * columns + q
                                pairs.append((index, weight[o, c, a, b]))
                found.append(pairs)
    assert len(found) == operator.size_out
    assert channels == per_group * operator.groups
    return found


def _pool(operator):
    rows, columns = operator.input_shape[-2:]
    planes = operator.size_in // (rows * columns)
    found = []
    for plane in range(planes):
        for i in range(operator.output_shape[-2]):
            for j in range(operator.output_shape[-1]):
                pairs = []
                for a in range(operator.kernel[0]):
                    for b in range(operator.kernel[1]):
                        r = i * operator.stride[0] + a - operator.padding[0]
                        q = j * operator.stride[1] + b - operator.padding[1]
                        if 0 <= r < rows and 0 <= q < columns:
                            pairs.append(((plane * rows + r) * columns + q, 1.0))
                found.append(pairs)
    return found
