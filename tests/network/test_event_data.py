"""Events of files: binned as a loop bins them, streamed alike, and refused where they are wrong."""

import dataclasses
import tracemalloc

import h5py
import numpy as np
import pytest

from neurodeploy.errors import FileFormatError, InputError, ShapeError
from neurodeploy.network import ConstantEncoder, EventsEncoder, EventStimuli, load_stimuli
from neurodeploy.network.encoded_sequence import EncodedSequence
from neurodeploy.network.event_data import EventGrid, Events, events_in

N, STEPS = 6, 9


def some(seed, counts=(4, 0, 11, 1), payload=False, seconds=False):
    rng = np.random.default_rng(seed)
    total = sum(counts)
    t = rng.integers(0, STEPS, total)
    return Events(
        t * 1e-3 if seconds else t, rng.integers(0, N, total),
        rng.integers(1, 5, total).astype(float) if payload else None,
        np.concatenate([[0], np.cumsum(counts)]),
    )  # fmt: skip


def by_loop(events, dt_s=None):
    x = np.zeros((STEPS, len(events), N))
    for sample in range(len(events)):
        for e in range(events.offsets[sample], events.offsets[sample + 1]):
            t = events.t[e] if dt_s is None else round(events.t[e] / dt_s)
            x[int(t), sample, events.index[e]] += 1 if events.payload is None else events.payload[e]
    return x


def write(path, events, **more):
    arrays = {f"events/{n}": getattr(events, n) for n in ("t", "index", "payload", "offsets")}
    arrays = {k: v for k, v in (arrays | more).items() if v is not None}
    if path.suffix == ".npz":
        np.savez(path, **arrays)
        return path
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name] = array
    return path


@pytest.mark.parametrize("suffix", [".npz", ".h5"])
@pytest.mark.parametrize("payload", [False, True])
@pytest.mark.parametrize("seconds", [False, True])
def test_binned_as_a_loop_bins_them(tmp_path, suffix, payload, seconds):
    events = some(1, payload=payload, seconds=seconds)
    path = write(tmp_path / f"e{suffix}", events, y=np.array([2, 0, 1, 1]))
    stimuli = load_stimuli(path)
    assert isinstance(stimuli, EventStimuli)
    dense, findings = stimuli.in_steps(N, STEPS, 1e-3)
    assert np.array_equal(dense.values, by_loop(events, 1e-3 if seconds else None))
    assert dense.labels.tolist() == [2, 0, 1, 1]
    assert findings == ()
    assert np.array_equal(stimuli.only(2).in_steps(N, STEPS, 1e-3)[0].values, dense.values[:, 2:3])
    first = stimuli.first(3).in_steps(N, STEPS, 1e-3)[0]
    assert np.array_equal(first.values, dense.values[:, :3])
    assert first.labels.tolist() == [2, 0, 1]


def test_times_in_seconds_fall_into_their_step():
    dt = 1e-3
    t = np.array([0.0, 0.0009999, 0.003, 3 * dt, 0.1 + 0.2, 0.00099999999999])
    events = Events(t, np.arange(6), None, np.array([0, 6]))
    dense = EventGrid(events, 400, 6, dt)[0:400, 0:1]
    assert [int(dense[:, 0, i].argmax()) for i in range(6)] == [0, 0, 3, 3, 300, 1]


def test_late_events_are_counted_and_left_out():
    events = some(2)
    stimuli = EventStimuli(events, None)
    dense, (finding,) = stimuli.in_steps(N, 4, None)
    assert np.array_equal(dense.values, by_loop(events)[:4])
    assert finding.numbers == {"late": int((events.t >= 4).sum()), "events": 16, "steps": 4}
    open_ended, _ = stimuli.in_steps(N, None, None)
    assert open_ended.values.shape[0] == events.t.max() + 1
    nothing = EventStimuli(some(0, counts=(0, 0)), None)
    assert nothing.in_steps(N, None, None)[0].values.shape == (1, 2, N)


@pytest.mark.parametrize("payload", [False, True])
def test_blocks_of_a_file_are_the_codes_of_what_it_holds(tmp_path, payload):
    counts = tuple(np.random.default_rng(3).integers(0, 40, 13))
    events = some(3, counts, payload)
    encoder = EventsEncoder(ConstantEncoder(0.0, 3.0, 2)) if payload else EventsEncoder()
    expected = encoder.encode(by_loop(events))
    with h5py.File(write(tmp_path / "e.h5", events), "r") as file:
        stored = events_in({f"events/{k}": v for k, v in file["events"].items()})
        sequence = EncodedSequence(EventGrid(stored, STEPS, N, None), encoder)
        for t, end, first, last in [(0, 9, 0, 13), (2, 5, 3, 4), (8, 9, 0, 13), (0, 9, 12, 13)]:
            assert np.array_equal(sequence[t:end, first:last], expected[t:end, first:last])


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"offsets": np.array([0, 9, 4, 16])}, r"not sorted: 4 follows 9 \(sample 1\)"),
        ({"offsets": np.array([0, 4])}, "from 0 to 4; must begin at 0 and end at .*, 16"),
        ({"offsets": np.array([1, 16])}, "from 1 to 16"),
        ({"offsets": np.array([16])}, r"needs integers \[B \+ 1\]"),
        ({"offsets": np.array([0.0, 16.0])}, "needs integers"),
        ({"offsets": np.array([0, 2**64 - 1], np.uint64)}, "beyond any file"),
        ({"t": np.full(16, "a")}, "events/t: <U1"),
        ({"t": np.zeros((4, 4))}, r"events/t: float64 \(4, 4\)"),
        ({"index": np.zeros(16)}, "events/index: float64 .* needs integers"),
        ({"index": np.zeros(5, int)}, "5 entries beside 16"),
        ({"payload": np.ones(3)}, "3 entries beside 16"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(changes, text):
    with pytest.raises((ShapeError, InputError), match=text):
        dataclasses.replace(some(1), **changes)


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("index", N, r"events/index\[7\] \(sample 2\) is 6; needs 0..5"),
        ("index", -1, r"is -1; needs 0..5"),
        ("t", -1, r"events/t\[7\] \(sample 2\) is -1; needs a finite time from 0"),
        ("t", 2**40, r"needs fewer than 2\*\*31 steps"),
        ("t", np.nan, r"events/t\[7\] \(sample 2\) is nan; needs a finite time"),
        ("t", np.inf, "is inf"),
        ("t", -1e-9, "needs a finite time from 0"),
        ("payload", np.nan, r"events/payload\[7\] \(sample 2\) is nan; needs a finite number"),
    ],
)
def test_single_events_that_are_wrong_are_named(tmp_path, name, value, text):
    events = some(1, payload=True, seconds=isinstance(value, float))
    array = getattr(events, name).copy()
    array[7] = value
    events = dataclasses.replace(events, **{name: array})
    stimuli = load_stimuli(write(tmp_path / "e.npz", events))
    with pytest.raises(InputError, match=text):
        stimuli.in_steps(N, STEPS, 1e-3)


def test_seconds_need_a_length_of_a_step():
    with pytest.raises(InputError, match="nothing says how long a step is"):
        EventStimuli(some(1, seconds=True), None).in_steps(N, STEPS, None)


def test_files_that_hold_too_little_or_too_much_are_refused(tmp_path):
    events = some(1)
    np.savez(tmp_path / "a.npz", **{"events/t": events.t})
    with pytest.raises(FileFormatError, match="lacks events/index, events/offsets"):
        load_stimuli(tmp_path / "a.npz")
    write(tmp_path / "b.npz", events, x=np.zeros((3, 2, N)))
    with pytest.raises(FileFormatError, match="either images"):
        load_stimuli(tmp_path / "b.npz")
    write(tmp_path / "c.npz", events, y=np.zeros(3))
    with pytest.raises(ShapeError, match="does not fit 4"):
        load_stimuli(tmp_path / "c.npz")


def test_little_memory_stands_beside_the_codes_of_events(tmp_path):
    rng = np.random.default_rng(0)
    counts = np.full(40, 20_000)
    events = Events(
        rng.integers(0, 50, counts.sum()), rng.integers(0, 500, counts.sum()), None,
        np.concatenate([[0], np.cumsum(counts)]),
    )  # fmt: skip
    with h5py.File(write(tmp_path / "e.h5", events), "r") as file:
        stored = events_in({f"events/{k}": v for k, v in file["events"].items()})
        sequence = EncodedSequence(EventGrid(stored, 50, 500, None), EventsEncoder())
        sequence[0:1, 0:1]
        tracemalloc.start()
        stored.check(500, 50, None)
        block = sequence[0:50, 0:40]
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    # Beside the codes: the values of a few samples, and a piece of the file.
    assert peak - block.nbytes < 12 * 2**20
    assert block.nbytes == 2 * 50 * 40 * 500
