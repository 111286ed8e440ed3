"""What a search may spend: limits that hold whoever works, and figures by hand."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from optuna.trial import FrozenTrial, TrialState, create_trial

from tunekit.budget import Budget, best_of, epochs_of, final_seconds
from tunekit.rungs import Begin, Promote

RUNNING, COMPLETE, PRUNED, FAIL = (
    TrialState.RUNNING,
    TrialState.COMPLETE,
    TrialState.PRUNED,
    TrialState.FAIL,
)


def trial(
    number: int, state: TrialState, losses: list[float] | None = None, **attrs: Any
) -> FrozenTrial:
    made = create_trial(
        state=state,
        value=min(losses or [1.0]) if state == COMPLETE else None,
        intermediate_values=dict(enumerate(losses or [], start=1)),
        user_attrs=attrs,
    )
    made.number = number
    return made


# --- limits ---------------------------------------------------------------------------


def test_no_limit_at_all() -> None:
    many = [trial(n, COMPLETE, [1.0] * 9) for n in range(50)]
    assert Budget().may_start(many)
    assert Budget().epochs_left(many, {3}) == math.inf


def test_trials_of_every_state_count() -> None:
    budget = Budget(n_trials=4)
    trials = [trial(n, s) for n, s in enumerate([COMPLETE, PRUNED, FAIL])]
    assert budget.may_start(trials)
    trials.append(trial(3, RUNNING))
    assert not budget.may_start(trials)
    assert budget.epochs_left(trials, {3}) == math.inf


def test_epochs_to_the_last_one() -> None:
    budget = Budget(epochs=3)
    running = trial(0, RUNNING, [1.0, 0.9])
    assert budget.epochs_left([running], {0}) == 1
    assert Budget(epochs=2).epochs_left([running], {0}) == 0
    # An epoch that another trial is in the middle of is as good as spent.
    assert budget.epochs_left([running, trial(1, RUNNING)], {0}) == 0
    assert budget.epochs_left([running, trial(1, RUNNING)], {0, 1}) == 1
    assert budget.epochs_left([running, trial(1, RUNNING)], set()) == -1
    assert budget.epochs_left([running, trial(1, COMPLETE, [])], [0]) == 1
    # A budget that was lowered since.
    assert Budget(epochs=1).epochs_left([running], {0}) == -1
    assert not budget.may_start([running])
    assert Budget(epochs=4).may_start([running])


def test_a_promotion_leaves_enough_for_all_that_are_yet_to_begin() -> None:
    paused = trial(0, RUNNING, [1.0, 0.9, 0.8], to_epoch=3)
    opened = trial(1, RUNNING, [1.0], to_epoch=3)
    trials, step = [paused, opened], Promote(0, 9)

    def allows(epochs: int | None, n_trials: int | None, first: int = 1) -> bool:
        budget = Budget(n_trials, epochs, max_epochs=9, first_rung=first)
        return budget.allows(trials, step)

    # Four are spent; the open one has two to go, the promotion takes six.
    assert allows(4 + 2 + 6 + 3, 5)
    assert not allows(4 + 2 + 6 + 2, 5)
    assert not allows(4 + 2 + 6 + 3, 5, first=2)
    # Once all have begun, it may be paused on its way.
    assert allows(4 + 2, 2)
    assert not allows(5, 2)
    assert allows(4 + 2, None)
    assert allows(None, 5)
    budget = Budget(5, 14, max_epochs=9)
    assert budget.allows(trials, Begin(1))
    assert budget.allows(trials, None)
    assert not Budget(5, 5, max_epochs=9).allows(trials, None)


def test_seconds_are_asked_with_the_trials_so_far() -> None:
    asked: list[int] = []

    def left(trials: list[FrozenTrial]) -> float:
        asked.append(len(trials))
        return 0.0 if len(trials) > 1 else 0.1

    budget = Budget(seconds_left=left)
    assert budget.may_start([trial(0, COMPLETE)])
    assert not budget.may_start([trial(0, COMPLETE), trial(1, COMPLETE)])
    assert asked == [1, 2]


@examples(max_examples=50)
@given(
    limit=st.integers(1, 40),
    n_trials=st.none() | st.integers(1, 12),
    n_workers=st.integers(1, 4),
    slots=st.integers(1, 5),
    lengths=st.lists(st.integers(1, 6), min_size=1, max_size=10),
    turns=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), max_size=200),
)
def test_no_interleaving_of_workers_spends_more(
    limit: int,
    n_trials: int | None,
    n_workers: int,
    slots: int,
    lengths: list[int],
    turns: list[tuple[int, int]],
) -> None:
    """Each worker: open trials, then train and record a round, look, and again.

    A turn is one step of one worker; looking and acting on it are steps of their own,
    so that what it saw may be old. A worker may also be killed; its trials stay RUNNING
    and are taken up by others, whose epochs up to the recorded ones are trained again.
    """
    budget = Budget(n_trials=n_trials, epochs=limit)
    epochs: dict[int, list[float]] = {}
    states: dict[int, TrialState] = {}
    # Of each open trial: the epoch it is at.
    workers: list[dict[int, int]] = [{} for _ in range(n_workers)]
    stops: list[set[int] | None] = [None] * n_workers
    orphans: list[int] = []

    def seen() -> list[FrozenTrial]:
        return [trial(n, states[n], list(epochs[n])) for n in states]

    def record(mine: dict[int, int]) -> set[int]:
        """A round: every trial that is behind, else all; then who stops."""
        behind = [n for n in mine if mine[n] < len(epochs[n])]
        for n in behind or [*mine]:
            mine[n] += 1
            if mine[n] > len(epochs[n]):
                epochs[n].append(1.0)
        left, stopping = budget.epochs_left(seen(), mine.keys()), set()
        for n in mine:
            if len(epochs[n]) >= lengths[n % len(lengths)]:
                stopping.add(n)
            elif left >= 1:
                left -= 1
            else:
                stopping.add(n)
        return {n for n in stopping if mine[n] >= len(epochs[n])}

    def step(k: int) -> None:
        mine, stopping = workers[k], stops[k]
        if stopping is None:  # it comes to the end of a round, if it is in one
            stops[k] = record(mine) if mine else set()
            return
        # Under the lock of the store, where look and start are one.
        for n in stopping:
            states[n] = COMPLETE
            del mine[n]
        while len(mine) < slots:
            if orphans:
                mine[orphans.pop(0)] = 0
            elif budget.may_start(seen()):
                number = len(states)
                states[number], epochs[number], mine[number] = RUNNING, [], 0
            else:
                break
        stops[k] = None

    for turn, kill in turns:
        k = turn % n_workers
        if kill == 9:
            orphans += sorted(workers[k])
            workers[k], stops[k] = {}, set()
        else:
            step(k)
        assert sum(map(len, epochs.values())) <= limit
        assert n_trials is None or len(states) <= n_trials
    # Left alone, one worker finishes what there is, and spends the budget to its end.
    for k in range(1, n_workers):
        orphans += sorted(workers[k])
        workers[k] = {}
    for _ in range(2000):
        step(0)
    assert RUNNING not in states.values()
    spent = sum(map(len, epochs.values()))
    assert spent <= limit
    if n_trials is None:
        assert spent == limit


# --- figures --------------------------------------------------------------------------


def test_epochs_of_every_state_count() -> None:
    assert epochs_of([]) == 0
    assert (
        epochs_of(
            [
                trial(0, COMPLETE, [1, 2]),
                trial(1, FAIL, [3]),
                trial(2, RUNNING, [math.nan, math.inf]),
            ]
        )
        == 5
    )


def test_the_best_in_any_state() -> None:
    complete = trial(0, COMPLETE, [0.5, 0.6])
    assert best_of([complete]) is complete
    for state in (RUNNING, PRUNED, FAIL):
        better = trial(1, state, [0.9, 0.4, 0.8])
        assert best_of([complete, better]) is better


def test_the_first_of_equals_is_the_best() -> None:
    first, second = trial(0, PRUNED, [0.5]), trial(1, COMPLETE, [0.5])
    assert best_of([first, second]) is first


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_never_wins(loss: float) -> None:
    odd = trial(0, RUNNING, [loss])
    assert best_of([odd]) is None
    plain = trial(1, COMPLETE, [3.0])
    assert best_of([odd, plain]) is plain
    mixed = trial(2, PRUNED, [loss, 2.0])
    assert best_of([odd, plain, mixed]) is mixed


def test_no_trial_no_best() -> None:
    assert best_of([]) is None
    assert best_of([trial(0, FAIL)]) is None


@given(
    st.lists(
        st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=5), max_size=6
    )
)
def test_the_best_is_the_lowest_finite_loss(curves: list[list[float]]) -> None:
    trials = [trial(n, RUNNING, losses) for n, losses in enumerate(curves)]
    best = best_of(trials)
    finite = [loss for losses in curves for loss in losses if math.isfinite(loss)]
    if best is None:
        assert not finite
    else:
        own = [x for x in best.intermediate_values.values() if math.isfinite(x)]
        assert min(own) == min(finite)


def test_the_time_of_the_end_by_hand() -> None:
    default = trial(0, COMPLETE, [1.0], epochs=10, seconds=5.0, best_val_loss=1.0)
    winner = trial(1, PRUNED, [0.5], epochs=4, seconds=4.0, stopped="weak")
    # The winner was stopped after 4 of 20 epochs at one second each; the default took
    # its 5 seconds to its end.
    seconds = final_seconds([default, winner], n_seeds=3, max_epochs=20)
    assert seconds == pytest.approx(1.25 * (3 * 20.0 + 1.5 * 5.0))
    assert final_seconds([default], 1, 20) == pytest.approx(1.25 * 2.5 * 5.0)


def test_the_time_of_the_end_counts_a_trial_that_still_runs() -> None:
    running = trial(0, RUNNING, [0.7, 0.5])
    running.datetime_start = datetime.now() - timedelta(seconds=800)
    # Two epochs of 400 seconds; trained anew for as long, if the budget ends it now.
    assert final_seconds([running], 3, 30) == pytest.approx(
        1.25 * (3 * 800.0 + 1.5 * 800.0), rel=0.05
    )


def test_the_time_of_the_end_before_anything_has_ended() -> None:
    assert final_seconds([], 5, 30) == 0.0
    failed = trial(0, FAIL, [], epochs=0, seconds=1.0, best_val_loss=None)
    assert final_seconds([failed], 5, 30) == 0.0
    diverged = trial(1, PRUNED, [math.inf], epochs=1, seconds=1.0, best_val_loss=None)
    assert final_seconds([failed, diverged], 5, 30) == 0.0
