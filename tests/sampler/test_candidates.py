"""Candidates: the best of them is found, in the space, and as conditions have it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import TrialState, create_trial

from tunekit.sampler.belief import Belief, believe
from tunekit.sampler.candidates import Proposal, by_chance, propose
from tunekit.sampler.cube import Cube
from tunekit.sampler.reader import Reader

Floats = NDArray[np.float64]
RUNGS = (1, 3, 9)
MIXED: dict[str, BaseDistribution] = {
    "lr": FloatDistribution(1e-5, 1e-1, log=True),
    "kind": CategoricalDistribution(["sgd", "adam", "lion"]),
    "momentum": FloatDistribution(0.0, 0.9, step=0.1),
    "n_layers": IntDistribution(1, 5),
    "width": IntDistribution(8, 512, log=True),
}


def believed(
    space: dict[str, BaseDistribution],
    points_TP: Floats,
    values_T: Floats,
    length: float = 0.5,
) -> Belief:
    """What to believe after trials that were trained to their ends."""
    cube = Cube(space)
    trials = []
    for number, (point, value) in enumerate(zip(points_TP, values_T, strict=True)):
        params = cube.params(point)
        made = create_trial(
            state=TrialState.COMPLETE,
            value=float(value),
            params=params,
            distributions={name: space[name] for name in params},
            intermediate_values={RUNGS[-1]: float(value)},
        )
        made.number = number
        trials.append(made)
    history = Reader(cube, maximize=False, last=RUNGS[-1]).read(trials)
    n = cube.n_features
    constants = np.log([*[length] * n, 0.7, 0.05, 1.0, 0.3, 1e-3, 1e-3, 1e-3])
    return believe(history, constants, RUNGS)


def unit(n: int) -> dict[str, BaseDistribution]:
    return {f"x{i}": FloatDistribution(0.0, 1.0) for i in range(n)}


def proposed(belief: Belief, seed: int = 0) -> Proposal:
    return propose(belief, np.random.default_rng(seed))


@pytest.mark.parametrize("seed", range(3))
def test_a_random_one_is_worth_what_all_are_on_average(seed: int) -> None:
    points = np.random.default_rng(seed).random((20, 2))
    belief = believed(unit(2), points, (points**2).sum(1), length=1.0)
    side = (np.arange(40) + 0.5) / 40
    everywhere = np.stack(np.meshgrid(side, side), -1).reshape(-1, 2)
    mean = belief.rates(everywhere).max(0).mean()
    found = by_chance(belief, np.random.default_rng(seed))
    assert found == pytest.approx(mean, rel=0.4)
    assert found < 0.7 * proposed(belief, seed).rate


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("n", [1, 2, 4])
def test_the_best_corner_is_found(n: int, seed: int) -> None:
    """Ends are reached, not merely approached."""
    corner = np.arange(n) % 2
    points = np.random.default_rng(seed).random((20 * n, n)) * 0.9 + 0.05
    belief = believed(unit(n), points, abs(points - corner).sum(1), length=2.0)
    grid = np.stack(np.meshgrid(*[[0, 0.5, 1]] * n), -1).reshape(-1, n)
    best = grid[belief.rates(grid.astype(float)).max(0).argmax()]
    assert best.tolist() == corner.tolist()
    found = proposed(belief, seed)
    assert found.rate > 0.95 * belief.rates(corner[None].astype(float)).max()
    assert abs(found.point - corner).max() < 0.05
    assert (found.point == corner).mean() >= 0.5


@pytest.mark.parametrize("seed", range(5))
def test_it_is_about_the_best_there_is(seed: int) -> None:
    """Against a grid of the whole plane."""
    points = np.random.default_rng(seed).random((15, 2))
    values = np.sin(5 * points[:, 0]) + np.cos(7 * points[:, 1])
    belief = believed(unit(2), points, values)
    axis = np.linspace(0, 1, 61)
    grid = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    assert proposed(belief, seed).rate > 0.98 * belief.rates(grid).max()


@pytest.mark.parametrize("seed", range(3))
def test_of_choices_the_best_is_found(seed: int) -> None:
    rng = np.random.default_rng(seed)
    cube = Cube(MIXED)
    points = cube.snapped(rng.random((40, 5)))
    away = abs(points[:, 0] - 0.5) + abs(points[:, 3] - 0.7)
    belief = believed(MIXED, points, away + 0.3 * (points[:, 1] < 0.8))
    found = cube.params(proposed(belief, seed).point)
    assert found["kind"] == "lion"
    assert found["n_layers"] in (3, 4, 5)
    assert 1e-4 < found["lr"] < 1e-2


@pytest.mark.parametrize("seed", range(20))
def test_nothing_leaves_the_space(seed: int) -> None:
    rng = np.random.default_rng(seed)
    cube = Cube(MIXED)
    points = cube.snapped(rng.random((12, 5)))
    # The best lies on an edge, and beyond it would be better still.
    belief = believed(MIXED, points, points @ rng.choice([-1.0, 1.0], 5))
    found = proposed(belief, seed)
    np.testing.assert_array_equal(cube.snapped(found.point[None])[0], found.point)
    for name, value in cube.params(found.point).items():
        distribution = MIXED[name]
        assert distribution._contains(distribution.to_internal_repr(value))


@pytest.mark.parametrize("best", ["sgd", "adam"])
def test_what_does_not_count_is_masked(best: str) -> None:
    """A momentum with SGD alone, which is the best, or not."""
    cube = Cube(MIXED)
    points = cube.snapped(np.random.default_rng(0).random((30, 5)))
    sgd = points[:, 1] < 0.3
    points[~sgd, 2] = np.nan
    values = 0.1 * points[:, 0] + (sgd != (best == "sgd"))
    found = cube.params(proposed(believed(MIXED, points, values)).point)
    assert found["kind"] in (("sgd",) if best == "sgd" else ("adam", "lion"))
    assert ("momentum" in found) == (best == "sgd")
    assert {"lr", "n_layers", "width"} <= set(found)


def test_its_rate_is_that_of_the_belief() -> None:
    points = np.random.default_rng(3).random((20, 3))
    belief = believed(unit(3), points, ((points - 0.4) ** 2).sum(1))
    found = proposed(belief)
    assert found.rate == pytest.approx(
        belief.rates(found.point[None]).max(), rel=0.01, abs=1e-5
    )


def test_what_was_tried_is_not_proposed_again() -> None:
    """The best corner has been tried, with luck and without."""
    points = np.random.default_rng(3).random((30, 2)) * 0.9 + 0.05
    points[-3:] = 0.0
    values = points.sum(1) + np.r_[np.zeros(27), -0.2, 0.0, 0.2]
    found = proposed(believed(unit(2), points, values, length=2.0))
    assert 0.005 <= found.point.max() < 0.5


def test_where_all_have_been_tried_the_best_is_tried_again() -> None:
    space: dict[str, BaseDistribution] = {"n": IntDistribution(1, 5)}
    points = Cube(space).snapped(np.linspace(0, 1, 5)[:, None])
    belief = believed(space, points, np.array([5.0, 4.0, 1.0, 4.0, 5.0]))
    found = proposed(belief)
    assert Cube(space).params(found.point) == {"n": 3}
    assert found.rate < 1e-6


def test_it_is_a_function_of_belief_and_seed() -> None:
    points = np.random.default_rng(3).random((20, 3))
    belief = believed(unit(3), points, np.sin(9 * points).sum(1))
    kept = belief.history.points.copy()
    one, two, other = (proposed(belief, seed) for seed in (0, 0, 1))
    assert one.point.tolist() == two.point.tolist()
    assert one.rate == two.rate
    assert one.point.tolist() != other.point.tolist()
    assert (belief.history.points == kept).all()


def test_when_all_trials_are_alike_there_is_something_to_propose() -> None:
    same: Any = np.full((10, 2), 0.5)
    found = proposed(believed(unit(2), same, np.zeros(10)))
    assert found.rate > 0
    assert np.linalg.norm(found.point - 0.5) > 0.1
