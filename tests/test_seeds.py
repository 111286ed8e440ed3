"""Random streams: the same by name, different otherwise; masks that are fair coins."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tunekit.seeds import (
    drop_limit,
    keep_mask,
    keep_on_device,
    numpy_generator,
    row_words,
    scramble,
    seed_for,
    torch_generator,
    unit_words,
)

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
    rows = keep_mask(12345, 4, 2, 1, (2, 16), 0.5).int()
    assert ["".join(map(str, row)) for row in rows.tolist()] == [
        "1110011110011101",
        "1010001011001100",
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
    keep_mask(KEY, 0, 0, 0, (4, 4), 0.5)
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
    mask = keep_mask(KEY, 0, 3, 1, (1000, 400), drop)
    assert mask.dtype == torch.bool
    assert abs(z(mask.reshape(1, -1), drop)).item() < 4
    for scores in (z(mask, drop), z(mask.T, drop)):
        # The squares sum to a chi-square with one degree of freedom a row.
        spread = (scores**2).sum().item()
        assert 1e-4 < stats.chi2.cdf(spread, len(scores)) < 1 - 1e-4


@pytest.mark.parametrize("drop", [0.1, 0.3, 0.7])
def test_the_rate_holds_over_epochs_steps_and_layers_of_a_small_layer(drop):
    masks = torch.stack(
        [
            keep_mask(KEY, epoch, step, layer, (16, 16), drop)
            for epoch, step, layer in itertools.product(range(10), range(10), range(4))
        ]
    ).reshape(400, -1)
    scores = z(masks, drop)
    assert 1e-4 < stats.chi2.cdf((scores**2).sum().item(), 400) < 1 - 1e-4
    assert abs(z(masks.T, drop)).max() < 4.5


def test_nothing_is_dropped_at_rate_zero():
    assert keep_mask(KEY, 0, 0, 0, (50, 50), 0.0).all()


@pytest.mark.parametrize(
    ("drop", "limit"),
    [(0.0, 0), (2**-16, 1), (0.1, 6554), (0.5, 32768), (1 - 1e-9, 65535)],
)
def test_probabilities_are_multiples_of_two_to_the_minus_16(drop, limit):
    assert drop_limit(drop) == limit


counters = st.tuples(
    st.integers(0, 2**63 - 1),  # key
    st.integers(0, 10**6),  # epoch
    st.integers(0, 10**6),  # step
    st.integers(0, 64),  # layer
)
drops = st.floats(0.0, 0.999)


@given(counters, st.integers(1, 40), st.integers(1, 40), drops)
def test_a_units_mask_does_not_depend_on_the_rows_and_units_beside_it(
    counter, rows, units, drop
):
    whole = keep_mask(*counter, (40, 40), drop)
    assert keep_mask(*counter, (rows, units), drop).equal(whole[:rows, :units])


def words(array):
    """As a device has them: signed, and wide enough."""
    return torch.from_numpy(array.astype(np.int64))


@given(counters, st.integers(1, 30), st.integers(1, 30), drops)
def test_a_device_hashes_what_numpy_hashes(counter, rows, units, drop):
    key, epoch, step, layer = counter
    rows_B = words(row_words(step, 1, rows)[0])
    units_P = words(unit_words(key, epoch, layer, units))
    expected = keep_mask(*counter, (rows, units), drop)
    kept = keep_on_device(rows_B, units_P, drop_limit(drop))
    assert kept.dtype == torch.bool
    assert kept.shape == (rows, units + units % 2)
    assert kept[:, :units].equal(expected)
    # A limit a unit, as where networks of different rates stand side by side.
    limits = torch.full((kept.shape[1],), drop_limit(drop))
    limits[::3] = 0
    mixed = keep_on_device(rows_B, units_P, limits)[:, :units]
    assert mixed[:, ::3].all()
    assert mixed.equal(expected | (torch.arange(units) % 3 == 0))


@given(st.integers(0, 10**6), st.integers(1, 9), st.integers(1, 9), st.integers(1, 9))
def test_words_of_many_steps_are_those_of_each(first, n_steps, n_rows, more):
    together = row_words(first, n_steps, n_rows)
    assert together.shape == (n_steps, n_rows)
    for step in range(n_steps):
        alone = row_words(first + step, 1, n_rows + more)[0]
        assert (together[step] == alone[:n_rows]).all()
    assert (together % 2 == 1).all()


@given(counters, st.integers(1, 40), st.integers(0, 40))
def test_two_units_share_a_word_and_more_units_change_none(counter, n_units, more):
    key, epoch, _, layer = counter
    few = unit_words(key, epoch, layer, n_units)
    assert len(few) == (n_units + 1) // 2
    assert (unit_words(key, epoch, layer, n_units + more)[: len(few)] == few).all()
    assert (few % 2 == 1).all()


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_scrambling_loses_nothing_and_is_its_formula(one, other):
    x = np.array([one, other], np.uint32)
    scramble(x, np.empty_like(x))
    for word, got in zip((one, other), x.tolist(), strict=True):
        by_hand = ((word ^ (word >> 15)) * 0x85EBCA6B) % 2**32
        assert got == by_hand ^ (by_hand >> 16)
    assert (x[0] == x[1]) == (one == other)


def test_a_unit_dropped_at_a_low_rate_is_dropped_at_every_higher_one():
    masks = [keep_mask(KEY, 0, 1, 0, (64, 64), drop) for drop in (0.1, 0.3, 0.6)]
    for low, high in itertools.pairwise(masks):
        assert (low | ~high).all()
        assert not low.equal(high)


N_ROWS, N_UNITS = 512, 256
BOUND = 4.5 / (N_ROWS * N_UNITS) ** 0.5


def centred(key, epoch, step, layer):
    mask = keep_mask(key, epoch, step, layer, (N_ROWS, N_UNITS), 0.5).double()
    return mask * 2 - 1


def agreement(a, b):
    """The correlation of two fair coins: 0 for independent ones."""
    return abs((a * b).mean().item())


@pytest.mark.parametrize(
    "other",
    [
        *[(KEY, epoch, 0, 0) for epoch in (1, 2, 3, 64, 1024, 2**20)],
        *[(KEY, 0, step, 0) for step in (1, 2, 3, 64, 1024, 2**20)],
        *[(KEY, 0, 0, layer) for layer in (1, 2, 3, 63)],
        *[(KEY + 1, 0, 0, 0), (KEY * 2, 0, 0, 0)],
        *[(KEY ^ (1 << bit), 0, 0, 0) for bit in range(0, 63, 7)],
        # An epoch, a layer or a key further is not a step further, nor the other way.
        (KEY, 1, 1, 0),
        (KEY, 0, 1, 1),
        (KEY, 1, 0, 1),
        (KEY + 1, 0, 1, 0),
        (KEY + 1, 1, 0, 0),
        (KEY - 1, 1, 0, 0),
    ],
)
def test_masks_of_other_epochs_steps_layers_and_keys_are_unrelated(other):
    mask, shifted = centred(KEY, 0, 0, 0), centred(*other)
    assert agreement(mask, shifted) < BOUND
    # Nor is one the other with its rows or units moved.
    for by in (1, 2, 7):
        assert agreement(mask[by:], shifted[:-by]) < BOUND * 1.1
        assert agreement(mask[:, by:], shifted[:, :-by]) < BOUND * 1.1


def test_no_two_of_many_masks_are_the_same():
    """Epochs, steps and layers do not add up to one counter that repeats."""
    masks = [
        keep_mask(KEY + key, epoch, step, layer, (4, 16), 0.5)
        for key, epoch, step, layer in itertools.product(range(6), repeat=4)
    ]
    assert len({mask.numpy().tobytes() for mask in masks}) == 6**4


def pairwise(signs):
    """Standard deviations off, of the correlation of every two rows of +-1."""
    products = (signs @ signs.T) / signs.shape[1] ** 0.5
    above = torch.ones_like(products, dtype=torch.bool).triu(1)
    return products[above]


def test_every_two_rows_and_every_two_units_of_a_training_are_unrelated():
    """All pairs: rows over steps; units over layers, epochs and keys."""
    signs = torch.cat(
        [
            torch.cat(
                [
                    keep_mask(KEY + key, epoch, step, layer, (64, 64), 0.5)
                    for key, epoch, layer in itertools.product(range(3), repeat=3)
                ],
                1,
            )
            for step in range(10)
        ]
    )
    signs = signs.double() * 2 - 1
    assert signs.shape == (640, 1728)
    for each in (pairwise(signs), pairwise(signs.T)):
        # Of 200,000 and of 1,500,000 independent pairs, none is this far off.
        assert abs(each).max() < 6
        assert each.mean().item() == pytest.approx(0, abs=0.01)
        assert (each**2).mean().item() == pytest.approx(1, abs=0.02)


def test_neighbouring_rows_and_units_are_unrelated():
    mask = centred(KEY, 0, 9, 0)
    for by in range(1, 65):
        assert agreement(mask[by:], mask[:-by]) < BOUND * 1.2
        assert agreement(mask[:, by:], mask[:, :-by]) < BOUND * 1.2
    for row, unit in itertools.product(range(1, 5), repeat=2):
        assert agreement(mask[row:, unit:], mask[:-row, :-unit]) < BOUND * 1.2


@pytest.mark.parametrize("counter", [(KEY, 0, 9, 0), (KEY, 7, 0, 1), (1, 0, 0, 0)])
def test_four_corners_of_a_rectangle_are_unrelated(counter):
    """Row and unit hashes meet in one product; what both share must not show."""
    mask = centred(*counter)
    for row, unit in ((1, 1), (1, 2), (2, 3), (16, 16), (64, 128)):
        corners = mask[row:, unit:] * mask[:-row, unit:]
        corners = corners * mask[row:, :-unit] * mask[:-row, :-unit]
        assert abs(corners.mean().item()) < BOUND * 1.5


def test_all_rows_and_all_units_have_masks_of_their_own():
    mask = keep_mask(KEY, 0, 0, 0, (N_ROWS, N_UNITS), 0.5)
    assert len({tuple(row) for row in mask.tolist()}) == N_ROWS
    assert len({tuple(unit) for unit in mask.T.tolist()}) == N_UNITS


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("shape", [(1, 1), (7, 33), (64, 512)])
def test_a_gpu_has_the_masks_of_the_cpu(shape):
    on_cpu = keep_mask(KEY, 3, 5, 1, shape, 0.3)
    on_gpu = keep_mask(KEY, 3, 5, 1, shape, 0.3, "cuda")
    assert on_gpu.device.type == "cuda"
    assert on_gpu.cpu().equal(on_cpu)
