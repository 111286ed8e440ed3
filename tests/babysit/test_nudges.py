"""Hyperparameters that move in steps, and what is tried."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tunekit.babysit.nudges import (
    Knob,
    Settings,
    knobs_of,
    menu,
    moved,
    recipe_knobs,
    rescues,
)
from tunekit.errors import SpaceError
from tunekit.space import (
    Categorical,
    IntLogUniform,
    IntUniform,
    LogUniform,
    OneMinusLogUniform,
    Uniform,
)
from tunekit.trial import Recipe

LR = Knob("lr", LogUniform(1e-6, 1.0), 2.0, "rate")
GAP = Knob("momentum", OneMinusLogUniform(0.5, 0.999), 2.0)
PLAIN = Knob("dropout", Uniform(0.0, 0.8), 0.15, "rein")
KNOBS = recipe_knobs(Recipe(optimizer="sgd"))
WHAT_IS: Settings = {"lr": 0.01, "weight_decay": 1e-4, "dropout": 0.3, "momentum": 0.9}


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize(
    ("knob", "value", "up", "down"),
    [
        (LR, 0.01, 0.02, 0.005),
        # Away from one is up: the average runs over fewer steps.
        (GAP, 0.9, 0.8, 0.95),
        (PLAIN, 0.3, 0.45, 0.15),
    ],
)
def test_a_step_goes_by_the_scale_and_leads_back(
    knob: Knob, value: float, up: float, down: float
) -> None:
    assert knob.at(value, 1) == pytest.approx(up, rel=1e-9)
    assert knob.at(value, -1) == pytest.approx(down, rel=1e-9)
    for steps in (1, -1, 0.5):
        assert knob.at(knob.at(value, steps), -steps) == pytest.approx(value, rel=1e-9)
    # Hundreds of steps there and back leave what was, so that no drift builds up.
    for _ in range(300):
        value = knob.at(knob.at(value, 1), -1)
    assert (knob.at(value, 1), knob.at(value, -1)) == pytest.approx((up, down))


@pytest.mark.parametrize("knob", [LR, GAP, PLAIN])
@pytest.mark.parametrize("steps", [1, 50, 5000, 1e9])
def test_no_step_leaves_the_scale(knob: Knob, steps: float) -> None:
    low, high = knob.scale.low, knob.scale.high
    # What a person begins with may be outside.
    for begin in (low, high, (low + high) / 2, low / 10, high * 1.0005):
        for signed in (steps, -steps):
            assert low <= knob.at(begin, signed) <= high
    ends = {knob.at(low, 1e9), knob.at(high, -1e9)}
    assert ends == {low, high}


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "rmsprop"])
def test_a_network_has_the_knobs_of_its_optimizer(optimizer: str) -> None:
    recipe = Recipe(optimizer=optimizer)  # type: ignore[arg-type]
    found = set(recipe_knobs(recipe))
    own = {"sgd": {"momentum"}, "rmsprop": set()}.get(optimizer, {"beta1"})
    assert found == {"lr", "weight_decay", "dropout"} | own
    assert "dropout" not in recipe_knobs(recipe.with_params({"n_layers": 0}))


def test_a_module_has_those_of_its_space() -> None:
    space = {"lr": LogUniform(1e-5, 1.0), "wd": LogUniform(1e-6, 1.0)}
    space |= {"m": OneMinusLogUniform(0.5, 0.99), "p": Uniform(-1.0, 1.0)}
    knobs = knobs_of(space)
    parts = [(knob.part, knob.step) for knob in knobs.values()]
    assert parts == [("rate", 2.0), ("rein", 10.0), ("", 2.0), ("", 0.4)]


@pytest.mark.parametrize(
    ("part", "names"),
    [
        ("rate", ["lr", "base_lr", "encoder_lr", "head_learning_rate"]),
        ("rein", ["head_dropout", "encoder_weight_decay", "attn_drop_rate", "head_wd"]),
        ("", ["lr_decay", "clr", "plr", "beta", "theta", "backdrop", "temperature"]),
    ],
)
def test_names_say_what_a_hyperparameter_is_for(part: str, names: list[str]) -> None:
    space = dict.fromkeys(names, LogUniform(1e-5, 1.0))
    assert {knob.part for knob in knobs_of(space).values()} == {part}


def test_all_rates_go_down_together_where_the_loss_is_flat() -> None:
    space = {name: LogUniform(1e-5, 1.0) for name in ("base_lr", "encoder_lr")}
    flat = menu(dict.fromkeys(space, 0.01), knobs_of(space), 1, rng(), flat=True)
    assert flat == [dict.fromkeys(space, 0.005)]


@pytest.mark.parametrize(
    "scale",
    [Categorical("a", "b"), IntUniform(1, 9), IntLogUniform(1, 9), 0.1, "1..2"],
)
def test_what_cannot_move_is_refused(scale: object) -> None:
    with pytest.raises(SpaceError, match='space "width"') as caught:
        knobs_of({"lr": LogUniform(1e-5, 1.0), "width": scale})
    assert "\n" not in str(caught.value)


def test_the_rate_goes_up_while_the_loss_falls_and_down_where_it_is_flat() -> None:
    up = menu(WHAT_IS, KNOBS, 1, rng(), flat=False)
    down = menu(WHAT_IS, KNOBS, 1, rng(), flat=True)
    assert up == [{**WHAT_IS, "lr": 0.02}]
    assert down == [{**WHAT_IS, "lr": 0.005}]


@pytest.mark.parametrize("n", [0, 1, 2, 5, 8, 40])
@pytest.mark.parametrize("seed", range(10))
def test_a_menu_has_no_doubles_and_only_neighbours(n: int, seed: int) -> None:
    found = menu(WHAT_IS, KNOBS, n, rng(seed), flat=bool(seed % 2))
    assert found == menu(WHAT_IS, KNOBS, n, rng(seed), flat=bool(seed % 2))
    assert len(found) <= n
    assert len({tuple(each.values()) for each in found}) == len(found)
    for each in found:
        assert list(each) == list(WHAT_IS)
        changed = [name for name in each if each[name] != WHAT_IS[name]]
        assert len(changed) == 1
        (name,) = changed
        near = [KNOBS[name].at(WHAT_IS[name], s) for s in (1, -1)]
        assert each[name] in near
    if n <= 5:
        assert len(found) == n


def test_menus_differ_by_what_is_drawn() -> None:
    seen = {str(menu(WHAT_IS, KNOBS, 2, rng(seed), flat=False)) for seed in range(30)}
    # The rate up, and one of six: three knobs, up or down.
    assert len(seen) == 6


def test_what_is_held_is_not_in_a_menu() -> None:
    free = {name: knob for name, knob in KNOBS.items() if name != "lr"}
    for seed in range(10):
        for each in menu(WHAT_IS, free, 4, rng(seed), flat=True):
            assert each["lr"] == WHAT_IS["lr"]


def test_menus_of_one_knob_and_of_none() -> None:
    one = {"lr": LR}
    found = menu({"lr": 0.01}, one, 5, rng(), flat=False)
    assert sorted(each["lr"] for each in found) == [0.005, 0.02]
    assert menu({"lr": 1.0}, one, 1, rng(), flat=False) == [{"lr": 0.5}]
    assert menu(WHAT_IS, {}, 3, rng(), flat=False) == []
    assert menu({}, {}, 3, rng(), flat=True) == []
    assert menu({"momentum": 0.9}, {"momentum": GAP}, 2, rng(), flat=True) != []


def test_rescues_begin_with_a_lower_rate_and_grow() -> None:
    first = rescues(WHAT_IS, KNOBS, 4, 1)
    assert len(first) == 4
    assert first[0] == {**WHAT_IS, "lr": 0.005}
    assert {str(each) for each in first[1:3]} == {
        str({**WHAT_IS, "dropout": 0.45}),
        str({**WHAT_IS, "weight_decay": 1e-3}),
    }
    deeper = rescues(WHAT_IS, KNOBS, 4, 6)
    assert deeper[0]["lr"] < first[0]["lr"]
    assert all(each["momentum"] == 0.9 for each in rescues(WHAT_IS, KNOBS, 9, 1))


@pytest.mark.parametrize("depth", [1, 2, 12, 400, 10**6])
def test_rescues_never_fail_however_deep(depth: int) -> None:
    found = rescues(WHAT_IS, KNOBS, 8, depth)
    assert 1 <= len(found) <= 8
    for each in found:
        for name, value in each.items():
            assert KNOBS[name].scale.low <= value <= KNOBS[name].scale.high
            assert math.isfinite(value)


def test_rescues_of_few_knobs() -> None:
    assert rescues(WHAT_IS, {}, 4, 1) == [WHAT_IS]
    both = rescues({"momentum": 0.9}, {"momentum": GAP}, 4, 1)
    assert sorted(each["momentum"] for each in both) == [0.8, 0.95]
    for each in rescues(WHAT_IS, {"dropout": PLAIN}, 8, 3):
        assert {n: v for n, v in each.items() if n != "dropout"} == {
            n: v for n, v in WHAT_IS.items() if n != "dropout"
        }


def test_moving_leaves_what_is_no_knob() -> None:
    assert moved({"lr": 0.01, "other": 3.0}, {"lr": LR}, {"lr": 1, "no": 2}) == {
        "lr": 0.02,
        "other": 3.0,
    }
