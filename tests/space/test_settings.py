"""Spaces from settings, and settings from spaces."""

import tomllib

import optuna
import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from tunekit.errors import ConfigError, SpaceError
from tunekit.space import (
    Categorical,
    IntLogUniform,
    IntUniform,
    LogUniform,
    OneMinusLogUniform,
    Uniform,
    recipe_space,
)
from tunekit.trial import ACTIVATIONS, OPTIMIZERS, SCHEDULES, SHAPES, Recipe

from .conftest import DEFAULTS, NAMES, counting, floats, gapped, ordered


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
