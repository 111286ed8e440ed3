"""The split: stratified, to within a row, the same for the same seed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunekit.data.split import check_shares, stratified
from tunekit.errors import ConfigError

SHARES = (0.6, 0.2, 0.2)


def labels(counts, seed=0):
    y_N = np.repeat(np.arange(len(counts)), counts)
    return np.random.default_rng(seed).permutation(y_N)


@given(st.lists(st.integers(2, 60), min_size=2, max_size=12), st.integers(0, 99))
def test_every_row_is_in_one_part_and_every_class_is_shared_out(counts, seed):
    y_N = labels(counts)
    parts = stratified(y_N, SHARES, seed=seed)
    assert np.sort(np.concatenate(parts)).tolist() == list(range(len(y_N)))
    for label, count in enumerate(counts):
        found = [int((y_N[part] == label).sum()) for part in parts]
        assert found[0] >= 1
        if count >= 3:
            assert min(found) >= 1
        for got, share in zip(found, SHARES, strict=True):
            assert abs(got - share * count) < 1 + 1e-9


@given(st.lists(st.integers(5, 40), min_size=2, max_size=40))
def test_rounding_does_not_add_up_over_classes(counts):
    parts = stratified(labels(counts), SHARES, seed=0)
    for part, share in zip(parts, SHARES, strict=True):
        assert abs(len(part) - share * sum(counts)) <= 2


def test_the_seed_settles_it():
    y_N = labels([30, 20, 10])
    first, again, other = (stratified(y_N, SHARES, seed=s) for s in (0, 0, 1))
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert any((a != b).any() for a, b in zip(first, other, strict=True))
    assert all((np.diff(part) > 0).all() for part in first)


def test_rows_are_drawn_from_the_whole_class():
    (_, _, test) = stratified(np.repeat([0, 1], 500), SHARES, seed=3)
    zeros = test[test < 500]
    assert 150 < zeros.mean() < 350


def test_two_parts_and_one():
    y_N = labels([8, 4])
    assert [len(part) for part in stratified(y_N, (0.6, 0.2), seed=0)] == [9, 3]
    (everything,) = stratified(y_N, (0.6,), seed=0)
    assert everything.tolist() == list(range(12))


@pytest.mark.parametrize(
    "split",
    [(0.5, 0.5, 0.5), (0.8, 0.2), (1.0, 0.0, 0.0), (1.2, -0.1, -0.1), (np.nan,) * 3],
)
def test_shares_that_cannot_be(split):
    with pytest.raises(ConfigError, match="three shares above 0 that sum to 1"):
        check_shares(split)
