"""A paused run as bytes: exact, whole or refused, and the same bytes each time."""

import json
import math
import struct

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from tunekit.errors import ConfigError
from tunekit.states import from_bytes, to_bytes, weights_to_bytes
from tunekit.trial import Metrics, State

FLOATS = st.floats(width=64)
DTYPES = (torch.float32, torch.float64, torch.int64)


CURVE = (Metrics(0.5, 0.25, 0.75, 1.0, 1e-3, 0.125),)


def state_of(tensors=None, curve=CURVE, steps=12, best_epoch=1):
    if tensors is None:
        tensors = {
            "net.output.weight": torch.randn(3, 4),
            "net.hidden.1.num_batches_tracked": torch.tensor(12),
            "best.output.weight": torch.randn(3, 4, dtype=torch.float64),
        }
    return State(tensors=tensors, steps=steps, best_epoch=best_epoch, curve=[*curve])


def bits(value):
    return struct.pack("<d", value)


def same_floats(found, expected):
    """NaN is one value here; all others are equal to the bit, with their sign."""
    if math.isnan(expected):
        return math.isnan(found)
    return bits(found) == bits(expected)


@given(st.lists(st.tuples(*[FLOATS] * 6), max_size=5))
@example([(math.nan, math.inf, -math.inf, -0.0, 5e-324, 0.1 + 0.2)])
def test_every_number_of_the_curve_comes_back(rows):
    curve = [Metrics(*row) for row in rows]
    again = from_bytes(to_bytes(state_of(curve=curve))).curve
    assert len(again) == len(rows)
    for each, row in zip(again, rows, strict=True):
        found = (
            *(each.train_loss, each.val_loss, each.train_score, each.val_score),
            *(each.lr, each.seconds),
        )
        assert all(type(value) is float for value in found)
        assert all(map(same_floats, found, row))


@given(
    st.lists(st.integers(0, 3), max_size=3),
    st.sampled_from(DTYPES),
    st.integers(0, 2**62),
    st.integers(0, 500),
)
def test_every_bit_of_the_tensors_comes_back(shape, dtype, steps, best_epoch):
    size = math.prod(shape)
    raw = np.random.default_rng(size).bytes(size * dtype.itemsize)
    value = torch.frombuffer(bytearray(raw), dtype=dtype) if size else torch.empty(0)
    value = value.to(dtype).reshape(shape)
    state = state_of({"net.a": value, "first.a": value + 1}, (), steps, best_epoch)
    again = from_bytes(to_bytes(state))
    assert (again.steps, again.best_epoch) == (steps, best_epoch)
    assert again.tensors.keys() == state.tensors.keys()
    for name, tensor in state.tensors.items():
        assert (again.tensors[name].shape, again.tensors[name].dtype) == (
            tensor.shape,
            dtype,
        )
        assert again.tensors[name].numpy().tobytes() == tensor.numpy().tobytes()


def test_equal_states_are_equal_bytes_in_whatever_order():
    state = state_of()
    turned = state_of(dict(reversed(state.tensors.items())))
    assert to_bytes(turned) == to_bytes(state)
    assert to_bytes(from_bytes(to_bytes(state))) == to_bytes(state)
    assert to_bytes(state_of(state.tensors, steps=13)) != to_bytes(state)


def test_a_view_that_is_not_contiguous_is_written_as_it_reads():
    value = torch.arange(6.0).view(2, 3).t()
    again = from_bytes(to_bytes(state_of({"net.a": value})))
    assert again.tensors["net.a"].equal(value)


def test_tensors_that_came_back_are_memory_of_their_own():
    data = to_bytes(state_of())
    before = bytes(data)
    for tensor in from_bytes(data).tensors.values():
        tensor.zero_()
    assert data == before


def test_others_can_read_it():
    state = state_of(curve=[Metrics(1.0, math.inf, 0.5, 0.5, 1e-3, 0.1)])
    data = to_bytes(state)
    tensors = safetensors.torch.load(data)
    assert tensors.keys() == state.tensors.keys()
    (length,) = struct.unpack_from("<Q", data)
    about = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["state"])
    assert about["curve"]["val_loss"] == ["inf"]
    assert about["steps"] == 12


def refused(data):
    with pytest.raises(ValueError, match="must be as it was written") as caught:
        from_bytes(data)
    assert "\n" not in str(caught.value)
    assert f"got {len(data)} bytes" in str(caught.value)
    return str(caught.value)


def test_a_flipped_bit_is_seen_wherever_it_is():
    data = to_bytes(state_of())
    for i in range(len(data)):
        flipped = bytearray(data)
        flipped[i] ^= 1 << (i % 8)
        assert refused(bytes(flipped))


@pytest.mark.parametrize("length", [0, 1, 7, 8, 9, 200, -9, -1])
def test_torn_bytes_are_refused(length):
    assert refused(to_bytes(state_of())[:length])


@pytest.mark.parametrize(
    "data",
    [
        b"\0" * 100,
        b"\xff" * 100,
        to_bytes(state_of()) + b"\0",
        safetensors.torch.save({"a": torch.zeros(2)}),
        safetensors.torch.save({"a": torch.zeros(2)}, {"state": "{}"}),
        safetensors.torch.save({"a": torch.zeros(2)}, {"state": '{"sha256": 3}'}),
        safetensors.torch.save({"a": torch.zeros(2)}, {"state": '{"sha256": ""}'}),
    ],
    ids=["zeros", "ones", "longer", "plain", "empty", "number", "no digest"],
)
def test_other_bytes_are_refused(data):
    assert refused(data)


def test_whole_but_of_another_kind_is_refused():
    """As a later version might write it: its checksum is right."""
    import hashlib

    zeros = "0" * 64
    about = json.dumps({"steps": 1, "sha256": zeros})
    data = safetensors.torch.save({"a": torch.zeros(2)}, {"state": about})
    digest = hashlib.sha256(data).hexdigest()
    assert "KeyError" in refused(data.replace(zeros.encode(), digest.encode()))


def test_a_dtype_that_no_file_can_hold_is_refused_in_one_line():
    odd = {"w": torch.ones(1, dtype=torch.complex128)}
    for write in (weights_to_bytes, lambda odd: to_bytes(state_of(odd))):
        with pytest.raises(ConfigError, match=r"got torch.complex128; .*") as caught:
            write(odd)
        assert "\n" not in str(caught.value)


def test_a_state_is_of_one_run():
    data = to_bytes(state_of(), "study/7/abc")
    assert from_bytes(data).steps == from_bytes(data, "study/7/abc").steps == 12
    with pytest.raises(ValueError, match="another run"):
        from_bytes(data, "study/8/abc")
    with pytest.raises(ValueError, match="another SHA-256"):
        from_bytes(data.replace(b"study/7", b"study/8"), "study/8/abc")
