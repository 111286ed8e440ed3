"""Batches hold every row once an epoch, in an order that the epoch settles."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tunekit.batches import Batches, Rows


@given(st.integers(2, 70), st.integers(2, 80), st.integers(0, 3))
def test_batches_hold_every_row_once_and_none_is_of_one_row(n_rows, batch_size, epoch):
    x, y = torch.arange(float(n_rows))[:, None], torch.arange(n_rows)
    batches = Batches(x, y, batch_size=batch_size, seed=0, key="a")
    batches.epoch = epoch
    found = list(batches)
    assert len(found) == len(batches)
    sizes = [len(y_B) for _, y_B in found]
    assert sorted(torch.cat([y_B for _, y_B in found]).tolist()) == list(range(n_rows))
    assert all(x_BF.squeeze(1).equal(y_B.float()) for x_BF, y_B in found)
    assert sizes[:-1] == [batch_size] * (len(sizes) - 1)
    assert 2 <= sizes[-1] <= batch_size + 1
    if n_rows % batch_size == 1 and n_rows > batch_size:
        assert sizes[-1] == batch_size + 1


def test_the_order_is_another_each_epoch_and_depends_on_the_epoch_alone():
    x, y = torch.zeros(50, 1), torch.arange(50)

    def order(batches):
        return torch.cat([y_B for _, y_B in batches]).tolist()

    batches = Batches(x, y, batch_size=8, seed=0, key="a")
    first, second = order(batches), order(batches)
    assert first != second
    torch.manual_seed(5)
    later = Batches(x, y, batch_size=16, seed=0, key="a")
    later.epoch = 1
    assert order(later) == second
    assert order(Batches(x, y, batch_size=8, seed=0, key="b")) != first
    assert order(Batches(x, y, batch_size=8, seed=1, key="a")) != first
    assert first != sorted(first)


@pytest.mark.parametrize("n_rows", [1, 8192, 8193, 20_000])
def test_evaluation_sees_every_row_in_order(n_rows):
    x, y = torch.arange(float(n_rows))[:, None], torch.arange(n_rows)
    rows = Rows(x, y)
    found = list(rows)
    assert len(found) == len(rows)
    assert torch.cat([y_B for _, y_B in found]).equal(y)
    assert torch.cat([x_BF for x_BF, _ in found]).equal(x)
