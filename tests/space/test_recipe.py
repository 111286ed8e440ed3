"""The space of recipes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunekit.space import batch_sizes, recipe_space

from .conftest import DEFAULTS


@given(st.integers(4, 10**8))
def test_batch_sizes_are_powers_of_two_of_at_most_half_of_the_rows(n_rows):
    sizes = batch_sizes(n_rows)
    assert sizes
    assert sizes == sorted(set(sizes))
    for size in sizes:
        assert size >= 2
        assert size & (size - 1) == 0
        assert size <= n_rows / 2
    if n_rows >= 32:
        assert n_rows / sizes[0] <= 512
    assert recipe_space({}, n_rows).nearest(DEFAULTS)["n_layers"] == 2


@pytest.mark.parametrize("n_rows", [1, 2, 3])
def test_a_handful_of_rows_still_has_a_batch_size(n_rows):
    assert batch_sizes(n_rows) == [2]
    assert recipe_space({}, n_rows).fixed == {"batch_size": 2}
