"""Scales, conditions and the recipe's space: round trips, ends, settings, messages."""

import itertools
import math
import re
import tomllib

import numpy as np
import optuna
import pytest
import tomli_w
from hypothesis import assume, given
from hypothesis import strategies as st
from optuna.samplers import RandomSampler
from scipy import stats

from tunekit.errors import ConfigError, SpaceError
from tunekit.space import (
    Categorical,
    Condition,
    IntLogUniform,
    IntUniform,
    LogUniform,
    OneMinusLogUniform,
    Space,
    Uniform,
    batch_sizes,
    recipe_space,
)
from tunekit.trial import ACTIVATIONS, OPTIMIZERS, SCHEDULES, SHAPES, Recipe

DEFAULTS = Recipe().as_dict()
NAMES = set(DEFAULTS)

# --- Strategies ---------------------------------------------------------------------


def ordered(numbers):
    return st.tuples(numbers, numbers).filter(lambda two: two[0] != two[1]).map(sorted)


def floats(low, high):
    return st.floats(low, high, allow_subnormal=False)


def gapped(high):
    """Values from 0 whose gaps to one differ when they do."""
    return st.integers(0, int(high * 1e9)).map(lambda n: n / 1e9)


RANGES = {
    Uniform: ordered(floats(-1e30, 1e30)),
    LogUniform: ordered(floats(1e-30, 1e30)),
    IntUniform: ordered(st.integers(-(2**31), 2**31)),
    IntLogUniform: ordered(st.integers(1, 2**31)),
    OneMinusLogUniform: ordered(gapped(0.9999999)),
}
scales = st.one_of(
    *(ends.map(lambda two, kind=kind: kind(*two)) for kind, ends in RANGES.items())
)


def between(scale, share):
    """A value that the scale can have."""
    value = scale.low + (scale.high - scale.low) * share
    return scale.nearest(value)


def contains(scale, stored):
    distribution = scale.distribution()
    return distribution._contains(distribution.to_internal_repr(stored))


# --- Scales -------------------------------------------------------------------------


@given(scales, st.floats(0, 1))
def test_what_is_stored_comes_back_as_the_value(scale, share):
    value = between(scale, share)
    stored = scale.to_stored(value)
    assert contains(scale, stored)
    back = scale.from_stored(stored)
    assert scale.low <= back <= scale.high
    # A gap to one keeps 53 bits of one, not of the value.
    assert math.isclose(back, value, rel_tol=0, abs_tol=2**-52 if value != back else 0)
    assert scale.to_stored(back) == pytest.approx(stored, rel=1e-15, abs=2**-52)


@given(scales)
def test_both_ends_come_back_exactly(scale):
    for end in (scale.low, scale.high):
        assert scale.nearest(end) == end
        assert contains(scale, scale.to_stored(end))
        assert scale.from_stored(scale.to_stored(end)) == end


@given(scales, st.floats(0, 1))
def test_a_suggested_value_lies_inside_and_is_read_back_from_the_trial(scale, share):
    assume(scale.distribution().low < scale.distribution().high)
    stored_name = scale.stored_name("x")
    stored = scale.to_stored(between(scale, share))
    value = scale.suggest(optuna.trial.FixedTrial({stored_name: stored}), "x")
    frozen = optuna.trial.create_trial(
        value=0.0,
        params={stored_name: stored},
        distributions={stored_name: scale.distribution()},
    )
    assert value == scale.suggest(frozen, "x") == scale.from_stored(stored)
    assert scale.low <= value <= scale.high


@given(scales, st.one_of(st.integers(-(2**40), 2**40), floats(-1e40, 1e40)))
def test_the_nearest_value_is_inside_and_none_is_nearer(scale, wanted):
    near = scale.nearest(wanted)
    assert scale.low <= near <= scale.high
    if not scale.integer and scale.low <= wanted <= scale.high:
        assert near == wanted
    step = 1 if scale.integer else 0
    assert abs(near - wanted) <= min(
        abs(scale.low - wanted) + step, abs(scale.high - wanted) + step
    )
    assert type(near) is (int if scale.integer else float)


@given(scales, st.integers(2, 9))
def test_levels_run_from_low_to_high_without_repeats(scale, n):
    levels = scale.levels(n)
    assert levels[0] == scale.low
    assert levels[-1] == scale.high
    assert len(levels) <= n
    assert all(a < b for a, b in itertools.pairwise(levels))


@pytest.mark.parametrize(
    ("scale", "middle"),
    [
        (Uniform(0, 1), 0.5),
        (LogUniform(1e-4, 1e-2), 1e-3),
        (IntUniform(2, 8), 5),
        (IntLogUniform(4, 64), 16),
        (OneMinusLogUniform(0.9, 0.999), 0.99),
    ],
)
def test_the_middle_level_is_the_middle_of_its_own_scale(scale, middle):
    assert scale.levels(1) == [pytest.approx(middle)]
    assert scale.levels(3)[1] == pytest.approx(middle)


def drawn(scale, name, n=2000):
    """Values and stored values of ``n`` trials of Optuna's random sampler."""
    study = optuna.create_study(sampler=RandomSampler(seed=0))
    values, stored = [], []
    for _ in range(n):
        trial = study.ask()
        values.append(scale.suggest(trial, name))
        stored.append(trial.params[scale.stored_name(name)])
    return np.array(values), np.array(stored)


def p_of_uniform(shares):
    return stats.kstest(shares, "uniform").pvalue


def test_the_gap_to_one_is_log_uniform():
    low, high = 0.5, 0.999
    values, stored = drawn(OneMinusLogUniform(low, high), "momentum")
    assert ((low <= values) & (values <= high)).all()
    np.testing.assert_allclose(1 - values, stored, rtol=1e-12)
    shares = np.log((1 - low) / (1 - values)) / np.log((1 - low) / (1 - high))
    assert p_of_uniform(shares) > 0.01
    # The same test tells a plain uniform draw apart.
    assert p_of_uniform((values - low) / (high - low)) < 1e-9


@pytest.mark.parametrize("kind", [LogUniform, Uniform])
def test_a_scale_draws_what_its_name_says(kind):
    low, high = 1e-3, 1.0
    values, _ = drawn(kind(low, high), "x")
    even = (values - low) / (high - low)
    by_factor = np.log(values / low) / np.log(high / low)
    right, wrong = (by_factor, even) if kind is LogUniform else (even, by_factor)
    assert p_of_uniform(right) > 0.01
    assert p_of_uniform(wrong) < 1e-9


def test_whole_numbers_are_drawn_as_often_as_each_other():
    values, _ = drawn(IntUniform(1, 4), "n_layers")
    counts = np.bincount(values.astype(int), minlength=5)[1:]
    assert stats.chisquare(counts).pvalue > 0.01


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: LogUniform(0.1, 0.01),
            "low must be below high, got low=0.1, high=0.01",
        ),
        (lambda: Uniform(1, 1), "low must be below high, got low=1, high=1"),
        (
            lambda: LogUniform(0, 1),
            "low must be above 0 on a log scale, got low=0, high=1",
        ),
        (
            lambda: IntLogUniform(0, 8),
            "low must be above 0 on a log scale, got low=0, high=8",
        ),
        (
            lambda: IntUniform(1, 2.5),
            "low and high must be whole numbers, got low=1, high=2.5",
        ),
        (
            lambda: OneMinusLogUniform(0.5, 1),
            "high must be below 1 on a one-minus-log scale, got low=0.5, high=1",
        ),
        (
            lambda: OneMinusLogUniform(0.0, 1e-30),
            "low must be below high by more than rounding, got low=0.0, high=1e-30",
        ),
        (lambda: Uniform("a", 1), "low and high must be numbers, got low=a, high=1"),
        (
            lambda: Uniform(False, 1),
            "low and high must be numbers, got low=False, high=1",
        ),
        (
            lambda: Uniform(0, math.inf),
            "low and high must be finite, got low=0, high=inf",
        ),
        (
            lambda: Uniform(math.nan, 1),
            "low and high must be finite, got low=nan, high=1",
        ),
        (Categorical, "at least one choice must be given, got none"),
        (lambda: Categorical([]), "at least one choice must be given, got none"),
        (
            lambda: Categorical("a", "a"),
            "choices must differ from one another, got ['a', 'a']",
        ),
        (
            lambda: Categorical([[1], [2]]),
            "choices must be plain values, got [[1], [2]]",
        ),
    ],
)
def test_a_scale_that_makes_no_sense_is_refused(make, message):
    with pytest.raises(SpaceError) as caught:
        make()
    assert str(caught.value) == message


def test_a_number_too_large_for_a_float_is_refused_and_not_a_crash():
    with pytest.raises(SpaceError, match="low and high must be finite"):
        Uniform(0, 10**400)


def test_choices_that_python_holds_equal_are_refused():
    """Optuna finds a stored choice by ``==``, so 1 and True would be one."""
    with pytest.raises(SpaceError, match="choices must differ"):
        Categorical(1, True)


@given(
    st.lists(
        st.one_of(st.none(), st.booleans(), st.integers(2, 99), st.text()),
        min_size=1,
        unique_by=lambda c: (type(c), c),
    )
)
def test_every_choice_comes_back_as_itself(choices):
    scale = Categorical(choices)
    for choice in choices:
        assert scale.nearest(choice) == choice
        assert contains(scale, scale.to_stored(choice))
        trial = optuna.trial.FixedTrial({"x": choice})
        if len(choices) > 1:
            got = scale.suggest(trial, "x")
            assert got == choice
            assert type(got) is type(choice)


def test_the_nearest_choice_is_the_nearest_number_or_the_first():
    assert Categorical(16, 64, 256).nearest(100) == 64
    assert Categorical("adam", "sgd").nearest("adamw") == "adam"
    assert Categorical(True, False).nearest(False) is False


# --- Conditions ---------------------------------------------------------------------


def counting(values):
    """The names that count beside these values: the rules, written a second time."""
    out = NAMES - {"momentum", "nesterov", "beta1", "beta2", "eps", "lr_decay"}
    if values["optimizer"] == "sgd":
        out |= {"momentum", "nesterov"}
    if values["optimizer"] in ("adam", "adamw"):
        out |= {"beta1", "beta2", "eps"}
    if values["schedule"] in ("inverse", "exponential", "step"):
        out |= {"lr_decay"}
    if values["n_layers"] < 2:
        out -= {"shape"}
    if values["n_layers"] == 0:
        out -= {"width", "activation", "dropout"}
    return out


def ask(space, n, seed=0):
    study = optuna.create_study(sampler=RandomSampler(seed=seed))
    for _ in range(n):
        trial = study.ask()
        yield space.suggest(trial), trial


def test_a_hyperparameter_is_asked_for_exactly_when_it_counts():
    space = recipe_space({"n_layers": "0..4"}, 1000)
    seen = set()
    for params, _ in ask(space, 600):
        assert set(params) == counting(params)
        seen.add((params["optimizer"], params["schedule"], min(2, params["n_layers"])))
    assert len(seen) == 4 * 5 * 3


def test_every_proposal_is_a_recipe_of_the_right_types():
    for params, _ in ask(recipe_space({"n_layers": "0..4"}, 1000), 100):
        recipe = Recipe().with_params(params).as_dict()
        assert {k: type(v) for k, v in recipe.items()} == {
            k: type(v) for k, v in DEFAULTS.items()
        }


def test_a_trials_stored_values_read_back_as_what_was_proposed():
    space = recipe_space({}, 1000)
    for params, trial in ask(space, 50):
        assert space.from_stored(trial.params) == params
        for name, stored in space.to_stored(params).items():
            known = trial.params[name]
            exact = not isinstance(known, float)
            assert stored == (known if exact else pytest.approx(known, rel=1e-12))
        assert space.distributions(params) == trial.distributions


def test_momentum_and_the_betas_are_stored_as_gaps_and_nothing_else_is():
    space = recipe_space({}, 1000)
    stored = {
        name: scale.stored_name(name)
        for name, scale in space.scales.items()
        if scale.stored_name(name) != name
    }
    assert stored == {n: f"one_minus_{n}" for n in ("momentum", "beta1", "beta2")}
    for name in stored:
        assert space.scales[name].distribution().log


@pytest.mark.parametrize(
    ("settings", "idle"),
    [
        ({"optimizer": "adam"}, {"momentum", "nesterov"}),
        ({"optimizer": "sgd"}, {"beta1", "beta2", "eps"}),
        ({"optimizer": "rmsprop"}, {"momentum", "nesterov", "beta1", "beta2", "eps"}),
        ({"optimizer": "adam,rmsprop"}, {"momentum", "nesterov"}),
        ({"schedule": "constant,cosine"}, {"lr_decay"}),
        ({"schedule": "step"}, set()),
        ({"n_layers": 0}, {"width", "shape", "activation", "dropout"}),
        ({"n_layers": 1}, {"shape"}),
        ({"n_layers": "0..1"}, {"shape"}),
        ({"n_layers": [0, 2]}, set()),
        ({"optimizer": "adam", "momentum": 0.9}, {"momentum", "nesterov"}),
        ({}, set()),
    ],
)
def test_names_that_can_never_count_are_idle_and_never_asked_for(settings, idle):
    space = recipe_space(settings, 1000)
    assert set(space.idle) == idle
    assert len(space.idle) == len(idle)
    assert not idle & set(space.scales)
    for params, _ in ask(space, 30):
        assert not idle & set(params)


def test_a_parent_that_is_fixed_decides_for_all_trials():
    space = recipe_space({"optimizer": "sgd", "n_layers": 3}, 1000)
    for params, _ in ask(space, 20):
        assert {"momentum", "nesterov", "width", "shape"} <= set(params)
        assert not {"optimizer", "n_layers"} & set(params)


def test_what_always_counts_is_in_every_proposal_and_nothing_else_is():
    for settings in ({}, {"n_layers": "0..3"}, {"optimizer": "sgd"}, {"n_layers": 0}):
        space = recipe_space(settings, 1000)
        in_all = set.intersection(*(set(params) for params, _ in ask(space, 200)))
        assert set(space.always()) == in_all


def test_a_condition_says_itself_in_words():
    assert str(Condition("optimizer", ("adam", "adamw"))) == "optimizer adam or adamw"
    assert str(Condition("n_layers", at_least=1)) == "n_layers at least 1"


# --- Settings -----------------------------------------------------------------------


def test_the_default_space_searches_every_field_of_the_recipe():
    space = recipe_space({}, 1000)
    assert set(space.scales) == NAMES
    assert space.fixed == {}
    assert set(space.scales["optimizer"].choices) == set(OPTIMIZERS)
    assert set(space.scales["schedule"].choices) == set(SCHEDULES)
    assert set(space.scales["activation"].choices) == set(ACTIVATIONS)
    assert set(space.scales["shape"].choices) == set(SHAPES)
    kinds = {name: type(scale) for name, scale in space.scales.items()}
    for name in ("lr", "eps", "weight_decay", "lr_decay"):
        assert kinds[name] is LogUniform
    for name in ("momentum", "beta1", "beta2"):
        assert kinds[name] is OneMinusLogUniform
    assert kinds["width"] is IntLogUniform
    assert kinds["n_layers"] is IntUniform
    assert kinds["batch_size"] is Categorical


def test_parents_stand_before_their_children():
    space = recipe_space({}, 1000)
    order = list(space.scales)
    for child, condition in space.conditions.items():
        assert order.index(condition.parent) < order.index(child)


@pytest.mark.parametrize(
    ("name", "setting", "expected"),
    [
        ("lr", "1e-4..1e-2", LogUniform(1e-4, 1e-2)),
        ("lr", " 1e-4 .. 1e-2 ", LogUniform(1e-4, 1e-2)),
        ("momentum", "0.8..0.9", OneMinusLogUniform(0.8, 0.9)),
        ("n_layers", "1..2", IntUniform(1, 2)),
        ("width", "8..64", IntLogUniform(8, 64)),
        ("optimizer", "adamw,sgd", Categorical("adamw", "sgd")),
        ("optimizer", "adamw, sgd,", Categorical("adamw", "sgd")),
        ("optimizer", ["adamw", "sgd"], Categorical("adamw", "sgd")),
        ("lr", "0.1,0.01", Categorical(0.1, 0.01)),
        ("width", [8, 64], Categorical(8, 64)),
        ("width", "8,64", Categorical(8, 64)),
        ("batch_size", "32..128", Categorical(32, 64, 128)),
        ("batch_size", [20, 30], Categorical(20, 30)),
        ("nesterov", "true,false", Categorical(True, False)),
        ("width", {"scale": "int-log", "low": 8, "high": 64}, IntLogUniform(8, 64)),
        ("width", {"scale": "int", "low": 8, "high": 64}, IntUniform(8, 64)),
        ("dropout", {"scale": "log", "low": 0.01, "high": 0.5}, LogUniform(0.01, 0.5)),
        (
            "beta1",
            {"scale": "one-minus-log", "low": 0.5, "high": 0.9},
            OneMinusLogUniform(0.5, 0.9),
        ),
        ("lr", {"scale": "uniform", "low": 1e-3, "high": 1e-2}, Uniform(1e-3, 1e-2)),
    ],
)
def test_a_setting_narrows_lists_or_replaces(name, setting, expected):
    space = recipe_space({name: setting}, 1000)
    assert space.scales[name] == expected
    assert type(space.scales[name]) is type(expected)
    assert space.fixed == {}
    untouched = recipe_space({}, 1000).scales
    assert {k: v for k, v in space.scales.items() if k != name} == {
        k: v for k, v in untouched.items() if k != name
    }


@pytest.mark.parametrize(
    ("name", "setting", "value"),
    [
        ("dropout", "0", 0.0),
        ("dropout", 0, 0.0),
        ("dropout", [0.25], 0.25),
        ("lr", "1e-3", 1e-3),
        ("n_layers", "3", 3),
        ("n_layers", 3.0, 3),
        ("optimizer", "sgd", "sgd"),
        ("optimizer", ["sgd"], "sgd"),
        ("optimizer", " sgd ", "sgd"),
        ("nesterov", "False", False),
        ("nesterov", True, True),
        ("batch_size", 2, 2),
        ("batch_size", "64..64", 64),
        ("momentum", 0, 0.0),
    ],
)
def test_a_single_value_is_fixed_with_the_recipes_type(name, setting, value):
    space = recipe_space({name: setting}, 1000)
    assert name not in space.scales
    assert space.fixed == {name: value}
    assert type(space.fixed[name]) is type(DEFAULTS[name])


@pytest.mark.parametrize(
    ("name", "setting", "message"),
    [
        ("lr", "0.1..0.01", "low must be below high, got low=0.1, high=0.01"),
        ("lr", "0..1", "low must be above 0 on a log scale, got low=0.0, high=1.0"),
        ("lr", -1, "must be between 1e-12 and 1000, got -1"),
        (
            "lr",
            "fast",
            "a number, a range low..high or a list expected, got 'fast'",
        ),
        ("lr", "nan", "a finite number expected, got 'nan'"),
        ("lr", "inf", "a finite number expected, got 'inf'"),
        ("lr", True, "a finite number expected, got True"),
        ("lr", "1e-4..", "a number, a range low..high or a list expected, got ''"),
        ("n_layers", 2.5, "a whole number expected, got 2.5"),
        ("n_layers", "1.5..3", "a whole number expected, got '1.5'"),
        ("n_layers", -1, "must be between 0 and 64, got -1"),
        ("dropout", 1, "must be between 0 and 0.99, got 1"),
        ("momentum", "0.5..1", None),
        ("batch_size", 1001, "must be at most the 1000 training rows, got 1001"),
        ("batch_size", 1, "must be between 2 and 2.14748e+09, got 1"),
        (
            "batch_size",
            "17..31",
            "no choice of 16, 32, 64, 128, 256 lies in 17..31; list your own",
        ),
        (
            "optimizer",
            "adamm",
            "must be one of sgd, adam, adamw, rmsprop, got 'adamm'; did you mean "
            '"adam"?',
        ),
        ("optimizer", "adam..sgd", "choices must be listed, got adam..sgd"),
        ("optimizer", 3, "must be one of sgd, adam, adamw, rmsprop, got 3"),
        ("optimizer", [], "at least one choice must be given, got none"),
        ("optimizer", ",", "at least one choice must be given, got none"),
        (
            "optimizer",
            "sgd,sgd",
            "choices must differ from one another, got ['sgd', 'sgd']",
        ),
        ("nesterov", "maybe", "true or false expected, got 'maybe'"),
        ("nesterov", 1, "true or false expected, got 1"),
        (
            "lr",
            {"scale": "logg", "low": 1e-4, "high": 1e-1},
            "scale must be one of uniform, log, int, int-log, one-minus-log, "
            "got 'logg'",
        ),
        ("width", {"scale": "log", "low": 8, "high": 9}, None),
        ("lr", {"low": 1e-4, "high": 1e-1}, None),
        ("lr", {"scale": "log", "low": 1e-4, "high": 1e-1, "step": 1}, None),
        ("lr", {"scale": ["log"], "low": 1e-4, "high": 1e-1}, None),
        ("lr", {"scale": "log", "low": 1e-4, "high": 1e4}, None),
        ("optimizer", {"scale": "int", "low": 1, "high": 2}, None),
        ("lr", 10**400, None),
        ("lr", None, None),
    ],
)
def test_a_setting_that_cannot_be_is_refused_in_one_line_with_its_name(
    name, setting, message
):
    with pytest.raises(SpaceError) as caught:
        recipe_space({name: setting}, 1000)
    text = str(caught.value)
    assert text.startswith(f'space "{name}": ')
    assert "\n" not in text
    if message is not None:
        assert text == f'space "{name}": {message}'
    assert isinstance(caught.value, ConfigError)


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("learning_rate", "lr"),
        ("learning-rate", "lr"),
        ("momentun", "momentum"),
        ("epsilon", "eps"),
        ("batchsize", "batch_size"),
        ("depth", "n_layers"),
        ("drop_out", "dropout"),
    ],
)
def test_an_unknown_name_is_told_the_nearest_one(wrong, right):
    with pytest.raises(SpaceError) as caught:
        recipe_space({wrong: 0.1}, 1000)
    assert (
        str(caught.value)
        == f'unknown hyperparameter "{wrong}"; did you mean "{right}"?'
    )


def test_a_name_that_resembles_nothing_gets_no_guess():
    with pytest.raises(SpaceError, match=r'^unknown hyperparameter "zzz"$'):
        recipe_space({"zzz": 1})


toml_values = st.recursive(
    st.one_of(
        st.booleans(),
        st.integers(),
        st.floats(),
        st.dates(),
        st.text(max_size=8),
        st.sampled_from(["1..", "..", "1..2", "0.1..0.2", ",", "1,2", "sgd,adam"]),
        st.just(10**400),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["scale", "low", "high", "x"]), inner),
        st.fixed_dictionaries(
            {
                "scale": st.one_of(
                    st.sampled_from(["log", "int", "int-log", "one-minus-log"]), inner
                ),
                "low": inner,
                "high": inner,
            }
        ),
    ),
    max_leaves=6,
)


@given(st.sampled_from(sorted(NAMES)), toml_values)
def test_whatever_stands_in_the_settings_is_a_space_or_one_line(name, setting):
    try:
        space = recipe_space({name: setting}, 1000)
    except SpaceError as error:
        told = str(error)
    else:
        near = space.nearest(DEFAULTS)
        Recipe().with_params({**space.fixed, **near})
        assert name in [*space.fixed, *space.scales, *space.idle]
        return
    assert told.startswith(f'space "{name}": ')


# --- Whole spaces -------------------------------------------------------------------

_ENDS = {
    "n_layers": st.integers(0, 6),
    "width": st.integers(1, 600),
    "dropout": floats(0.0, 0.9),
    "lr": floats(1e-6, 1.0),
    "momentum": gapped(0.999),
    "beta1": gapped(0.999),
    "beta2": gapped(0.99999),
    "eps": floats(1e-12, 1e-2),
    "weight_decay": floats(1e-9, 1.0),
    "lr_decay": floats(1e-4, 1.0),
    "label_smoothing": floats(0.0, 0.5),
}
_LISTS = {
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
    "activation": ACTIVATIONS,
    "shape": SHAPES,
    "nesterov": (True, False),
    "batch_size": (2, 16, 30, 64, 100, 256),
}


def setting_of(name):
    """Every kind of setting that one hyperparameter can have."""
    if name in _LISTS:
        some = st.lists(st.sampled_from(_LISTS[name]), min_size=1, unique=True)
        return st.one_of(st.sampled_from(_LISTS[name]), some)
    ends = ordered(_ENDS[name])
    whole = name in ("n_layers", "width")
    kinds = ["int"] if whole else ["uniform"]
    if name not in ("n_layers", "dropout", "momentum", "beta1", "beta2") and (
        name != "label_smoothing"
    ):
        kinds.append("int-log" if whole else "log")
    replaced = st.tuples(st.sampled_from(kinds), ends).map(
        lambda drawn: {"scale": drawn[0], "low": drawn[1][0], "high": drawn[1][1]}
    )
    narrowed = ends.map(lambda two: f"{two[0]!r}..{two[1]!r}")
    listed = st.lists(_ENDS[name], min_size=1, max_size=3, unique=True)
    return st.one_of(_ENDS[name], narrowed, listed, replaced)


settings_tables = st.fixed_dictionaries(
    {}, optional={name: setting_of(name) for name in sorted(NAMES)}
)


def described(space):
    kinds = {name: type(scale) for name, scale in space.scales.items()}
    return list(space.scales.items()), kinds, space.fixed, set(space.idle)


@given(settings_tables)
def test_the_space_as_settings_is_the_same_space_also_through_toml(settings):
    space = recipe_space(settings, 1000)
    written = space.as_settings()
    assert described(recipe_space(written, 1000)) == described(space)
    read = tomllib.loads(tomli_w.dumps({"space": written}))["space"]
    again = recipe_space(read, 1000)
    assert described(again) == described(space)
    assert again.as_settings() == written


@given(settings_tables)
def test_trial_0_lies_inside_any_narrowed_space(settings):
    space = recipe_space(settings, 1000)
    params = space.nearest(DEFAULTS)
    distributions = space.distributions(params)
    stored = space.to_stored(params)
    assert set(stored) == set(distributions)
    for name, distribution in distributions.items():
        assert distribution._contains(distribution.to_internal_repr(stored[name]))
    # What Optuna hands back is the same configuration, with the same names in it.
    assert space.suggest(optuna.trial.FixedTrial(stored)) == pytest.approx(
        params, abs=1e-15
    )
    everything = {**space.fixed, **params}
    missing = {name: DEFAULTS[name] for name in NAMES - set(everything)}
    active = counting({**missing, **everything})
    assert set(params) == active - set(space.fixed)


def test_trial_0_of_the_whole_space_is_the_default_recipe():
    for n_rows, batch_size in ((1000, 64), (20, 8), (50_000, 128)):
        space = recipe_space({}, n_rows)
        recipe = Recipe().with_params(space.nearest(DEFAULTS))
        assert recipe == Recipe(batch_size=batch_size)


# --- Grids --------------------------------------------------------------------------


def fix_all_but(*names, **settings):
    fixed = {n: v for n, v in DEFAULTS.items() if n not in names}
    return recipe_space({**fixed, **settings}, 1000)


def frozen(points):
    return {tuple(sorted(point.items())) for point in points}


def test_a_grid_of_choices_is_complete_and_distinct():
    space = fix_all_but("activation", "schedule")
    points = space.grid(1000, seed=0)
    assert frozen(points) == {
        (("activation", a), ("schedule", s)) for a in ACTIVATIONS for s in SCHEDULES
    }
    assert len(points) == 20


def test_a_grid_joins_points_that_differ_only_in_what_does_not_count():
    space = fix_all_but(
        "optimizer",
        "nesterov",
        "shape",
        "n_layers",
        n_layers="1,2",
        optimizer="sgd,adam",
    )
    points = space.grid(1000, seed=0)
    expected = {
        tuple(
            sorted(
                {
                    "n_layers": n,
                    "optimizer": o,
                    **({"shape": s} if n >= 2 else {}),
                    **({"nesterov": v} if o == "sgd" else {}),
                }.items()
            )
        )
        for n in (1, 2)
        for o in ("sgd", "adam")
        for s in SHAPES
        for v in (True, False)
    }
    assert frozen(points) == expected
    assert len(points) == len(expected)


@pytest.mark.parametrize("n", [1, 2, 3, 7, 20, 64, 200])
@pytest.mark.parametrize(
    "space",
    [
        recipe_space({}, 1000),
        fix_all_but("lr", "dropout"),
        fix_all_but("optimizer", "momentum", "nesterov", optimizer="sgd,adam"),
        fix_all_but("n_layers", "lr", n_layers="1..3"),
    ],
    ids=["everything", "two ranges", "conditions", "few whole numbers"],
)
def test_a_grid_has_as_many_distinct_points_as_were_asked_for(space, n):
    points = space.grid(n, seed=0)
    assert len(frozen(points)) == len(points) == n
    for point in points:
        stored = space.to_stored(point)
        for name, distribution in space.distributions(point).items():
            assert distribution._contains(distribution.to_internal_repr(stored[name]))
        assert space.suggest(optuna.trial.FixedTrial(stored)) == pytest.approx(
            point, abs=1e-12
        )


def test_a_grid_that_has_too_few_points_gives_all_of_them():
    assert len(fix_all_but("n_layers", n_layers="1..3").grid(50, seed=0)) == 3
    assert fix_all_but().grid(5, seed=0) == [{}]


def test_a_grid_is_shuffled_by_its_seed_alone():
    space = recipe_space({}, 1000)
    assert space.grid(20, seed=1) == space.grid(20, seed=1)
    assert space.grid(20, seed=1) != space.grid(20, seed=2)


# --- Batch sizes --------------------------------------------------------------------


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


def test_a_space_without_conditions_asks_for_everything():
    space = Space({"a": Uniform(0, 1), "b": Categorical("x")})
    assert space.fixed == {"b": "x"}
    assert space.suggest(optuna.trial.FixedTrial({"a": 0.25})) == {"a": 0.25}
    assert re.fullmatch(r"Uniform\(low=0, high=1\)", repr(space.scales["a"]))
