"""The engine of iterables: rounds, ends, failures, pauses, and closing."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numpy as np
import pytest
import torch

from tunekit.errors import ConfigError
from tunekit.iterables import IterableEngine
from tunekit.trial import Fitted, Heard, Run, State, Verdict


class Script:
    """Feeds runs in an order; says at which epochs one pauses or stops."""

    def __init__(
        self, *runs: Run, verdicts: dict[tuple[str, int], Verdict] | None = None
    ):
        self.waiting, self.verdicts = [*runs], verdicts or {}
        self.told: list[tuple[str, int, float]] = []
        self.pauses: list[str] = []
        self.fits: dict[str, Fitted] = {}
        self.errors: dict[str, Exception] = {}

    def turn(self) -> AbstractContextManager[None]:
        return nullcontext()

    def next(self) -> Run | None:
        return self.waiting.pop(0) if self.waiting else None

    def epochs(self, heard: Sequence[Heard]) -> list[Verdict]:
        self.told += [(h.run.key, h.epoch, h.metrics.val_loss) for h in heard]
        return [self.verdicts.pop((h.run.key, h.epoch), Verdict.GO_ON) for h in heard]

    def paused(self, run: Run, state: State | None) -> None:
        assert state is None
        self.pauses.append(run.key)

    def end(self, run: Run, fitted: Fitted) -> None:
        self.fits[run.key] = fitted

    def fail(self, run: Run, error: Exception) -> None:
        self.errors[run.key] = error


def run_of(key: str, params: Any = None, **options: Any) -> Run:
    options = {"max_epochs": 3, "patience": 99, "seed": 0, **options}
    return Run(params=params, key=key, **options)


def given(values: Any) -> Any:
    return values


class Loop:
    """A training loop that counts what becomes of it."""

    def __init__(self) -> None:
        self.begun, self.closed = 0, 0

    def __call__(self, params: Any) -> Iterator[float]:
        self.begun += 1
        try:
            for epoch in range(1, 100):
                yield params + 1 / epoch
        finally:
            self.closed += 1


def test_open_runs_give_one_value_a_round_in_the_order_opened() -> None:
    feed = Script(run_of("a", [1, 2, 3]), run_of("b", [4, 5]), run_of("c", [6, 7, 8]))
    IterableEngine(given).train_all(feed, 2)
    assert [(key, epoch) for key, epoch, _ in feed.told] == [
        ("a", 1),
        ("b", 1),
        ("a", 2),
        ("b", 2),
        ("a", 3),
        ("c", 1),
        ("c", 2),
        ("c", 3),
    ]
    assert {key: len(fit.curve) for key, fit in feed.fits.items()} == {
        "a": 3,
        "b": 2,
        "c": 3,
    }


@pytest.mark.parametrize(
    "make",
    [list, tuple, iter, np.array, torch.tensor, lambda v: map(np.float32, v)],
)
def test_any_iterable_of_numbers_will_do(make: Callable[[list[float]], Any]) -> None:
    feed = Script(run_of("a", [0.5, 0.25, 0.75]))
    IterableEngine(make).train_all(feed, 1)
    assert [value for _, _, value in feed.told] == [0.5, 0.25, 0.75]
    assert feed.fits["a"].best_epoch == 2


def test_no_value_beyond_the_horizon_is_asked_for_and_loops_are_closed() -> None:
    loop = Loop()
    engine = IterableEngine(loop)
    feed = Script(run_of("a", 0.0), run_of("b", 0.0, max_epochs=1))
    engine.train_all(feed, 2)
    assert [len(fit.curve) for fit in feed.fits.values()] == [1, 3]
    assert (loop.begun, loop.closed) == (2, 2)


def test_maximized_the_best_epoch_is_the_highest() -> None:
    run = run_of("a", [0.5, 0.9, 0.7])
    engine = IterableEngine(given, maximize=True)
    assert engine.train(run, lambda epoch, metrics: True).best_epoch == 2


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_ends_its_run_as_diverged(bad: float) -> None:
    feed = Script(run_of("a", [0.5, bad, 0.1]), run_of("b", [1, 2, 3]))
    IterableEngine(given).train_all(feed, 2)
    assert feed.fits["a"].diverged
    assert (len(feed.fits["a"].curve), feed.fits["a"].best_epoch) == (2, 1)
    assert not feed.fits["b"].diverged


@pytest.mark.parametrize(
    "bad", ["0.5", None, True, [0.1], {"loss": 1}, np.zeros(3), torch.zeros(2)]
)
def test_a_value_that_is_no_number_fails_its_run_alone(bad: Any) -> None:
    feed = Script(run_of("a", [0.5, bad]), run_of("b", [1, 2, 3]))
    IterableEngine(given).train_all(feed, 2)
    assert list(feed.fits) == ["b"]
    message = str(feed.errors["a"])
    assert message.startswith("make(params) must give one number an epoch, got ")
    assert message.endswith(" at epoch 2; yield a float")
    assert "\n" not in message


def test_no_value_at_all_is_a_failure() -> None:
    feed = Script(run_of("a", []))
    IterableEngine(given).train_all(feed, 1)
    assert "at least one value" in str(feed.errors["a"])


def test_what_a_loop_raises_fails_its_run_alone() -> None:
    def make(params: Any) -> Iterator[float]:
        yield 1.0
        if params:
            raise ZeroDivisionError("of my own")
        yield 2.0

    feed = Script(run_of("a", True), run_of("b", False))
    IterableEngine(make).train_all(feed, 2)
    assert repr(feed.errors["a"]) == "ZeroDivisionError('of my own')"
    assert len(feed.fits["b"].curve) == 2


def test_what_make_raises_fails_its_run_alone() -> None:
    feed = Script(run_of("a", 0), run_of("b", 1))
    IterableEngine(lambda params: [1.0 / params]).train_all(feed, 1)
    assert (list(feed.errors), list(feed.fits)) == (["a"], ["b"])


def test_a_slow_make_holds_nobody_up() -> None:
    """What it does is training, and no part of the one write of a turn."""
    feed = Script(run_of("a"), run_of("b"))
    inside = False

    @contextmanager
    def turn() -> Iterator[None]:
        nonlocal inside
        inside = True
        yield
        inside = False

    def make(params: Any) -> list[float]:
        assert not inside
        return [1.0]

    feed.turn = turn  # type: ignore[method-assign]
    IterableEngine(make).train_all(feed, 2)
    assert sorted(feed.fits) == ["a", "b"]


def test_a_paused_run_goes_on_where_it_was() -> None:
    loop = Loop()
    engine = IterableEngine(loop)
    again = run_of("a", 0.0, max_epochs=4, reached=2)
    feed = Script(
        run_of("a", 0.0, max_epochs=4),
        run_of("b", 5.0, max_epochs=1),
        again,
        verdicts={("a", 2): Verdict.PAUSE},
    )
    engine.train_all(feed, 1)
    assert feed.pauses == ["a"]
    assert [(k, e) for k, e, _ in feed.told] == [
        ("a", 1),
        ("a", 2),
        ("b", 1),
        ("a", 3),
        ("a", 4),
    ]
    assert loop.begun == 2
    # The whole curve, from before the pause on.
    assert len(feed.fits["a"].curve) == 4


def test_a_run_whose_loop_is_gone_is_brought_to_where_it_was_before_others_go_on() -> (
    None
):
    loop = Loop()
    feed = Script(run_of("a", 0.0, reached=2), run_of("b", 0.0))
    IterableEngine(loop).train_all(feed, 2)
    assert [(k, e) for k, e, _ in feed.told] == [
        ("a", 1),
        ("a", 2),
        ("a", 3),
        ("b", 1),
        ("b", 2),
        ("b", 3),
    ]


def test_a_paused_loop_stays_open_until_the_study_ends() -> None:
    loop = Loop()
    engine = IterableEngine(loop)
    engine.train_all(Script(run_of("a", 0.0), verdicts={("a", 1): Verdict.PAUSE}), 1)
    assert loop.closed == 0
    engine.close()
    engine.close()
    assert loop.closed == 1


def test_a_stopped_run_is_closed_and_an_interruption_leaves_closing_to_close() -> None:
    loop = Loop()
    engine = IterableEngine(loop)
    engine.train_all(Script(run_of("a", 0.0), verdicts={("a", 1): Verdict.STOP}), 1)
    assert loop.closed == 1

    class Stop(Script):
        def epochs(self, heard: Sequence[Heard]) -> list[Verdict]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        engine.train_all(Stop(run_of("b", 0.0)), 1)
    engine.close()
    assert loop.closed == 2


def test_trouble_in_closing_is_told_and_costs_nothing() -> None:
    def make(params: Any) -> Iterator[float]:
        try:
            while True:
                yield 1.0
        finally:
            raise OSError("still busy")

    engine, feed = IterableEngine(make), Script(run_of("a"))
    engine.train_all(feed, 1)
    assert len(feed.fits["a"].curve) == 3
    assert engine.trouble == "closing a raised OSError: still busy"


class Module:
    def training_step(self) -> None:
        """As a LightningModule has."""


@pytest.mark.parametrize(
    ("made", "got"),
    [
        (Module(), "a LightningModule"),
        ((Module(), object()), "a LightningModule"),
        (0.5, "0.5"),
        (None, "None"),
        ("0.5", "'0.5'"),
        ({"loss": 1.0}, "{'loss': 1.0}"),
    ],
)
def test_what_is_no_iterable_of_floats_is_refused(made: Any, got: str) -> None:
    with pytest.raises(ConfigError, match="must return an iterable of floats") as error:
        IterableEngine(given).train_all(Script(run_of("a", made)), 1)
    assert f"got {got};" in str(error.value)


def test_what_an_iterator_draws_when_it_is_made_is_its_loops_own() -> None:
    class Draws:
        def __iter__(self) -> Iterator[float]:
            return iter([random.random()])

    def first(seed: int) -> list[float]:
        random.seed(seed)
        before = random.getstate()
        feed = Script(run_of("a"))
        IterableEngine(lambda params: Draws()).train_all(feed, 1)
        assert random.getstate() == before
        return [value for _, _, value in feed.told]

    assert first(1) == first(2)
