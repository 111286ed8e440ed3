"""What is trained next, of trials as Optuna has them."""

from __future__ import annotations

from typing import Any

from optuna.trial import FrozenTrial, TrialState, create_trial

from tunekit.choosers import Halving, Straight
from tunekit.paused import chain_of, is_paused, may_go_on, reached
from tunekit.rungs import Begin, Promote
from tunekit.tally import as_one


def trial(
    number: int,
    *losses: float,
    to_epoch: int | None = None,
    state: TrialState = TrialState.RUNNING,
    **attributes: Any,
) -> FrozenTrial:
    """Paused after its last epoch, unless it is said to go on."""
    made = create_trial(
        state=state,
        value=min(losses) if state == TrialState.COMPLETE else None,
        intermediate_values=dict(enumerate(losses, start=1)),
        user_attrs={"to_epoch": to_epoch or len(losses), **attributes},
    )
    made.number = number
    return made


# --- paused, or not -------------------------------------------------------------------


def test_paused_is_what_has_reached_its_aim_and_not_the_end() -> None:
    assert is_paused(trial(0, 0.5), 9)
    assert not is_paused(trial(0, 0.5, to_epoch=3), 9)
    assert not is_paused(trial(0, 0.5), 1)
    assert not is_paused(trial(0, 0.5, state=TrialState.PRUNED), 9)
    untold = create_trial(state=TrialState.RUNNING, intermediate_values={1: 0.5})
    assert not is_paused(untold, 9)
    begun = create_trial(state=TrialState.RUNNING, user_attrs={"to_epoch": 1})
    assert not is_paused(begun, 9)
    assert reached(begun) == 0


def test_one_that_was_paused_at_the_end_of_a_search_may_go_on() -> None:
    assert may_go_on(trial(0, 0.5), 9)
    pruned = TrialState.PRUNED
    assert may_go_on(trial(0, 0.5, state=pruned, stopped="paused"), 9)
    assert not may_go_on(trial(0, 0.5, state=pruned, stopped="weak"), 9)
    assert not may_go_on(trial(0, 0.5, state=TrialState.COMPLETE, stopped=""), 9)


def test_of_a_chain_the_last_one_stands_for_all() -> None:
    old = trial(0, 0.5, state=TrialState.PRUNED, stopped="paused")
    other = trial(1, 0.4)
    middle = trial(2, 0.5, 0.4, state=TrialState.PRUNED, stopped="paused", continues=0)
    new = trial(3, 0.5, 0.4, to_epoch=9, continues=2)
    trials = [old, other, middle, new]
    assert [t.number for t in as_one(trials)] == [1, 3]
    assert [t.number for t in as_one(trials[:3])] == [1, 2]
    assert chain_of(trials, 3) == [0, 2, 3]
    assert chain_of(trials, 1) == [1]
    assert as_one([]) == []


# --- who is next ----------------------------------------------------------------------


def test_straight_always_begins_and_lets_nobody_go() -> None:
    paused = [trial(n, 0.5) for n in range(9)]
    assert Straight(30).choose(paused) == Begin(30)
    assert Straight(30).surplus(paused) == []


def test_halving_promotes_by_the_lowest_so_far() -> None:
    trials = [trial(0, 0.5), trial(1, 0.3), trial(2, 0.4)]
    assert Halving(9).choose(trials[:2]) == Begin(1)
    assert Halving(9).choose(trials) == Promote(1, 3)
    # At the second rung the lowest so far counts, not the last.
    up = [trial(0, 0.5, 0.5, 0.5), trial(1, 0.6, 0.1, 0.9), trial(2, 0.4, 0.4, 0.4)]
    assert Halving(9).choose(up) == Promote(1, 9)


def test_halving_goes_on_with_one_that_the_budget_stopped_between_rungs() -> None:
    stopped = trial(0, 0.1, 0.1)
    trials = [stopped, trial(1, 0.3), trial(2, 0.4)]
    assert Halving(9).choose(trials) == Promote(0, 3)


def test_halving_goes_on_with_one_of_an_earlier_search() -> None:
    ended = trial(0, 0.1, state=TrialState.PRUNED, stopped="paused")
    assert Halving(9).choose([ended, trial(1, 0.3), trial(2, 0.4)]) == Promote(0, 3)


def test_once_all_have_begun_the_best_of_the_highest_rung_go_on() -> None:
    trials = [trial(0, 0.5, 0.4, 0.3), trial(1, 0.1)]
    assert Halving(9).choose(trials) == Begin(1)
    assert Halving(9, n_trials=2).choose(trials) == Promote(0, 9)
    assert Halving(9, n_trials=3).choose(trials) == Begin(1)
    # Those that are being trained are nobody's to promote.
    running = [trial(0, 0.5, to_epoch=3), trial(1, 0.1, to_epoch=3)]
    assert Halving(9, n_trials=2).choose(running) == Begin(1)


def test_of_too_many_paused_the_weakest_of_the_lowest_rung_are_let_go() -> None:
    trials = [trial(n, 0.1 * (n % 7) + 0.1) for n in range(12)]
    trials.append(trial(12, 0.9, 0.9, 0.9))
    trials.append(trial(13, 5.0, to_epoch=3))
    few = Halving(9, most_paused=10)
    # The first of the two with the same loss stays.
    assert few.surplus(trials) == [5, 6, 11]
    assert Halving(9, most_paused=13).surplus(trials) == []
