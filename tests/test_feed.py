"""What an engine of one run at a time tells its feed; runs known from the start."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunekit.errors import ConfigError, DataError
from tunekit.feed import one_by_one, train_together
from tunekit.trial import Feed, Fitted, Heard, Metrics, Recipe, Run, State, Verdict

OnEpoch = Callable[[int, Metrics], Verdict]


def run_of(key: str, **options: Any) -> Run:
    options = {"max_epochs": 4, "patience": 10, "seed": 0, **options}
    return Run(recipe=Recipe(), key=key, **options)


class Listed:
    """An engine whose validation losses are given; anything may be raised there.

    It keeps the states of runs that are paused itself, unless it is told to give them.
    """

    name = "listed"

    def __init__(
        self, losses: dict[str, Sequence[float | Exception]], gives: bool = True
    ) -> None:
        self.losses, self.gives = losses, gives
        self.trained: list[str] = []

    def train(self, run: Run, on_epoch: OnEpoch) -> Fitted | State | None:
        self.trained.append(run.key)
        curve: list[Metrics] = []
        best, best_epoch = math.inf, 0
        if run.state:
            curve, best_epoch = list(run.state.curve), run.state.best_epoch
            best = curve[best_epoch - 1].val_loss if best_epoch else best
        for epoch in range(run.paused_at + 1, run.max_epochs + 1):
            loss = self.losses[run.key][epoch - 1]
            if isinstance(loss, BaseException):
                raise loss
            curve.append(Metrics(1.0, loss, 0.5, 0.5, 1e-3, 0.1))
            if math.isfinite(loss) and loss < best:
                best, best_epoch = loss, epoch
            tired = epoch - best_epoch >= run.patience
            verdict = on_epoch(epoch, curve[-1])
            over = tired or not math.isfinite(loss) or epoch == run.max_epochs
            if verdict is Verdict.PAUSE and not over:
                if not self.gives:
                    return None
                return State(
                    tensors={}, steps=epoch, best_epoch=best_epoch, curve=curve
                )
            if over or verdict is Verdict.STOP:
                break
        return Fitted(
            curve=curve,
            best_epoch=best_epoch,
            weights={},
            diverged=not math.isfinite(curve[-1].val_loss),
        )

    def train_all(self, feed: Feed, slots: int) -> None:
        one_by_one(self.train, feed)

    def close(self) -> None:
        """Nothing to let go of."""


class Notes:
    """A feed that writes down all it is told, and whether within a turn."""

    def __init__(
        self,
        runs: Sequence[Run],
        judge: Callable[[Heard], Verdict] = lambda heard: Verdict.GO_ON,
    ) -> None:
        self.waiting, self.judge = [*runs], judge
        self.told: list[tuple[Any, ...]] = []
        self.turns = 0
        self.in_turn = False

    @contextmanager
    def turn(self) -> Iterator[None]:
        assert not self.in_turn
        self.in_turn = True
        self.turns += 1
        try:
            yield
        finally:
            self.in_turn = False

    def note(self, *what: Any) -> None:
        assert self.in_turn
        self.told.append(what)

    def next(self) -> Run | None:
        run = self.waiting.pop(0) if self.waiting else None
        self.note("next", run and run.key)
        return run

    def epochs(self, heard: Sequence[Heard]) -> list[Verdict]:
        (each,) = heard
        self.note("epoch", each.run.key, each.epoch, each.over)
        return [self.judge(each)]

    def paused(self, run: Run, state: State | None) -> None:
        self.note("paused", run.key, state and len(state.curve))
        self.state = state

    def end(self, run: Run, fitted: Fitted) -> None:
        self.note("end", run.key, len(fitted.curve))

    def fail(self, run: Run, error: Exception) -> None:
        self.note("fail", run.key, str(error))


# --- one run at a time ----------------------------------------------------------------


def test_every_run_is_told_from_its_start_to_its_end_before_the_next() -> None:
    runs = [run_of("a", max_epochs=2), run_of("b", max_epochs=1)]
    feed = Notes(runs)
    one_by_one(Listed({"a": [2, 1], "b": [1]}).train, feed)
    assert feed.told == [
        ("next", "a"),
        ("epoch", "a", 1, False),
        ("epoch", "a", 2, True),
        ("end", "a", 2),
        ("next", "b"),
        ("epoch", "b", 1, True),
        ("end", "b", 1),
        ("next", None),
    ]
    # Each of them is a turn of its own: nothing waits for the next epoch.
    assert feed.turns == len(feed.told)


def test_a_no_ends_a_run_there() -> None:
    feed = Notes(
        [run_of("a"), run_of("b")],
        lambda heard: Verdict.GO_ON if heard.epoch < 2 else Verdict.STOP,
    )
    one_by_one(Listed({"a": [4, 3, 2, 1], "b": [4, 3, 2, 1]}).train, feed)
    assert [told for told in feed.told if told[0] == "end"] == [
        ("end", "a", 2),
        ("end", "b", 2),
    ]
    assert not any(told[3] for told in feed.told if told[0] == "epoch")


@given(
    losses=st.lists(
        st.floats(0, 5) | st.sampled_from([1.0, math.nan, math.inf, -math.inf]),
        min_size=8,
        max_size=8,
    ),
    patience=st.integers(1, 9),
    horizon=st.integers(1, 8),
)
def test_a_run_is_over_in_the_epoch_in_which_its_engine_ends_it(
    losses: list[float], patience: int, horizon: int
) -> None:
    """Without looking into the engine: horizon, patience, a loss not finite."""
    feed = Notes([run_of("a", max_epochs=horizon, patience=patience)])
    one_by_one(Listed({"a": losses}).train, feed)
    overs = [told[3] for told in feed.told if told[0] == "epoch"]
    assert overs == [False] * (len(overs) - 1) + [True]
    assert ("end", "a", len(overs)) in feed.told


def test_a_training_loss_that_is_not_finite_is_the_end_too() -> None:
    class Broken(Listed):
        def train(self, run: Run, on_epoch: OnEpoch) -> Fitted:
            metrics = Metrics(math.nan, 1.0, 0.5, 0.5, 1e-3, 0.1)
            on_epoch(1, metrics)
            return Fitted(curve=[metrics], best_epoch=0, weights={}, diverged=True)

    feed = Notes([run_of("a")])
    one_by_one(Broken({}).train, feed)
    assert ("epoch", "a", 1, True) in feed.told


@pytest.mark.parametrize("error", [ValueError("no"), MemoryError("no"), OSError("no")])
def test_an_error_fails_that_run_alone(error: Exception) -> None:
    feed = Notes([run_of("a"), run_of("b", max_epochs=1)])
    one_by_one(Listed({"a": [2, error], "b": [1]}).train, feed)
    assert feed.told == [
        ("next", "a"),
        ("epoch", "a", 1, False),
        ("fail", "a", "no"),
        ("next", "b"),
        ("epoch", "b", 1, True),
        ("end", "b", 1),
        ("next", None),
    ]


@pytest.mark.parametrize(
    "error", [DataError("no"), ConfigError("no"), KeyboardInterrupt(), SystemExit(3)]
)
def test_what_is_not_the_runs_fault_ends_everything(error: BaseException) -> None:
    feed = Notes([run_of("a"), run_of("b")])
    with pytest.raises(type(error)):
        one_by_one(Listed({"a": [2, error]}).train, feed)  # type: ignore[list-item]
    assert [told[0] for told in feed.told] == ["next", "epoch"]
    assert not feed.in_turn


def test_an_error_of_the_feed_at_an_end_is_no_failure_of_the_run() -> None:
    class Full(Notes):
        def end(self, run: Run, fitted: Fitted) -> None:
            raise ValueError("of the feed")

    feed = Full([run_of("a", max_epochs=1)])
    with pytest.raises(ValueError, match="of the feed"):
        one_by_one(Listed({"a": [1]}).train, feed)
    assert [told[0] for told in feed.told] == ["next", "epoch"]


def pause_at(*epochs: int) -> Callable[[Heard], Verdict]:
    return lambda each: Verdict.PAUSE if each.epoch in epochs else Verdict.GO_ON


@pytest.mark.parametrize("gives", [True, False])
def test_a_pause_is_told_with_the_state_and_the_next_run_begins(gives: bool) -> None:
    feed = Notes([run_of("a"), run_of("b", max_epochs=1)], pause_at(2))
    one_by_one(Listed({"a": [4, 3, 2, 1], "b": [1]}, gives).train, feed)
    assert feed.told == [
        ("next", "a"),
        ("epoch", "a", 1, False),
        ("epoch", "a", 2, False),
        ("paused", "a", 2 if gives else None),
        ("next", "b"),
        ("epoch", "b", 1, True),
        ("end", "b", 1),
        ("next", None),
    ]


def test_a_run_that_was_paused_goes_on_after_its_last_epoch() -> None:
    engine = Listed({"a": [4, 3, 2, 1]})
    feed = Notes([run_of("a")], pause_at(2))
    one_by_one(engine.train, feed)
    again = Notes([run_of("a", state=feed.state)])
    one_by_one(engine.train, again)
    assert again.told[:-1] == [
        ("next", "a"),
        ("epoch", "a", 3, False),
        ("epoch", "a", 4, True),
        ("end", "a", 4),
    ]


def test_patience_counts_from_the_best_epoch_before_the_pause() -> None:
    engine = Listed({"a": [3, 1, 2, 2, 2, 2]})
    feed = Notes([run_of("a", max_epochs=6, patience=3)], pause_at(3))
    one_by_one(engine.train, feed)
    again = Notes([run_of("a", max_epochs=6, patience=3, state=feed.state)])
    one_by_one(engine.train, again)
    assert [told[2:] for told in again.told if told[0] == "epoch"] == [
        (4, False),
        (5, True),
    ]


@pytest.mark.parametrize(
    ("losses", "options"),
    [([2, 1], {"max_epochs": 2}), ([1, 2], {"patience": 1}), ([1, math.inf], {})],
)
def test_a_run_that_is_over_ends_though_it_was_to_pause(
    losses: list[float], options: dict[str, Any]
) -> None:
    feed = Notes([run_of("a", **options)], pause_at(2))
    one_by_one(Listed({"a": losses}).train, feed)
    assert feed.told[-3:] == [("epoch", "a", 2, True), ("end", "a", 2), ("next", None)]


@pytest.mark.parametrize("paused", [0, 2])
def test_where_higher_is_better_a_run_that_rises_is_not_tired(paused: int) -> None:
    values = [1.0, 2.0, 3.0, 3.0, 2.5]
    curve = [Metrics(0.0, value, 0.5, 0.5, 1e-3, 0.1) for value in values]

    def train(run: Run, on_epoch: OnEpoch) -> Fitted:
        for epoch in range(run.paused_at + 1, 6):
            on_epoch(epoch, curve[epoch - 1])
        return Fitted(curve=curve, best_epoch=3, weights={}, diverged=False)

    state = State(tensors={}, steps=2, best_epoch=2, curve=curve[:2])
    start = state if paused else None
    feed = Notes([run_of("a", max_epochs=9, patience=2, state=start)])
    one_by_one(train, feed, maximize=True)
    overs = [(told[2], told[3]) for told in feed.told if told[0] == "epoch"]
    expected = [(n, n == 5) for n in range(1, 6)]
    assert overs == expected[paused:]


def test_no_run_at_all() -> None:
    feed = Notes([])
    one_by_one(Listed({}).train, feed)
    assert feed.told == [("next", None)]


# --- runs known from the start --------------------------------------------------------


def test_networks_come_back_in_the_order_of_their_runs() -> None:
    runs = [run_of(key, max_epochs=n) for n, key in enumerate("cab", start=1)]
    heard: list[tuple[str, int]] = []
    fits = train_together(
        Listed({key: [3, 2, 1] for key in "abc"}),
        runs,
        lambda each: heard.append((each.run.key, each.epoch)) is None,
    )
    assert [len(fitted.curve) for fitted in fits] == [1, 2, 3]
    assert heard == [("c", 1), ("a", 1), ("a", 2), ("b", 1), ("b", 2), ("b", 3)]


def test_a_no_ends_one_of_several() -> None:
    runs = [run_of(key) for key in "ab"]
    fits = train_together(
        Listed({key: [4, 3, 2, 1] for key in "ab"}),
        runs,
        lambda each: each.run.key == "b" or each.epoch < 3,
    )
    assert [len(fitted.curve) for fitted in fits] == [3, 4]


def test_all_may_be_open_at_once() -> None:
    asked: list[int] = []

    class Slots(Listed):
        def train_all(self, feed: Feed, slots: int) -> None:
            asked.append(slots)
            super().train_all(feed, slots)

    engine = Slots({key: [1] * 4 for key in "abc"})
    train_together(engine, [run_of(key) for key in "abc"], lambda each: True)
    assert train_together(engine, [], lambda each: True) == []
    assert asked == [3, 1]


@pytest.mark.parametrize("error", [ValueError("no"), DataError("no")])
def test_an_error_of_one_reaches_the_caller(error: Exception) -> None:
    engine = Listed({"a": [1, 1, 1, 1], "b": [1, error], "c": [1]})
    with pytest.raises(type(error), match="no"):
        train_together(engine, [run_of(k) for k in "abc"], lambda each: True)
    assert engine.trained == ["a", "b"]
