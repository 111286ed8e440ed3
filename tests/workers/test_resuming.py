"""Whatever is killed anywhere ends as if it never had been."""

from __future__ import annotations

import itertools
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from made_up import (
    Curves,
    Killed,
    Rounds,
    budget_of,
    create,
    leases,
    reopen,
    search,
    timeless,
)
from optuna.trial import TrialState

from tunekit.budget import Budget, epochs_of
from tunekit.config import PRUNERS, SAMPLERS
from tunekit.paused import is_paused
from tunekit.store import Store
from tunekit.trial import Run


class Fragile(Curves):
    """Is killed at random: before an epoch, or just after one was recorded."""

    def __init__(self, seed: int, share: float) -> None:
        super().__init__()
        self.random, self.share, self.kills = random.Random(seed), share, 0

    def event(self, run: Run, epoch: int, before: bool) -> None:
        if self.random.random() < self.share:
            self.kills += 1
            raise Killed


class FragileRounds(Rounds):
    """Is killed at random: within a round, and between its epochs and the next."""

    def __init__(self, seed: int, in_flight: int) -> None:
        super().__init__()
        self.random, self.kills = random.Random(seed), 0
        # A trial of nine epochs has 27 moments: most attempts get on, the first little.
        self.longest = 30 + 25 * in_flight
        self.left = self.random.randint(1, 25)

    def event(self, run: Run, epoch: int, before: bool) -> None:
        self.turned(inside=False)

    def turned(self, *, inside: bool) -> None:
        self.left -= not inside
        if not self.left:
            self.kills += 1
            self.left = self.random.randint(1, self.longest)
            raise Killed


def broken_search(
    folder: Path,
    engine: Fragile | FragileRounds,
    budget: Budget,
    in_flight: int = 1,
) -> None:
    """Killed again and again, and each time begun by a new process."""
    for _ in range(1000):
        store = reopen(folder)
        try:
            search(store, engine, budget, in_flight=in_flight)
            return
        except Killed:
            running = [
                t.number
                for t in store.trials()
                if t.state == TrialState.RUNNING and not is_paused(t, 9)
            ]
            # One that has just reached its rung is held until its state is kept.
            assert {f"trial-{n:05d}.lock" for n in running} <= {*leases(store)}
            assert len(leases(store)) <= in_flight
        finally:
            store.release_all()
    raise AssertionError("never ended")


SLOW = {("gp", "median"), ("gp", "hyperband"), ("cmaes", "median")}


PAIRS = [pair for pair in itertools.product(SAMPLERS, PRUNERS) if pair not in SLOW]
N_TRIALS = {"gp": 12, "tpe": 15, "cmaes": 16}
"""Enough for a sampler to leave its start-up; 9 of the others."""


def whole_study(
    folder: Path, sampler_name: str, pruner_name: str, engine: Curves, in_flight: int
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Options of a study, and the trials of one that is never stopped."""
    options = {
        "sampler": sampler_name,
        "pruner": pruner_name,
        "max_epochs": 9,
        "n_trials": N_TRIALS.get(sampler_name, 9),
    }
    # Hyperband deals out its brackets by the study's name: it must be the same.
    whole = create(folder / "whole" / "study", **options)
    search(reopen(whole), engine, budget_of(whole), in_flight=in_flight)
    expected = [timeless(t) for t in reopen(whole).trials()]
    # Who promotes may spend the epochs of all on fewer.
    begun = len(expected)
    n_trials = options["n_trials"]
    assert begun == n_trials or (pruner_name == "promote" and begun > n_trials // 2)
    assert {t["state"] for t in expected} <= {TrialState.COMPLETE, TrialState.PRUNED}
    return options, expected


@pytest.mark.parametrize(("sampler_name", "pruner_name"), PAIRS)
def test_a_study_killed_anywhere_ends_as_if_never_killed(
    tmp_path: Path, sampler_name: str, pruner_name: str
) -> None:
    engine = Curves()
    options, expected = whole_study(tmp_path, sampler_name, pruner_name, engine, 1)
    if pruner_name != "none":
        assert TrialState.PRUNED in {t["state"] for t in expected}
    default = (sampler_name, pruner_name) == (SAMPLERS[0], PRUNERS[0])
    for seed in range(2 if default else 1):
        broken = create(tmp_path / f"broken-{seed}" / "study", **options)
        fragile = Fragile(seed, share=0.15)
        broken_search(broken, fragile, budget_of(broken))
        assert fragile.kills >= 3
        store = reopen(broken)
        assert [timeless(t) for t in store.trials()] == expected
        assert leases(store) == []
        assert epochs_of(store.trials()) == engine.epochs < fragile.epochs


@pytest.mark.parametrize("in_flight", [1, 3, 8])
@pytest.mark.parametrize(("sampler_name", "pruner_name"), PAIRS)
def test_with_several_open_it_ends_as_if_never_killed(
    tmp_path: Path, sampler_name: str, pruner_name: str, in_flight: int
) -> None:
    engine = Rounds()
    options, expected = whole_study(
        tmp_path, sampler_name, pruner_name, engine, in_flight
    )
    default = (sampler_name, pruner_name) == (SAMPLERS[0], PRUNERS[0])
    kills = 0
    for seed in range(4 if default else 1):
        broken = create(tmp_path / f"broken-{seed}" / "study", **options)
        fragile = FragileRounds(seed, in_flight)
        broken_search(broken, fragile, budget_of(broken), in_flight)
        kills += fragile.kills
        store = reopen(broken)
        assert [timeless(t) for t in store.trials()] == expected
        assert leases(store) == []
        assert epochs_of(store.trials()) == engine.epochs <= fragile.epochs
    assert kills


class KilledInRound(Rounds):
    """Is killed in the middle of its n-th round."""

    def __init__(self, loss: Callable[[Run, int], float], n: int) -> None:
        super().__init__(loss)
        self.rounds_left = n

    def turned(self, *, inside: bool) -> None:
        self.rounds_left -= not inside

    def event(self, run: Run, epoch: int, before: bool) -> None:
        if not self.rounds_left:
            raise Killed


@pytest.mark.parametrize("n", range(1, 16))
def test_a_verdict_does_not_look_at_what_came_after_it(tmp_path: Path, n: int) -> None:
    """The fifth complete trial lets the median judge, from the next epoch on.

    It ends in the twelfth round, in which the sixth is weak, but not yet to be judged;
    an epoch later it is the best of all.
    """

    def loss(run: Run, epoch: int) -> float:
        if run.key == "trial-5":
            return 9.0 - epoch if epoch <= 4 else 0.5 / epoch
        return 1.0 + 0.01 * epoch

    folder = create(tmp_path / "s", pruner="median", max_epochs=12, patience=3)
    store = reopen(folder)
    with pytest.raises(Killed):
        search(store, KilledInRound(loss, n), Budget(n_trials=6), in_flight=2)
    store.release_all()
    search(reopen(folder), Rounds(loss), Budget(n_trials=6), in_flight=2)
    trials = reopen(folder).trials()
    assert [len(t.intermediate_values) for t in trials] == [4, 4, 4, 4, 4, 12]
    assert [t.state for t in trials] == [TrialState.COMPLETE] * 6


def test_one_open_at_a_time_is_one_by_one(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    _, rounds = whole_study(tmp_path / "a", "tpe", "halving", Rounds(), 1)
    _, one = whole_study(tmp_path / "b", "tpe", "halving", Curves(), 1)
    assert rounds == one


class Photographed(Rounds):
    """Copies the study folder at random moments: what a killed process leaves."""

    def __init__(self, folder: Path, album: Path, seed: int, share: float) -> None:
        super().__init__()
        self.folder, self.album, self.share = folder, album, share
        self.random = random.Random(seed)
        self.inside = 0

    def turned(self, *, inside: bool) -> None:
        # Of the moments within a turn there are fewer.
        if self.random.random() < self.share * (1 + inside):
            self.inside += inside
            copy = self.album / f"{len([*self.album.iterdir()]):03d}" / "study"
            shutil.copytree(self.folder, copy)

    def event(self, run: Run, epoch: int, before: bool) -> None:
        self.turned(inside=False)


@pytest.mark.parametrize("pruner_name", PRUNERS)
@pytest.mark.parametrize("in_flight", [3, 8])
def test_whatever_a_power_failure_leaves_ends_the_same(
    tmp_path: Path, pruner_name: str, in_flight: int
) -> None:
    """Also in the middle of a round's writing: all of a round is there, or nothing."""
    options, expected = whole_study(tmp_path, "tpe", pruner_name, Rounds(), in_flight)
    folder, album = tmp_path / "here" / "study", tmp_path / "album"
    album.mkdir()
    create(folder, **options)
    engine = Photographed(folder, album, seed=in_flight, share=0.04)
    budget = budget_of(folder)
    search(reopen(folder), engine, budget, in_flight=in_flight)
    assert [timeless(t) for t in reopen(folder).trials()] == expected
    assert engine.inside >= 3
    for copy in sorted(album.iterdir()):
        store = reopen(copy / "study")
        search(store, Rounds(), budget, in_flight=in_flight)
        assert [timeless(t) for t in store.trials()] == expected
        store.release_all()


class Watched(Rounds):
    """Looks at the journal's file at every moment."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.journal = folder / "journal.log"
        self.sizes: list[tuple[bool, int]] = []

    def turned(self, *, inside: bool) -> None:
        self.sizes.append((inside, self.journal.stat().st_size))


@pytest.mark.parametrize("in_flight", [1, 5])
def test_a_round_is_one_write(
    store: Store, in_flight: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[int] = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (waits.append(fd), real(fd))[1])
    engine = Watched(store.folder)
    before = engine.journal.stat().st_size
    search(store, engine, Budget(n_trials=10), in_flight=in_flight)
    turns = 0
    for inside, size in engine.sizes:
        assert size == before if inside else size >= before
        turns += not inside
        before = size
    rounds = 6 * 10 // in_flight
    assert turns == rounds + 1
    # The first turn opens trials; each round's is written and waited for once.
    assert len(waits) == turns


@pytest.mark.parametrize("limit", [1, 9, 20])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("in_flight", [1, 3, 8])
def test_epochs_trained_again_are_not_counted_twice(
    tmp_path: Path, limit: int, seed: int, in_flight: int
) -> None:
    folder = create(tmp_path / "s", pruner="halving", max_epochs=9)
    fragile = FragileRounds(seed, in_flight) if seed else Fragile(seed, 0.2)
    broken_search(folder, fragile, Budget(epochs=limit), in_flight)
    trials = reopen(folder).trials()
    assert epochs_of(trials) == limit
    assert all(t.state.is_finished() for t in trials)
    assert all(
        sorted(t.intermediate_values) == [*range(1, t.user_attrs["epochs"] + 1)]
        for t in trials
    )


@pytest.mark.parametrize("pruner_name", ["halving", "promote"])
@pytest.mark.parametrize("seed", range(6))
def test_whoever_insists_in_the_middle_of_a_turn_loses_nothing(
    tmp_path: Path, seed: int, pruner_name: str
) -> None:
    """A second Ctrl-C: what was told of the round is kept, the rest trained again."""

    class Insisted(Rounds):
        moments = random.Random(seed)

        def turned(self, *, inside: bool) -> None:
            if inside and self.moments.random() < 0.05:
                raise Killed

    folder = create(tmp_path / "s", pruner=pruner_name, max_epochs=9)
    engine = Insisted()
    recorded: dict[int, dict[int, float]] = {}
    for _ in range(200):
        store = reopen(folder)
        try:
            search(store, engine, Budget(epochs=50, max_epochs=9), in_flight=4)
            break
        except Killed:
            for trial in store.trials():
                before = recorded.get(trial.number, {})
                now = recorded[trial.number] = {**trial.intermediate_values}
                assert before.items() <= now.items()
        finally:
            store.release_all()
    trials = reopen(folder).trials()
    assert recorded
    assert epochs_of(trials) == 50
    assert all(t.state.is_finished() for t in trials)
    for trial in trials:
        curve = trial.intermediate_values
        assert sorted(curve) == [*range(1, trial.user_attrs["epochs"] + 1)]
        assert recorded.get(trial.number, {}).items() <= curve.items()


def test_a_kill_between_the_verdict_and_the_end_changes_nothing(tmp_path: Path) -> None:
    """The pruner said no; the process is gone before the trial was ended."""
    folder = create(tmp_path / "s", pruner="halving", max_epochs=9)
    worse = Curves(lambda run, e: int(run.key.removeprefix("trial-")) + 1 / e)

    class Once(Curves):
        def event(self, run: Run, epoch: int, before: bool) -> None:
            if run.key == "trial-1" and not before:
                raise Killed

    store = reopen(folder)
    with pytest.raises(Killed):
        search(store, Once(worse.loss), Budget(n_trials=2))
    store.release_all()
    search(reopen(folder), worse, Budget(n_trials=2))
    trial = reopen(folder).trials()[1]
    assert trial.state == TrialState.PRUNED
    assert trial.user_attrs["stopped"] == "weak"
    assert sorted(trial.intermediate_values) == [1]


def test_a_kill_after_the_last_epoch_of_the_budget_loses_none(tmp_path: Path) -> None:
    """Trained again it costs nothing, and is what it was: it has all of its epochs."""
    folder = create(tmp_path / "s")

    class Dies(Curves):
        def event(self, run: Run, epoch: int, before: bool) -> None:
            if epoch == 4 and not before:
                raise Killed

    store = reopen(folder)
    with pytest.raises(Killed):
        search(store, Dies(), Budget(epochs=4))
    store.release_all()
    for engine in (Curves(), Rounds()):
        search(reopen(folder), engine, Budget(epochs=4), in_flight=3)
    (trial,) = reopen(folder).trials()
    assert [*trial.intermediate_values] == [1, 2, 3, 4]
    assert trial.user_attrs["epochs"] == 4
    assert trial.user_attrs["stopped"] == "budget"


@pytest.mark.parametrize("engine", [Curves, Rounds])
def test_the_time_of_a_trial_taken_up_again_is_that_of_the_whole(
    tmp_path: Path, engine: type[Curves]
) -> None:
    folder = create(tmp_path / "s", max_epochs=3)

    class Dies(engine):  # type: ignore[misc, valid-type]
        def event(self, run: Run, epoch: int, before: bool) -> None:
            if epoch == 2:
                raise Killed

    store = reopen(folder)
    with pytest.raises(Killed):
        search(store, Dies(), Budget(n_trials=1))
    store.release_all()
    search(reopen(folder), engine(), Budget(n_trials=1))
    (trial,) = reopen(folder).trials()
    # What is recorded are the seconds that all of its epochs take.
    assert trial.user_attrs["seconds"] == 0.75
    assert trial.user_attrs["epochs"] == 3


@pytest.mark.parametrize(("engine", "in_flight"), [(Curves, 1), (Rounds, 3)])
def test_killed_trials_leave_no_open_file(
    tmp_path: Path, engine: type[Curves], in_flight: int
) -> None:
    from tunekit.board import Board

    folder = create(tmp_path / "s", max_epochs=3)

    class Dies(engine):  # type: ignore[misc, valid-type]
        def event(self, run: Run, epoch: int, before: bool) -> None:
            if epoch == 2:
                raise Killed

    store = reopen(folder)
    board = Board(folder / "tb")
    board.describe({})
    options = {"budget": Budget(n_trials=in_flight), "in_flight": in_flight}
    with pytest.raises(Killed):
        search(store, Dies(), board=board, **options)
    store.release_all()
    search(reopen(folder), engine(), board=Board(folder / "tb"), **options)
    for number in range(in_flight):
        # The curves are drawn anew: one file, with all of them.
        (events,) = [*(folder / "tb" / f"trial-{number:05d}").iterdir()]
        assert events.stat().st_size > 500
