"""Synapses written from the specification, in two separate ways, for tests only. Plain numpy.

``LogicalSynapse`` lists every weight by plain loops (of a convolution: output position by output
position, channel by channel, kernel element by kernel element) and brings what was sent its logical
delay before. ``BufferedSynapse`` works as the processes of Lava do: one matrix and one delay line
for each delay, a convolution as Lava's (axes W, H, C, flipped kernel, padded input), and what is
sent in one hardware step is seen 1 + delay steps later.

Neither uses ``FixedSynapse.connections()`` nor anything of neurodeploy's simulator.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from neurodeploy.network.connections import ALWAYS_ON, INPUT
from neurodeploy.network.fixed import ConvLayout, FixedPointNetwork, FixedSynapse, SparseLayout


def wrap32(x):
    """Reduce int64 to what an int32 would hold."""
    return ((x + 2**31) & (2**32 - 1)) - 2**31


def shifted_sum(exact, exponent):
    """Return the int32 shift of an int64 sum of products, and where it left 32 bits on the way."""
    acc = wrap32(exact)
    shifted = acc << exponent if exponent > 0 else acc >> -exponent
    total = wrap32(shifted)
    return total, (acc != exact) | (total != shifted)


def conv_sum(exact):
    """Return a convolution's sum wrapped into 24 bits, and where the wrap changed it."""
    total = ((exact + 2**23) % 2**24) - 2**23
    return total, total != exact


def message(synapse: FixedSynapse, sent):
    """Return what the synapse multiplies: the payload if graded, else 1 for anything not zero."""
    return sent if synapse.message_bits > 0 else (sent != 0).astype(np.int64)


def literal_terms(synapse: FixedSynapse) -> np.ndarray:
    """Return int64 [terms, 4]: target, source, weight, delay of every weight that is not zero."""
    terms = [t for t in _all_terms(synapse) if t[2] != 0]
    return np.array(terms, np.int64).reshape(-1, 4)


def _all_terms(synapse: FixedSynapse):
    delay = np.broadcast_to(np.asarray(synapse.delay), synapse.weight.shape).tolist()
    weight = synapse.weight.tolist()
    if isinstance(synapse.layout, ConvLayout):
        yield from _conv_terms(weight, synapse.layout)
    elif isinstance(synapse.layout, SparseLayout):
        start, source = synapse.layout.indptr.tolist(), synapse.layout.indices.tolist()
        for i in range(len(start) - 1):
            for k in range(start[i], start[i + 1]):
                yield i, source[k], weight[k], delay[k]
    else:
        for i, row in enumerate(weight):
            for j, w in enumerate(row):
                yield i, j, w, delay[i][j]


def _conv_terms(kernel, layout: ConvLayout):
    (_, height, width), (channels, rows, columns) = layout.input_shape, layout.output_shape
    per_group = channels // layout.groups
    for o in range(channels):
        first = (o // per_group) * len(kernel[o])
        for y in range(rows):
            for x in range(columns):
                target = (o * rows + y) * columns + x
                for c, plane in enumerate(kernel[o]):
                    for i, line in enumerate(plane):
                        for j, w in enumerate(line):
                            in_y = y * layout.stride[0] + i * layout.dilation[0] - layout.padding[0]
                            in_x = x * layout.stride[1] + j * layout.dilation[1] - layout.padding[1]
                            if 0 <= in_y < height and 0 <= in_x < width:
                                yield target, ((first + c) * height + in_y) * width + in_x, w, 0


class LogicalSynapse:
    """A synapse on the logical axis: what is felt at step t was sent its logical delay before."""

    def __init__(self, net: FixedPointNetwork, synapse: FixedSynapse):
        latency = {INPUT: 0, **{p.name: p.latency for p in net.populations}}
        # A gain on graded messages takes a step of its own.
        own = int(net.population(synapse.target).gain_form == "graded")
        self.synapse = synapse
        self.size = net.population(synapse.target).size
        terms = literal_terms(synapse)
        self.met = np.bincount(terms[:, 1], minlength=synapse.size_in)
        self.slots = []
        for delay in np.unique(terms[:, 3]).tolist():
            later = 0
            if synapse.source != ALWAYS_ON:
                later = latency[synapse.source] + 1 + delay + own - latency[synapse.target]
            target, source, weight, _ = terms[terms[:, 3] == delay].T
            self.slots.append((later, target, source, weight))

    def felt(self, sent, t):
        """Yield (part, where it left 32 bits), both [B, out], of each delay that brings something.

        ``sent`` lists what the source sent in steps 1, 2, ...
        """
        for later, target, source, weight in self.slots:
            if t - later < 1:
                continue
            s = message(self.synapse, sent[t - later - 1])
            exact = np.zeros((self.size, len(s)), np.int64)
            np.add.at(exact, target, s.T[source] * weight[:, None])
            conv = isinstance(self.synapse.layout, ConvLayout)
            yield conv_sum(exact.T) if conv else shifted_sum(exact.T, self.synapse.weight_exp)

    def operations(self, sent):
        """Return events times the weights they meet, int64 [B]."""
        return (sent != 0).astype(np.int64) @ self.met


class BufferedSynapse:
    """A synapse on the hardware axis: one delay line per delay; call ``arriving``, then ``send``."""

    def __init__(self, synapse: FixedSynapse, batch: int):
        self.synapse = synapse
        if isinstance(synapse.layout, ConvLayout):
            self.matrices = {0: None}
        else:
            self.matrices = _slot_matrices(synapse)
        nothing = (np.zeros((batch, synapse.size_out), np.int64), np.zeros((batch, 1), bool))
        self.lines = {d: deque([nothing] * (d + 1)) for d in self.matrices}

    def arriving(self):
        """Return (part, where it left 32 bits) of each delay, ascending, for this step."""
        return [self.lines[d][0] for d in sorted(self.lines)]

    def send(self, sent):
        """Take what the source sends in this step; return the operations int64 [B]."""
        for delay, part in self.slot_sums(message(self.synapse, sent)).items():
            self.lines[delay].popleft()
            self.lines[delay].append(part)
        if isinstance(self.synapse.layout, ConvLayout):
            used = (self.synapse.weight != 0).astype(np.int64)
            return lava_convolution((sent != 0).astype(np.int64), used, self.synapse.layout).sum(1)
        used = sum((m != 0).sum(axis=0) for m in self.matrices.values())
        return ((sent != 0) * used).sum(axis=1)

    def slot_sums(self, s):
        """Return {delay: (part, where it left 32 bits)} for messages ``s`` [B, in]."""
        if isinstance(self.synapse.layout, ConvLayout):
            kernel = self.synapse.weight.astype(np.int64)
            return {0: conv_sum(lava_convolution(s, kernel, self.synapse.layout))}
        exponent = self.synapse.weight_exp
        return {d: shifted_sum(s @ m.T, exponent) for d, m in self.matrices.items()}


def _slot_matrices(synapse: FixedSynapse):
    """Return {delay: int64 [out, in]}: the weights that have this delay, zero elsewhere."""
    delay = np.asarray(synapse.delay)
    if isinstance(synapse.layout, SparseLayout):
        entries, start = np.broadcast_to(delay, synapse.weight.shape), synapse.layout.indptr
        weight, delay = np.zeros((2, synapse.size_out, synapse.size_in), np.int64)
        for i in range(synapse.size_out):
            row = slice(start[i], start[i + 1])
            weight[i, synapse.layout.indices[row]] = synapse.weight[row]
            delay[i, synapse.layout.indices[row]] = entries[row]
    else:
        weight = synapse.weight.astype(np.int64)
    return {d: np.where(delay == d, weight, 0) for d in np.unique(synapse.delay).tolist()}


def lava_convolution(s, kernel, layout: ConvLayout):
    """Return Lava's true convolution of ``s`` [B, in] (C, H, W order) as int64 [B, out].

    ``out[x, y, k] = sum in_pad[x*sx + i*dx, y*sy + j*dy, c] * w[k, kx-1-i, ky-1-j, c]``
    """
    (c_in, height, width), (c_out, rows, columns) = layout.input_shape, layout.output_shape
    # torch's [o, c, y, x] becomes Lava's [o, x, y, c], flipped; axes of the data are W, H, C.
    w = kernel[:, :, ::-1, ::-1].transpose(0, 3, 2, 1)
    (sy, sx), (py, px), (dy, dx) = layout.stride, layout.padding, layout.dilation
    data = s.reshape(-1, c_in, height, width).transpose(0, 3, 2, 1)
    data = np.pad(data, ((0, 0), (px, px), (py, py), (0, 0)))
    out = np.zeros((len(data), columns, rows, c_out), np.int64)
    _, kx, ky, in_group = w.shape
    per_group = c_out // layout.groups
    for group in range(layout.groups):
        outs = slice(group * per_group, (group + 1) * per_group)
        ins = slice(group * in_group, (group + 1) * in_group)
        for i in range(kx):
            for j in range(ky):
                taken = data[:, i * dx :: sx, j * dy :: sy, ins][:, :columns, :rows]
                out[..., outs] += taken @ w[outs, kx - 1 - i, ky - 1 - j].T
    return out.transpose(0, 3, 2, 1).reshape(len(data), -1)
