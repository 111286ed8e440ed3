"""Uniform draws: inside, even on their scale, and each by itself."""

import bisect

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import (
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from tunekit.draws import UniformSampler, at

EVERY = [
    FloatDistribution(-2.0, 3.0),
    FloatDistribution(1e-4, 1e-1, log=True),
    FloatDistribution(0.0, 1.0, step=0.25),
    IntDistribution(1, 4),
    IntDistribution(16, 512, log=True),
    IntDistribution(0, 100, step=10),
    CategoricalDistribution(["a", None, 3]),
]


@pytest.mark.parametrize("distribution", EVERY, ids=str)
@given(share=st.floats(0, 1, exclude_max=True))
def test_every_share_lies_inside(distribution, share):
    value = at(distribution, share)
    stored = distribution.to_internal_repr(value)
    assert distribution._contains(stored)
    assert distribution.to_external_repr(stored) == value


@pytest.mark.parametrize("distribution", EVERY, ids=str)
def test_draws_are_spread_as_those_of_optuna(distribution):
    n, to = 4000, distribution.to_internal_repr
    theirs, study = optuna.samplers.RandomSampler(seed=1), optuna.create_study()
    trial = optuna.trial.create_trial(value=0.0)
    other = sorted(
        to(theirs.sample_independent(study, trial, "x", distribution)) for _ in range(n)
    )
    ours = sorted(to(at(distribution, (i + 0.5) / n)) for i in range(n))
    for value in ours[:: n // 40]:
        shares = [bisect.bisect(each, value) / n for each in (ours, other)]
        assert shares[0] == pytest.approx(shares[1], abs=0.03)


def test_a_value_depends_on_seed_number_and_name_alone():
    def drawn(seed, names):
        study = optuna.create_study(sampler=UniformSampler(seed))
        trials = [study.ask() for _ in range(3)]
        return [[t.suggest_float(name, 0, 1) for name in names] for t in trials]

    one, other = drawn(0, "ab"), drawn(0, "ab")
    assert one == other
    assert drawn(1, "ab") != one
    values = [value for each in one for value in each]
    assert len(set(values)) == len(values)
