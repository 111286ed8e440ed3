"""Random streams: the same by name, different otherwise; masks that are fair coins."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tunekit.seeds import keep_mask, numpy_generator, seed_for, torch_generator

names = st.lists(st.one_of(st.text("abc-1", max_size=6)), max_size=4).map(tuple)
streams = st.tuples(st.integers(0, 5), names)
KEY = seed_for(0, "trial-7", "dropout")


# --- Seeds --------------------------------------------------------------------------


@given(streams, streams)
def test_the_same_names_give_the_same_seed_and_no_others_do(one, other):
    a, b = (seed_for(seed, *named) for seed, named in (one, other))
    assert (a == b) == (one == other)
    assert 0 <= a < 2**63


def test_names_do_not_run_into_each_other():
    seeds = {
        seed_for(1, "2", "3"),
        seed_for(12, "3"),
        seed_for(1, "23"),
        seed_for(123),
        seed_for(1, "2", "", "3"),
        seed_for(1, "3", "2"),
    }
    assert len(seeds) == 6


def test_streams_stay_what_they_are_from_version_to_version():
    """A recorded study goes on only if its streams are what they were."""
    assert seed_for(0, "trial-7", "weights") == 6770568317091481550
    assert seed_for(3, "trial-0", "batches", 4) == 905937865453140863
    rows = keep_mask(12345, 2, 1, (2, 16), 0.5).int()
    assert ["".join(map(str, row)) for row in rows.tolist()] == [
        "0011001100001111",
        "1001000011110110",
    ]


def test_generators_repeat_by_name_and_leave_the_global_ones_alone():
    torch_state, numpy_state = torch.random.get_rng_state(), np.random.get_state()
    for make, draw in (
        (torch_generator, lambda g: torch.rand(5, generator=g).tolist()),
        (numpy_generator, lambda g: g.random(5).tolist()),
    ):
        first = draw(make(0, "trial-7", "weights"))
        assert first == draw(make(0, "trial-7", "weights"))
        others = [
            draw(make(1, "trial-7", "weights")),
            draw(make(0, "trial-8", "weights")),
            draw(make(0, "trial-7", "batches")),
            draw(make(0, "trial-7", "weights", 0)),
        ]
        assert all(first != other for other in others)
    keep_mask(KEY, 0, 0, (4, 4), 0.5)
    assert torch.equal(torch.random.get_rng_state(), torch_state)
    assert (np.random.get_state()[1] == numpy_state[1]).all()


def test_seeds_of_neighbours_are_evenly_spread():
    seeds = np.array([seed_for(s, f"trial-{t}") for s in range(20) for t in range(100)])
    assert len(set(seeds.tolist())) == 2000
    assert stats.kstest(seeds / 2**63, "uniform").pvalue > 0.001
    assert abs(np.corrcoef(seeds[:-1] / 2**63, seeds[1:] / 2**63)[0, 1]) < 0.1


# --- Masks --------------------------------------------------------------------------


def z(mask, drop):
    """How many standard deviations the kept share is off, over the last dimension."""
    kept = mask.double().sum(-1)
    n = mask.shape[-1]
    return (kept - n * (1 - drop)) / (n * drop * (1 - drop)) ** 0.5


@pytest.mark.parametrize("drop", [0.01, 0.1, 0.25, 0.5, 0.9])
def test_units_are_kept_at_the_rate_asked_for_in_every_row_and_every_unit(drop):
    mask = keep_mask(KEY, 3, 1, (1000, 400), drop)
    assert mask.dtype == torch.bool
    assert abs(z(mask.reshape(1, -1), drop)).item() < 4
    for scores in (z(mask, drop), z(mask.T, drop)):
        # The squares sum to a chi-square with one degree of freedom a row.
        spread = (scores**2).sum().item()
        assert 1e-4 < stats.chi2.cdf(spread, len(scores)) < 1 - 1e-4


def test_the_rate_holds_over_steps_and_layers_of_a_small_layer():
    masks = torch.stack(
        [
            keep_mask(KEY, step, layer, (16, 16), 0.3)
            for step in range(100)
            for layer in range(4)
        ]
    ).reshape(400, -1)
    scores = z(masks, 0.3)
    assert 1e-4 < stats.chi2.cdf((scores**2).sum().item(), 400) < 1 - 1e-4
    assert abs(z(masks.T, 0.3)).max() < 4.5


def test_nothing_is_dropped_at_rate_zero():
    assert keep_mask(KEY, 0, 0, (50, 50), 0.0).all()


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**63 - 1))
def test_a_units_mask_does_not_depend_on_the_rows_and_units_beside_it(rows, units, key):
    whole = keep_mask(key, 5, 2, (40, 40), 0.5)
    assert keep_mask(key, 5, 2, (rows, units), 0.5).equal(whole[:rows, :units])


def test_a_unit_dropped_at_a_low_rate_is_dropped_at_every_higher_one():
    masks = [keep_mask(KEY, 1, 0, (64, 64), drop) for drop in (0.1, 0.3, 0.6)]
    for low, high in itertools.pairwise(masks):
        assert (low | ~high).all()
        assert not low.equal(high)


N_ROWS, N_UNITS = 512, 256
BOUND = 4.5 / (N_ROWS * N_UNITS) ** 0.5


def centred(key, step, layer):
    mask = keep_mask(key, step, layer, (N_ROWS, N_UNITS), 0.5).double()
    return mask * 2 - 1


def agreement(a, b):
    """The correlation of two fair coins: 0 for independent ones."""
    return abs((a * b).mean().item())


@pytest.mark.parametrize(
    "other",
    [
        *[(KEY, step, 0) for step in (1, 2, 3, 64, 1024, 2**20)],
        *[(KEY, 0, layer) for layer in (1, 2, 3, 63)],
        *[(key, 0, 0) for key in (KEY + 1, KEY ^ (1 << 31), KEY ^ (1 << 32), KEY * 2)],
        # A layer or a key further is not a step further.
        (KEY, 1, 1),
        (KEY + 1, 1, 0),
    ],
)
def test_masks_of_other_steps_layers_and_keys_are_unrelated(other):
    mask, shifted = centred(KEY, 0, 0), centred(*other)
    assert agreement(mask, shifted) < BOUND
    # Nor is one the other with its rows or units moved.
    for by in (1, 2, 7):
        assert agreement(mask[by:], shifted[:-by]) < BOUND * 1.1
        assert agreement(mask[:, by:], shifted[:, :-by]) < BOUND * 1.1


def test_neighbouring_rows_and_units_are_unrelated():
    mask = centred(KEY, 9, 0)
    for by in range(1, 65):
        assert agreement(mask[by:], mask[:-by]) < BOUND * 1.2
        assert agreement(mask[:, by:], mask[:, :-by]) < BOUND * 1.2
    for row, unit in itertools.product(range(1, 5), repeat=2):
        assert agreement(mask[row:, unit:], mask[:-row, :-unit]) < BOUND * 1.2


def test_four_corners_of_a_rectangle_are_unrelated():
    """Row and unit hashes meet in one word; what both share must not show."""
    mask = centred(KEY, 9, 0)
    for row, unit in ((1, 1), (2, 3), (16, 16), (64, 128)):
        corners = mask[row:, unit:] * mask[:-row, unit:]
        corners = corners * mask[row:, :-unit] * mask[:-row, :-unit]
        assert abs(corners.mean().item()) < BOUND * 1.5


def test_all_rows_and_all_units_have_masks_of_their_own():
    mask = keep_mask(KEY, 0, 0, (N_ROWS, N_UNITS), 0.5)
    assert len({tuple(row) for row in mask.tolist()}) == N_ROWS
    assert len({tuple(unit) for unit in mask.T.tolist()}) == N_UNITS
