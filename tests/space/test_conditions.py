"""Which hyperparameters count, and when."""

import re

import optuna
import pytest
from optuna.samplers import RandomSampler

from tunekit.space import Categorical, Condition, Space, Uniform, recipe_space
from tunekit.trial import Recipe

from .conftest import DEFAULTS, counting


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


def test_a_space_without_conditions_asks_for_everything():
    space = Space({"a": Uniform(0, 1), "b": Categorical("x")})
    assert space.fixed == {"b": "x"}
    assert space.suggest(optuna.trial.FixedTrial({"a": 0.25})) == {"a": 0.25}
    assert re.fullmatch(r"Uniform\(low=0, high=1\)", repr(space.scales["a"]))
