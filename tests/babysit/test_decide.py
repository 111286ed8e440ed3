"""What is trained next, decided for a model whose losses are made up."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest

from tunekit.babysit.course import START, Course, Outcome, Rules
from tunekit.babysit.decide import after, next_round
from tunekit.babysit.nudges import Settings

from .made_up import BEGIN, KNOBS, Loss, Model, diverging, falling, random, turning

GRID = list(itertools.product([1, 2, 3, 4, 29, 70], [1, 6], [1, 2, 9], [0, 2, 5]))


@pytest.mark.parametrize("loss", [falling, turning, diverging, random])
def test_a_budget_is_spent_and_never_exceeded(loss: Loss) -> None:
    for horizon, interval, burst, nudges in GRID:
        rules = Rules(
            interval=interval, burst=burst, nudges=nudges, horizon=horizon, rescues=3
        )
        model = Model(loss, rules, seed=horizon)
        spent = 0
        for before, tried in model.rounds():
            assert before.spent == spent
            assert tried.cost <= horizon - before.spent
            assert 1 <= tried.epochs <= max(interval, burst)
            spent = model.course.spent
        assert spent <= horizon
        if loss in (falling, turning):
            assert spent == horizon


@pytest.mark.parametrize("loss", [falling, turning, random])
def test_epochs_on_the_line_are_those_of_its_checkpoints(loss: Loss) -> None:
    model = Model(loss, Rules(horizon=400))
    for _ in model.rounds():
        line = model.course.line
        assert line[0].name == START
        epochs = [point.epoch for point in line]
        assert epochs == sorted(epochs)
        assert [model.stored[point.name] for point in line] == epochs
        if math.isfinite(model.course.best):
            at = model.stored[model.course.best_at]
            assert at == model.course.best_epoch


def test_the_best_is_the_lowest_of_all_epochs() -> None:
    model, lowest = Model(random, Rules(horizon=500)), math.inf
    train = model.train

    def noted(tried):  # type: ignore[no-untyped-def]
        nonlocal lowest
        found = train(tried)
        kept = [each.lowest for each in found if each.checkpoint is not None]
        if tried.doing != "burst":
            lowest = min([lowest, *kept])
        return found

    model.train = noted  # type: ignore[method-assign]
    for _ in model.rounds():
        assert model.course.best <= lowest


def test_a_loss_that_turns_bad_is_taken_back_to_before() -> None:
    model = Model(turning, Rules())
    back: dict[int, int] = {}
    for before, tried in model.rounds(400):
        if tried.doing == "rescue" and before.done == 0:
            (source,) = {source for source, _ in tried.branches}
            at = next(p.epoch for p in before.line if p.name == source)
            assert at <= before.best_epoch
            assert before.here.epoch > before.best_epoch
            back.setdefault(before.depth, before.best_epoch - at)
    assert len(back) >= 4
    assert back[1] == 0
    gone = [back[depth] for depth in sorted(back)]
    assert gone == sorted(gone)
    # Further by factors, and not to the start at once.
    assert 12 <= gone[1] <= 25 <= gone[2] <= gone[3] == 31


def test_what_can_be_mended_is_mended() -> None:
    def overfits(settings: Settings, epoch: int, rng: np.random.Generator) -> float:
        late = 0.0 if settings["dropout"] > 0.3 else 0.02 * max(0, epoch - 20)
        return 0.1 + 1.0 / (1 + epoch) + late

    model = Model(overfits, Rules(horizon=600, nudges=0))
    without = min(overfits(BEGIN, epoch, np.random.default_rng()) for epoch in GRID[0])
    rounds = [tried.doing for _, tried in model.rounds()]
    assert "rescue" in rounds
    assert model.course.settings["dropout"] > 0.3
    assert model.course.best < 0.11 < without


@pytest.mark.parametrize("horizon", [None, 5, 100, 5000])
def test_what_always_diverges_comes_to_an_end(horizon: int | None) -> None:
    model = Model(diverging, Rules(horizon=horizon))
    rounds = [tried for _, tried in model.rounds()]
    assert len(rounds) < 1000
    assert model.course.best_at == START
    assert next_round(model.course, model.rules, KNOBS, 0) is None
    rates = [settings["lr"] for each in rounds for _, settings in each.branches]
    if horizon != 5:
        assert min(rates) < 1e-3 * BEGIN["lr"]


def test_what_diverges_later_goes_on_until_the_budget_is_spent() -> None:
    def late(settings: Settings, epoch: int, rng: np.random.Generator) -> float:
        return 1.0 / epoch if epoch <= 12 else math.inf

    model = Model(late, Rules(horizon=900))
    assert sum(1 for _ in model.rounds()) > 30
    assert model.course.best == pytest.approx(1 / 12)


def test_thousands_of_rounds_without_a_gain_raise_nothing() -> None:
    def flat(settings: Settings, epoch: int, rng: np.random.Generator) -> float:
        return 1.0 + 0.2 * float(rng.random()) + 0.01 * epoch

    model = Model(flat, Rules())
    assert sum(1 for _ in model.rounds(4000)) == 4000
    # Where all rescues have failed, the best is gone on from, and they begin anew.
    assert model.course.depth < 20
    assert model.course.best_at in {point.name for point in model.course.line}


def test_a_rate_too_high_comes_down_though_it_diverges_at_once() -> None:
    def too_high(settings: Settings, epoch: int, rng: np.random.Generator) -> float:
        return math.inf if settings["lr"] > 0.02 else 1.0 / epoch

    model = Model(too_high, Rules(horizon=300))
    model.course = Course({**BEGIN, "lr": 1.0})
    assert [*model.rounds()]
    assert model.course.best < 0.05
    assert model.course.settings["lr"] <= 0.02


@pytest.mark.parametrize("held", [["lr"], ["dropout", "momentum"], list(KNOBS)])
@pytest.mark.parametrize("loss", [falling, turning, random, diverging])
def test_what_is_held_never_moves(held: list[str], loss: Loss) -> None:
    model = Model(loss, Rules(horizon=400))
    model.course = Course(dict(BEGIN), held=held)
    for _, tried in model.rounds():
        for _, settings in tried.branches:
            assert {n: settings[n] for n in held} == {n: BEGIN[n] for n in held}


@pytest.mark.parametrize("loss", [falling, turning])
def test_at_the_end_the_rate_falls_to_nearly_nothing(loss: Loss) -> None:
    model = Model(loss, Rules(horizon=300))
    rounds = [*model.rounds()]
    cool = [(before, tried) for before, tried in rounds if tried.doing == "cool"]
    assert rounds[-len(cool) :] == cool
    began = cool[0][0]
    assert 300 - began.spent == len(cool) <= 0.15 * 300
    # From the best checkpoint on, one going on from the other.
    assert cool[0][1].branches[0][0] == began.best_at
    for (_, one), (_, two) in itertools.pairwise(cool):
        assert two.branches[0][0] == one.checkpoint(0)
    rates = [tried.branches[0][1]["lr"] for _, tried in cool]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] < began.settings["lr"]
    assert rates[-1] < 0.02 * began.settings["lr"]
    assert model.course.doing == "over"


def test_a_horizon_too_short_to_cool_trains_to_its_end() -> None:
    for horizon in (1, 2, 3):
        model = Model(falling, Rules(horizon=horizon))
        assert [tried.doing for _, tried in model.rounds()] != []
        assert model.course.spent == horizon
        assert math.isfinite(model.course.best)


@pytest.mark.parametrize("loss", [falling, turning, random])
def test_decisions_are_functions_of_what_happened(loss: Loss) -> None:
    one, two = (Model(loss, Rules(horizon=300), seed=3) for _ in range(2))
    first = [tried for _, tried in one.rounds()]
    assert first == [tried for _, tried in two.rounds()]
    other = Model(loss, Rules(horizon=300), seed=4)
    assert first != [tried for _, tried in other.rounds()]


def test_a_round_leaves_the_course_that_it_was_decided_from() -> None:
    model = Model(random, Rules(horizon=200))
    for before, tried in model.rounds():
        kept = Course.from_dict(before.as_dict())
        outcomes = [Outcome([1.0], [1.0], [0.0], tried.checkpoint(0))]
        outcomes *= len(tried.branches)
        after(before, tried, outcomes, model.rules, KNOBS)
        next_round(before, model.rules, KNOBS, 0)
        assert before == kept


def test_a_knob_that_wins_a_burst_is_kept() -> None:
    def likes_dropout(
        settings: Settings, epoch: int, rng: np.random.Generator
    ) -> float:
        return 10.0 / (10 + epoch) + abs(settings["dropout"] - 0.55)

    model = Model(likes_dropout, replace(Rules(), nudges=6))
    for _ in model.rounds(40):
        pass
    assert model.course.settings["dropout"] == pytest.approx(0.55)
