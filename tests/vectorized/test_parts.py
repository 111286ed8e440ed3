"""The parts of a stack: masks, activations, where runs lie, a run's saved state."""

import pickle
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tunekit.mlp import MLP
from tunekit.seeds import keep_mask, keep_on_device, seed_for
from tunekit.trial import ACTIVATIONS, Metrics, Recipe
from tunekit.vectorized.arithmetic import backward_, forward
from tunekit.vectorized.layout import ALIGNED, Memory, columns_of, in_order
from tunekit.vectorized.masks import Masks
from tunekit.vectorized.member import Member
from tunekit.vectorized.stack import Rows, Stack

from .conftest import N_CLASSES, NARROW, SMALL_RUNS, assert_close, runs_of

X = torch.as_tensor(NARROW[0])


def members_of(runs):
    return [Member(run, 5, N_CLASSES, X, None) for run in runs]


ONE_STACK = [
    replace(run, recipe=run.recipe.with_params({"batch_size": 16}))
    for run in SMALL_RUNS[:16]
]

recipes = st.builds(
    Recipe,
    n_layers=st.integers(0, 4),
    width=st.integers(1, 40),
    shape=st.sampled_from(["block", "funnel"]),
    activation=st.sampled_from(ACTIVATIONS),
    dropout=st.sampled_from([0.0, 0.1, 0.5, 0.999]),
    batch_size=st.just(16),
)
some_recipes = st.lists(recipes, min_size=1, max_size=6)


def epoch_of(member, epoch):
    member.curve = [Metrics(1.0, 1.0, 0.0, 0.0, 0.0, 0.0)] * epoch


# --- Masks --------------------------------------------------------------------------


@settings(max_examples=40)
@given(some_recipes, st.integers(0, 5), st.integers(0, 3), st.integers(1, 4))
def test_masks_are_those_of_each_run_alone(recipes, epoch, first, n_steps):
    members = in_order(members_of(runs_of(recipes)))
    for k, member in enumerate(members):
        epoch_of(member, epoch + k)  # neighbours are in different epochs
    layers = columns_of(members) if any(m.widths for m in members) else []
    masks = Masks(members, layers, 8, 17, X)
    masks.begin()
    for layer, columns in enumerate(layers):
        for n_rows in (16, 3, 17):
            found = masks.of(layer, first, n_steps, n_rows)
            drops = [members[k].run.recipe.dropout for k in columns.members]
            if not any(drops):
                assert found == []
                continue
            assert len(found) == n_steps
            for step, factors in enumerate(found, start=first):
                assert factors.shape == (n_rows, columns.total)
                assert factors.dtype == X.dtype
                for k, start, width, drop in zip(
                    columns.members, columns.starts, columns.widths, drops, strict=True
                ):
                    run = members[k].run
                    kept = keep_mask(
                        seed_for(run.seed, run.key, "dropout"),
                        members[k].epoch,
                        step,
                        layer,
                        (n_rows, width),
                        drop,
                    )
                    expected = kept.to(X) / (1.0 - drop)
                    mine = factors[:, start : start + width]
                    assert torch.allclose(mine, expected, rtol=1e-15, atol=0)


def test_masks_of_a_device_are_those_of_the_cpu():
    rows = torch.tensor([1, 2**31 + 5, 2**32 - 1])
    units = torch.tensor([3, 2**32 - 1, 77, 2**31 + 1])
    found = keep_on_device(rows, units, 30_000)
    assert found.shape == (3, 8)
    for b, row in enumerate(rows.tolist()):
        for p, unit in enumerate(units.tolist()):
            word = row * unit % 2**32
            word = (word ^ word >> 15) * 0x85EBCA6B % 2**32
            word ^= word >> 16
            assert found[b, 2 * p] == ((word & 0xFFFF) >= 30_000)
            assert found[b, 2 * p + 1] == ((word >> 16) >= 30_000)


# --- Activations --------------------------------------------------------------------


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_activations_and_derivatives_are_those_of_autograd(generator, name, dtype):
    y = torch.randn(6, 40, generator=generator, dtype=dtype) * 4
    y[0, :5] = torch.tensor([0.0, -50.0, 50.0, 1e-4, -1e-4])
    d = torch.randn(6, 40, generator=generator, dtype=dtype)
    modules = {"relu": nn.ReLU, "silu": nn.SiLU, "gelu": nn.GELU, "tanh": nn.Tanh}
    x = y.clone().requires_grad_()
    expected = modules[name]()(x)
    expected.backward(d)
    # Stretches of a wider matrix, as in a stack.
    wide, out, back = (torch.full((6, 48), 7.0, dtype=dtype) for _ in range(3))
    wide[:, 3:43], back[:, 3:43] = y, d
    with torch.no_grad():
        forward(name, wide[:, 3:43], out[:, 3:43])
        backward_(name, back[:, 3:43], wide[:, 3:43])
    precision = 1e-14 if dtype == torch.float64 else 1e-6
    assert torch.allclose(out[:, 3:43], expected, rtol=precision, atol=precision)
    assert torch.allclose(back[:, 3:43], x.grad, rtol=precision, atol=10 * precision)
    for matrix in (wide, out, back):
        assert (matrix[:, :3] == 7).all()
        assert (matrix[:, 43:] == 7).all()


def test_an_unknown_activation_is_an_error():
    with pytest.raises(ValueError, match="swish"):
        forward("swish", torch.zeros(1, 1), torch.zeros(1, 1))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_zero_stays_exactly_zero(name):
    """What lies between two runs is activated too."""
    y, out = torch.zeros(2, 3), torch.ones(2, 3)
    forward(name, y, out)
    assert (out == 0).all()


# --- Where runs lie -----------------------------------------------------------------


@settings(max_examples=60)
@given(some_recipes)
def test_columns_are_aligned_apart_and_activated_once(recipes):
    members = in_order(members_of(runs_of(recipes)))
    for layer, columns in enumerate(columns_of(members)):
        assert columns.members == [
            k for k, m in enumerate(members) if len(m.widths) > layer
        ]
        assert columns.widths == [members[k].widths[layer] for k in columns.members]
        assert all(start % ALIGNED == 0 for start in columns.starts)
        ends = [s + w for s, w in zip(columns.starts, columns.widths, strict=True)]
        names = [name for name, _, _ in columns.activations]
        # A GELU is never of a whole matrix, of which torch has another one.
        last = columns.activations[-1][2]
        assert columns.total == last + ALIGNED * (names == ["gelu"])
        for end, start in zip(ends, [*columns.starts[1:], last], strict=True):
            assert end <= start < end + ALIGNED
        assert len(names) == len(set(names))
        edges = [columns.activations[0][1], *(end for _, _, end in columns.activations)]
        assert edges[0] == 0
        assert all(a[2] == b[1] for a, b in pairwise(columns.activations))
        for k, start, end in zip(columns.members, columns.starts, ends, strict=True):
            (name,) = [
                name for name, a, b in columns.activations if a <= start and end <= b
            ]
            assert name == members[k].run.recipe.activation


@settings(max_examples=30)
@given(some_recipes)
def test_every_tensor_of_a_run_has_memory_of_its_own(recipes):
    members = in_order(members_of(runs_of(recipes)))
    before = [{name: value.clone() for name, value in m.net.items()} for m in members]
    layers = columns_of(members)
    memory = Memory(members, layers, N_CLASSES, X)
    memory.take(members)
    for k, member in enumerate(members):
        assert member.net is memory.nets[k]
        assert set(member.net) == set(before[k])
        for name, value in before[k].items():
            assert member.net[name].equal(value)
        params, grads, first, second = memory.lists[k]
        assert [t.numel() for t in params] == [t.numel() for t in grads]
        assert [t.shape for t in first] == [t.shape for t in second]
        assert sum(t.numel() for t in params) == member.size
        assert set(memory.grads[k]) == set(member.parameters)
    memory.state.zero_()
    count = 0.0
    for member in members:
        for tensors in (member.net, member.first, member.second):
            for value in tensors.values():
                value.add_(1.0)  # twice in one place would be two
                count += value.numel()
    assert memory.state.sum().item() == count
    assert memory.state.max().item() == 1.0


@pytest.mark.parametrize("epochs", [1, 3])
def test_what_lies_between_runs_stays_exactly_zero(epochs):
    rows = Rows(*(torch.as_tensor(each) for each in NARROW[:4]), N_CLASSES)
    stack = Stack(members_of(ONE_STACK), rows)
    for _ in range(epochs):
        for member, metrics in zip(stack.members, stack.epoch(), strict=True):
            member.hear(metrics)
    owned = 0
    for member in stack.members:
        for tensors in (member.net, member.first, member.second):
            for value in tensors.values():
                owned += value.numel()
                value.zero_()
    state = stack._memory.state
    assert owned < len(state)
    assert (state == 0).all()
    for layer, columns in enumerate(columns_of(stack.members)):
        free = torch.ones(columns.total, dtype=torch.bool)
        for start, width in zip(columns.starts, columns.widths, strict=True):
            free[start : start + width] = False
        assert free.any()
        for gradients in (stack._memory.d_gammas, stack._memory.d_betas):
            assert (gradients[layer][free] == 0).all()
            assert (gradients[layer][~free] != 0).any()


# --- One run ------------------------------------------------------------------------


@pytest.mark.parametrize("run", ONE_STACK, ids=lambda run: run.key)
def test_a_saved_run_is_the_same_when_loaded_and_fits_the_network(run):
    rows = Rows(*(torch.as_tensor(each) for each in NARROW[:4]), N_CLASSES)
    stack = Stack(members_of([ONE_STACK[1], replace(run, key="trial-5b")]), rows)
    (member,) = [m for m in stack.members if m.run.key == "trial-5b"]
    for _ in range(2):
        for each, metrics in zip(stack.members, stack.epoch(), strict=True):
            each.hear(metrics)
    state = member.save()
    again = Member(member.run, 5, N_CLASSES, X, pickle.loads(pickle.dumps(state)))
    again = again.save()
    assert (again.steps, again.best_epoch, again.curve) == (
        state.steps,
        state.best_epoch,
        state.curve,
    )
    assert (again.steps, len(again.curve)) == (8, 2)
    assert set(again.tensors) == set(state.tensors)
    for name, value in state.tensors.items():
        assert again.tensors[name].equal(value), name
        assert value.device.type == "cpu"
    single = Member(run, 5, N_CLASSES, X.float(), state)
    for name, value in member.net.items():
        assert_close(single.net[name], value.float(), 0.0, name)
    for part in ("net.", "best."):
        net = MLP.of(run.recipe, 5, N_CLASSES)
        net.load_state_dict(
            {n[len(part) :]: t for n, t in state.tensors.items() if n.startswith(part)}
        )


def test_a_parked_run_is_the_same_in_memory_of_its_own():
    rows = Rows(*(torch.as_tensor(each) for each in NARROW[:4]), N_CLASSES)
    stack = Stack(members_of(ONE_STACK[:3]), rows)
    stack.epoch()
    before = [member.save() for member in stack.members]
    for member in stack.members:
        member.park()
    assert not stack.is_home
    stack._memory.state.fill_(5.0)
    for member, state in zip(stack.members, before, strict=True):
        for name, value in member.save().tensors.items():
            assert value.equal(state.tensors[name]), name
