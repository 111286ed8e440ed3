"""Whatever happens, what the next round begins at is kept, and little else."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from tunekit.babysit.course import START, Branch, Course, Point, Rules
from tunekit.babysit.decide import next_round, replanned
from tunekit.babysit.nudges import Settings
from tunekit.babysit.outside import reopened, steered, without
from tunekit.babysit.steer import Edit

from .made_up import KNOBS, Model, falling, random, turning

STATES = {"watch", "train", "rescue", "cool", "over"}


def wandering(settings: Settings, epoch: int, rng: np.random.Generator) -> float:
    """Falls, turns and diverges in turns."""
    if rng.random() < 0.03:
        return math.inf
    return 1.0 + math.sin(epoch / 7) + 0.3 * float(rng.normal()) + 3.0 / (1 + epoch)


def edit(rng: np.random.Generator) -> Edit:
    names = sorted(KNOBS)
    name = names[int(rng.integers(len(names)))]
    scale = KNOBS[name].scale
    value = float(scale.nearest(rng.uniform(scale.low, scale.high)))
    kind = int(rng.integers(4))
    return Edit(
        settings={name: value} if kind in (0, 1) else {},
        held=sorted({name, *names[: int(rng.integers(3))]}) if kind in (1, 2) else None,
        stop=kind == 3,
    )


@pytest.mark.parametrize("loss", [random, wandering, turning, falling])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("horizon", [None, 500])
def test_every_source_is_kept(loss, seed, horizon):
    """Model.rounds looks every source up in what the course has kept."""
    rng = np.random.default_rng(seed)
    rules = Rules(
        interval=int(rng.integers(1, 8)),
        burst=int(rng.integers(1, 4)),
        nudges=int(rng.integers(0, 4)),
        patience=int(rng.integers(1, 4)),
        rescues=int(rng.integers(1, 6)),
        horizon=horizon,
    )
    model = Model(loss, rules, seed=seed)
    assert sum(1 for _ in model.rounds(200)) > 20


@pytest.mark.parametrize("seed", range(8))
def test_a_person_and_losses_of_files_change_nothing_of_that(seed: int) -> None:
    rng, seen = np.random.default_rng(seed), set()
    model = Model(wandering, Rules(horizon=250), seed=seed)
    for _ in range(400):
        for _ in model.rounds(1):
            pass
        course = model.course
        seen.add(course.doing)
        chance = rng.random()
        before = Course.from_dict(course.as_dict())
        if chance < 0.05:
            model.course = steered(course, edit(rng), model.rules, KNOBS)
        elif chance < 0.1:
            names = sorted(course.checkpoints)
            lost = {name for name in names if rng.random() < 0.4}
            model.course = without(course, lost)
            assert not lost & model.course.checkpoints
            model.stored = {n: at for n, at in model.stored.items() if n not in lost}
        elif course.doing == "over" or chance < 0.12:
            model.rules = replace(model.rules, horizon=model.course.spent + 200)
            model.course = reopened(course)
        assert course == before
        model.keep()
        if math.isfinite(model.course.best):
            assert model.course.best_at in model.stored
    assert seen == STATES


def test_a_long_line_keeps_few_checkpoints_spread_over_it() -> None:
    model = Model(falling, Rules())
    most = {}
    for before, _ in model.rounds(1200):
        most[before.here.epoch] = len(before.checkpoints)
    last = max(most)
    assert last > 4_000
    assert max(most.values()) <= 8 + math.log2(last / 6)
    ages = [last - point.epoch for point in model.course.line]
    for wanted in (6 * 2**n for n in range(1, 9)):
        # Whoever goes back so far finds a checkpoint from no more than twice as long.
        assert any(wanted <= age <= 2.5 * wanted + 24 for age in ages), (wanted, ages)


@pytest.mark.parametrize("doing", sorted(STATES))
@pytest.mark.parametrize("lost", ["all", "best", "here"])
def test_what_is_lost_in_any_state_leaves_a_model_to_go_on(
    doing: str, lost: str
) -> None:
    model = Model(turning, Rules(horizon=300))
    for _ in model.rounds():
        if model.course.doing == doing and len(model.course.line) > 3:
            break
    course = model.course
    assert course.doing == doing
    gone = {
        "all": course.checkpoints,
        "best": {course.best_at},
        "here": {course.here.name},
    }[lost]
    left = without(course, gone - {START})
    assert not left.checkpoints & gone
    if lost == "all":
        assert (left.best_at, left.line[0].name, len(left.line)) == (START, START, 1)
        assert left.best == math.inf
    if doing == "over":
        assert left.doing == "over"
        assert next_round(left, model.rules, KNOBS, 0) is None
    else:
        tried = next_round(left, model.rules, KNOBS, 0)
        assert tried is not None
        assert {source for source, _ in tried.branches} <= {START, *left.checkpoints}


@pytest.mark.parametrize("doing", sorted(STATES - {"over"}))
def test_a_person_steps_in_in_any_state(doing: str) -> None:
    model = Model(turning, Rules(horizon=300))
    for _ in model.rounds():
        if model.course.doing == doing and model.course.spent > 10:
            break
    assert model.course.doing == doing
    model.course = steered(
        model.course, Edit({"lr": 0.004, "dropout": 0.5}), Rules(), KNOBS
    )
    model.keep()
    ((_, tried),) = model.rounds(1)
    for _, settings in tried.branches:
        assert settings["dropout"] == 0.5
        if doing == "cool":
            assert settings["lr"] < 0.004
        else:
            assert (tried.doing, settings["lr"]) == ("train", 0.004)


@pytest.mark.parametrize("doing", sorted(STATES - {"over"}))
def test_what_a_person_holds_stays_from_then_on(doing: str) -> None:
    model = Model(turning, Rules(horizon=300))
    for _ in model.rounds():
        if model.course.doing == doing and model.course.spent > 10:
            break
    assert model.course.doing == doing
    wanted = {"dropout": 0.65, "lr": 0.0123}
    asked = Edit(dict(wanted), held=["lr", "dropout"])
    model.course = steered(model.course, asked, model.rules, KNOBS)
    model.keep()
    for _, tried in model.rounds():
        for _, settings in tried.branches:
            assert {name: settings[name] for name in wanted} == wanted


@pytest.mark.parametrize("doing", ["rescue", "cool", "train"])
def test_held_without_a_value_is_held_as_it_is(doing: str) -> None:
    model = Model(turning, Rules(horizon=300))
    last = None
    for _, tried in model.rounds():
        last = tried
        if model.course.doing == doing and model.course.done > 1:
            break
        if model.course.doing == doing == "train" and model.course.spent > 60:
            break
    assert last is not None
    was = last.branches[0][1]["lr"]
    model.course = steered(model.course, Edit(held=["lr"]), model.rules, KNOBS)
    model.keep()
    rates = {s["lr"] for _, tried in model.rounds() for _, s in tried.branches}
    assert len(rates) == 1
    if doing != "rescue":
        assert rates == {was}


def test_what_was_held_while_the_rate_fell_falls_on_from_there() -> None:
    model = Model(turning, Rules(horizon=300))
    for _, tried in model.rounds():
        last = tried.branches[0][1]["lr"]
        if model.course.doing == "cool" and model.course.done > 1:
            break
    for held in (["lr"], []):
        model.course = steered(model.course, Edit(held=held), model.rules, KNOBS)
        model.keep()
        ((_, tried),) = model.rounds(1)
        lr = tried.branches[0][1]["lr"]
        assert lr == pytest.approx(last, rel=0.2 if held == [] else 1e-9)
        assert lr <= last * (1 + 1e-9)


@pytest.mark.parametrize("plans", [[10] * 10, [30, 9, 14, 3, 2, 1], [5, 4, 3, 2, 1]])
def test_a_rate_falls_to_zero_whatever_time_is_left(plans: list[int]) -> None:
    """Planned anew at each epoch, it never rises, and ends near zero."""
    model = Model(falling, Rules(horizon=200))
    for _ in model.rounds():
        if model.course.doing == "cool":
            break
    rates = []
    for epochs in plans:
        model.course = replanned(model.course, epochs)
        ((_, tried),) = model.rounds(1)
        rates.append(tried.branches[0][1]["lr"])
    for _, tried in model.rounds():
        rates.append(tried.branches[0][1]["lr"])
    assert model.course.doing == "over"
    assert len(rates) == len(plans) + plans[-1] - 1
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] < 0.15 * rates[0]


def test_a_larger_budget_opens_what_is_over_alone() -> None:
    model = Model(falling, Rules(horizon=50))
    assert [*model.rounds()]
    assert reopened(model.course).doing == "watch"
    going = Course({"lr": 0.1}, doing="train", to_train=3)
    assert reopened(going) == going


def test_what_a_rescue_has_gained_is_on_the_line_when_it_is_left() -> None:
    """Stopped, steered or with another branch lost, the best of it is gone on from."""
    course = Course({"lr": 0.1}, line=[Point(START, 0, math.inf), Point("a", 6, 9.0)])
    course.doing, course.origin = "rescue", START
    course.best, course.best_at, course.best_epoch = 0.4, "b", 6
    course.base = course.best_settings = {"lr": 0.01}
    course.branches = [
        Branch({"lr": 0.01}, "c", 0.4, [Point("b", 6, 0.4), Point("c", 12, 0.5)]),
        Branch({"lr": 0.05}, "d", 0.8, [Point("d", 6, 0.8)]),
    ]
    stopped = steered(course, Edit(stop=True), Rules(), KNOBS)
    held = steered(course, Edit(held=["lr"]), Rules(), KNOBS)
    poorer = without(course, {"d"})
    for left in (stopped, held, poorer, reopened(stopped)):
        assert [point.name for point in left.line] == [START, "b"]
        assert left.settings == {"lr": 0.01} or left is held
        assert left.branches == []
