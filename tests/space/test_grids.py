"""Grids over a space."""

import optuna
import pytest

from tunekit.space import recipe_space
from tunekit.trial import ACTIVATIONS, SCHEDULES, SHAPES

from .conftest import DEFAULTS


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
