"""A larger budget goes on from what was paused."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from made_up import Curves, Killed, Rounds, budget_of, narrow, reopen, search, timeless

from tunekit.budget import epochs_of
from tunekit.paused import chain_of
from tunekit.rungs import Begin
from tunekit.tally import as_one
from tunekit.trial import Recipe, Run

from .conftest import ENGINES, begin, larger


@pytest.mark.parametrize(("engine", "in_flight"), ENGINES)
def test_a_larger_budget_goes_on_from_what_was_paused(
    tmp_path: Path, engine: type[Curves], in_flight: int
) -> None:
    folder = begin(tmp_path / "s", budget_epochs=14)
    made = engine()
    search(reopen(folder), made, budget_of(folder), in_flight=in_flight)
    before = [timeless(t) for t in reopen(folder).trials()]
    store = larger(folder, budget_epochs=70)
    search(store, made, budget_of(folder), in_flight=in_flight)
    trials = store.trials()
    assert [timeless(t) for t in trials][: len(before)] == before
    joined = [t for t in trials if "continues" in t.user_attrs]
    assert joined
    for new in joined:
        old = trials[new.user_attrs["continues"]]
        assert old.user_attrs["stopped"] == "paused"
        assert new.params == old.params
        assert new.distributions == old.distributions
        curve = new.intermediate_values
        assert old.intermediate_values.items() < curve.items()
        assert new.user_attrs["epochs"] == len(curve)
        assert new.user_attrs["best_val_loss"] == min(curve.values())
    # From their states: no epoch was trained or counted twice.
    assert epochs_of(trials) == made.epochs == 70
    one = as_one(trials)
    assert len(one) == len(trials) - len(joined)
    assert len({t.params["lr"] for t in one}) == len(one)
    # The random streams are those of the first: the curve is the one it would have had.
    again = engine()
    for new in joined:
        params = narrow().from_stored(new.params)
        run = Run(
            recipe=Recipe().with_params({**narrow().fixed, **params}),
            max_epochs=9,
            patience=10,
            seed=0,
            key=f"trial-{chain_of(trials, new.number)[0]}",
        )
        whole = again.train(run, lambda epoch, metrics: True)
        curve = [m.val_loss for m in whole.curve][: len(new.intermediate_values)]
        assert [*new.intermediate_values.values()] == curve


def test_more_trials_count_those_that_go_on_once(tmp_path: Path) -> None:
    folder = begin(tmp_path / "s", n_trials=4, max_epochs=27)
    search(reopen(folder), Curves(), budget_of(folder))
    store = larger(folder, n_trials=9)
    search(store, Curves(), budget_of(folder))
    assert len(as_one(store.trials())) == 9
    assert epochs_of(store.trials()) == budget_of(folder).epochs
    assert not budget_of(folder).allows(store.trials(), Begin(1))


def test_a_smaller_budget_trains_nothing_more(tmp_path: Path) -> None:
    """Killed between a promotion and its first epoch, which nobody can pay now."""
    folder = begin(tmp_path / "s", budget_epochs=50)
    store, engine = reopen(folder), Rounds()

    class Dies(Rounds):
        def event(self, run: Run, epoch: int, before: bool) -> None:
            if before and run.reached and epoch == run.reached + 1:
                raise Killed

    with pytest.raises(Killed):
        search(store, Dies(), budget_of(folder), in_flight=3)
    store.release_all()
    spent = epochs_of(store.trials())
    # Those that have begun without an epoch get their first.
    first = sum(not t.intermediate_values for t in store.trials())
    store = larger(folder, budget_epochs=spent)
    search(store, engine, budget_of(folder), in_flight=3)
    assert epochs_of(store.trials()) == spent + first
    assert engine.epochs == first < 3
    assert all(t.state.is_finished() for t in store.trials())


@pytest.mark.parametrize("kill", range(1, 40, 3))
def test_a_larger_budget_killed_anywhere_ends_as_if_never_killed(
    tmp_path: Path, kill: int
) -> None:
    def begun(folder: Path) -> Path:
        begin(folder, budget_epochs=14)
        search(reopen(folder), Rounds(), budget_of(folder), in_flight=3)
        larger(folder, budget_epochs=45)
        return folder

    whole, folder = begun(tmp_path / "whole" / "s"), begun(tmp_path / "s")
    search(reopen(whole), Rounds(), budget_of(whole), in_flight=3)
    moments = itertools.count(1)

    class Dies(Rounds):
        def turned(self, *, inside: bool) -> None:
            if not inside and next(moments) == kill:
                raise Killed

        def event(self, run: Run, epoch: int, before: bool) -> None:
            self.turned(inside=False)

    store = reopen(folder)
    with pytest.raises(Killed):
        search(store, Dies(), budget_of(folder), in_flight=3)
    store.release_all()
    search(reopen(folder), Rounds(), budget_of(folder), in_flight=3)
    expected = [timeless(t) for t in reopen(whole).trials()]
    assert [timeless(t) for t in reopen(folder).trials()] == expected
