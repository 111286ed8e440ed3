"""Trials that are paused at rungs and promoted: in the loop, the folder, and after."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
from made_up import (
    ATTRIBUTES,
    Curves,
    Killed,
    Opened,
    Rounds,
    budget_of,
    create,
    leases,
    narrow,
    reopen,
    search,
    timeless,
)
from optuna.trial import FrozenTrial, TrialState

from tunekit.board import Board
from tunekit.board.events import last_step
from tunekit.budget import Budget, best_of, epochs_of, final_seconds
from tunekit.choosers import Halving
from tunekit.closing import trials_frame
from tunekit.config import Config
from tunekit.paused import chain_of, is_paused
from tunekit.report.numbers import build
from tunekit.rungs import Begin, ladder
from tunekit.search import sampler
from tunekit.states import from_bytes
from tunekit.store import Store
from tunekit.tally import as_one
from tunekit.trial import Recipe, Run
from tunekit.workers import end_paused, work

ENGINES = [(Curves, 1), (Rounds, 1), (Rounds, 4)]


def begin(folder: Path, **options: Any) -> Path:
    return create(folder, pruner="promote", **{"max_epochs": 9, **options})


def states(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "checkpoints").glob("*-epoch-*"))


def worse(run: Run, epoch: int) -> float:
    """Every trial is worse than the one before it."""
    return int(run.key.removeprefix("trial-")) + 1 / epoch


# --- rungs and budget -----------------------------------------------------------------


@pytest.mark.parametrize(("engine", "in_flight"), ENGINES)
def test_trials_end_at_rungs_and_the_best_at_the_last(
    tmp_path: Path, engine: type[Curves], in_flight: int
) -> None:
    folder = begin(tmp_path / "s", n_trials=12)
    store, made = reopen(folder), engine(worse)
    search(store, made, budget_of(folder), in_flight=in_flight)
    trials = store.trials()
    assert epochs_of(trials) == made.epochs == 27  # 12 x 9 / 4
    assert best_of(trials) is trials[0]
    if in_flight == 1:
        assert trials[0].state == TrialState.COMPLETE
    rungs = {*ladder(9)}
    cut = [t.number for t in trials if len(t.intermediate_values) not in rungs]
    assert len(cut) <= in_flight
    for trial in trials:
        attrs = trial.user_attrs
        curve = trial.intermediate_values
        assert set(attrs) == ATTRIBUTES | {"stopped"}
        assert [*curve] == [*range(1, len(curve) + 1)]
        assert attrs["best_val_loss"] == min(curve.values())
        assert attrs["best_val_score"] == 1 / (1 + min(curve.values()))
        assert attrs["epochs"] == len(curve)
        assert attrs["seconds"] == 0.25 * len(curve)
        assert attrs["params"] == narrow().from_stored(trial.params)
        if trial.state == TrialState.PRUNED:
            assert attrs["stopped"] == "paused"
            assert attrs["to_epoch"] == len(curve)
    assert leases(store) == []


@pytest.mark.parametrize(("engine", "in_flight"), ENGINES)
@pytest.mark.parametrize("limit", [1, 2, 7, 8, 23, 50])
def test_the_budget_is_spent_to_the_last_epoch_and_never_exceeded(
    tmp_path: Path, engine: type[Curves], in_flight: int, limit: int
) -> None:
    folder = begin(tmp_path / "s", budget_epochs=limit)
    store = reopen(folder)

    class Careful(engine):  # type: ignore[misc, valid-type]
        def event(self, run: Run, epoch: int, before: bool) -> None:
            assert epochs_of(store.trials()) <= limit
            assert self.epochs <= limit

    made = Careful()
    search(store, made, budget_of(folder), in_flight=in_flight)
    assert epochs_of(store.trials()) == made.epochs == limit
    assert all(t.state.is_finished() for t in store.trials())
    assert all(t.intermediate_values for t in store.trials())
    before = [timeless(t) for t in store.trials()]
    search(reopen(folder), made, budget_of(folder), in_flight=in_flight)
    assert made.epochs == limit
    assert [timeless(t) for t in store.trials()] == before


def test_the_budget_of_trials_alone() -> None:
    def epochs(**options: Any) -> int | None:
        return Config(**{"pruner": "promote", **options}).epochs

    assert epochs(n_trials=30, max_epochs=50) == 375
    assert epochs(n_trials=3, max_epochs=9) == 11  # 9 and two first epochs
    assert epochs(n_trials=1, max_epochs=30) == 30
    assert epochs(n_trials=30, budget_epochs=7) == 7
    assert epochs(timeout="5m") is None
    assert epochs(n_trials=30, pruner="halving") is None
    assert Config(engine="lightning").in_flight == 1
    assert Config(engine="lightning", workers=3).in_flight == 3


def test_the_last_epochs_go_to_the_earlier_trials_and_stop_the_others(
    tmp_path: Path,
) -> None:
    folder = begin(tmp_path / "s", n_trials=1, budget_epochs=5)
    search(reopen(folder), Rounds(worse), budget_of(folder))
    (trial,) = reopen(folder).trials()
    # Between the rungs 3 and 9; it goes on from there.
    assert len(trial.intermediate_values) == trial.user_attrs["to_epoch"] == 5
    assert trial.user_attrs["stopped"] == "paused"
    assert states(folder) == ["trial-00000-epoch-005.safetensors"]


def test_one_that_is_over_at_its_rung_ends_there(tmp_path: Path) -> None:
    folder = begin(tmp_path / "s", n_trials=4, patience=2)

    def loss(run: Run, epoch: int) -> float:
        return float(epoch) if run.key == "trial-0" else 20 - epoch

    search(reopen(folder), Rounds(loss), budget_of(folder), in_flight=4)
    first = reopen(folder).trials()[0]
    assert first.state == TrialState.COMPLETE
    assert first.user_attrs["stopped"] == "no longer improving"
    assert len(first.intermediate_values) == 3
    assert not [name for name in states(folder) if "00000" in name]


# --- states in the folder -------------------------------------------------------------


@pytest.mark.parametrize(("engine", "in_flight"), ENGINES)
def test_a_paused_trial_has_its_latest_state_and_no_other(
    tmp_path: Path, engine: type[Curves], in_flight: int
) -> None:
    folder = begin(tmp_path / "s", n_trials=12)
    store = reopen(folder)

    class Looking(engine):  # type: ignore[misc, valid-type]
        def event(self, run: Run, epoch: int, before: bool) -> None:
            if not before:
                return
            paused = [t for t in store.trials() if is_paused(t, 9)]
            found = [name for name in states(folder)]
            for t in paused:
                n = len(t.intermediate_values)
                own = [name for name in found if f"-{t.number:05d}-" in name]
                assert own == [f"trial-{t.number:05d}-epoch-{n:03d}.safetensors"]
            # Beside these, only what open trials went on from.
            assert len(found) <= len(paused) + in_flight

    search(store, Looking(), budget_of(folder), in_flight=in_flight)
    for name in states(folder):
        state = from_bytes((folder / "checkpoints" / name).read_bytes())
        number = int(name.split("-")[1])
        curve = store.trials()[number].intermediate_values
        assert [m.val_loss for m in state.curve] == [*curve.values()]
        assert state.steps == len(curve)


@pytest.mark.parametrize("harm", ["gone", "torn", "flipped", "empty"])
def test_a_damaged_state_is_trained_again_and_costs_no_budget(
    tmp_path: Path, harm: str
) -> None:
    whole = begin(tmp_path / "whole" / "s", n_trials=12)
    search(reopen(whole), Curves(worse), budget_of(whole))
    folder = begin(tmp_path / "s", n_trials=12)
    rounds = itertools.count()

    class Dies(Curves):
        def event(self, run: Run, epoch: int, before: bool) -> None:
            if before and next(rounds) == 8:
                raise Killed

    store = reopen(folder)
    with pytest.raises(Killed):
        search(store, Dies(worse), budget_of(folder))
    store.release_all()
    assert len(states(folder)) > 2
    for name in states(folder):
        path = folder / "checkpoints" / name
        content = bytearray(path.read_bytes())
        if harm == "gone":
            path.unlink()
            continue
        if harm == "flipped":
            content[-3] ^= 1
        path.write_bytes({"torn": content[:-5], "empty": b""}.get(harm, content))
    again = Curves(worse)
    search(reopen(folder), again, budget_of(folder))
    expected = [timeless(t) for t in reopen(whole).trials()]
    assert [timeless(t) for t in reopen(folder).trials()] == expected


def test_an_older_state_serves_where_the_latest_is_damaged(tmp_path: Path) -> None:
    store = reopen(begin(tmp_path / "s"))
    with store.together():
        trial = store.next_trial(lambda trials, step: True, narrow().suggest)
        assert trial is not None
        for epoch in (1, 2, 3):
            store.report(trial, 1.0, epoch)
    checkpoints = store.folder / "checkpoints"
    run = Run(recipe=Recipe(), max_epochs=9, patience=9, seed=0, key="trial-0")
    opened = Opened(run)
    contents = []
    for _ in range(4):
        opened.add(1.0)
        store.pause(trial, opened.state())
        n = len(opened.curve)
        contents.append((checkpoints / states(store.folder)[-1]).read_bytes())
        assert states(store.folder) == [f"trial-00000-epoch-{n:03d}.safetensors"]
    for n, content in enumerate(contents, start=1):
        path = checkpoints / f"trial-00000-epoch-{n:03d}.safetensors"
        path.write_bytes(content)
    # One later than what is recorded is of a round that was lost.
    state = store.state(trial)
    assert state is not None
    assert len(state.curve) == 3
    (checkpoints / "trial-00000-epoch-003.safetensors").write_bytes(b"torn")
    state = store.state(trial)
    assert state is not None
    assert len(state.curve) == 2


def test_few_states_stay_when_the_search_has_ended(tmp_path: Path) -> None:
    folder = begin(tmp_path / "s", budget_epochs=60)
    search(reopen(folder), Rounds(worse), budget_of(folder), in_flight=3)
    trials = reopen(folder).trials()
    paused = [t for t in trials if t.user_attrs["stopped"] == "paused"]
    assert len(paused) > 20
    best = sorted(paused, key=lambda t: min(t.intermediate_values.values()))[:20]
    assert [int(name.split("-")[1]) for name in states(folder)] == sorted(
        t.number for t in best
    )


def test_those_that_are_let_go_are_weak_and_leave_no_state(tmp_path: Path) -> None:
    folder = begin(tmp_path / "s", budget_epochs=40)
    chooser = Halving(9, most_paused=4)
    defaults = Recipe().as_dict()
    proposer = sampler("random", narrow(), defaults=defaults, seed=0, n_trials=None)
    store = Store(folder, proposer, None, lambda study: chooser)
    heard: list[FrozenTrial] = []
    work(store, Rounds(worse), narrow(), budget_of(folder), on_end=heard.append)
    weak = [t for t in store.trials() if t.user_attrs.get("stopped") == "weak"]
    assert weak
    assert {t.number for t in weak} <= {t.number for t in heard}
    assert all(t.state == TrialState.PRUNED for t in weak)
    assert len([t for t in store.trials() if is_paused(t, 9)]) <= 5
    assert len(states(folder)) <= 5


# --- a larger budget ------------------------------------------------------------------


def larger(folder: Path, **options: Any) -> Store:
    store = reopen(folder)
    store.extend({**store.settings, **options})
    return reopen(folder)


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


# --- two workers ----------------------------------------------------------------------


def test_two_workers_share_trials_and_never_train_one_at_once(tmp_path: Path) -> None:
    folder = begin(tmp_path / "s", budget_epochs=60)
    mine, others = reopen(folder), reopen(folder)
    training: dict[str, set[str]] = {"mine": set(), "others": set()}

    class Two(Rounds):
        """Between its epochs, another worker has a turn."""

        def event(self, run: Run, epoch: int, before: bool) -> None:
            training["mine"].add(run.key)
            with others.together():
                trial = others.next_trial(budget_of(folder).allows, narrow().suggest)
            if trial is None:
                return
            key = f"trial-{trial.number}"
            assert f"trial-{trial.number:05d}.lock" in leases(others)
            assert trial.number not in {
                t.number
                for t in mine.trials()
                if t.state == TrialState.RUNNING
                and not is_paused(t, 9)
                and t.number in held
            }
            training["others"].add(key)
            others.release_all()

    held: set[int] = set()
    real = mine._leases.take

    def take(number: int) -> bool:
        taken = real(number)
        if taken:
            held.add(number)
        return taken

    mine._leases.take = take  # type: ignore[method-assign]
    free = mine._leases.release
    mine._leases.release = lambda number: (held.discard(number), free(number))[1]  # type: ignore[method-assign, assignment, return-value]
    work(mine, Two(), narrow(), budget_of(folder), in_flight=2)
    assert training["others"]
    search(reopen(folder), Rounds(), budget_of(folder), in_flight=2)
    assert epochs_of(mine.trials()) == 60


def test_one_that_another_worker_is_about_to_keep_is_passed_over(
    tmp_path: Path,
) -> None:
    """It has reported its rung, but its state is not written yet."""
    folder = begin(tmp_path / "s", n_trials=9)
    mine, others = reopen(folder), reopen(folder)

    def new(store: Store) -> Any:
        trial = store.next_trial(lambda trials, step: True, narrow().suggest)
        assert trial is not None
        return trial

    trials = [new(mine) for _ in range(4)]
    for trial, loss in zip(trials, (0.1, 0.2, 0.3, 0.4), strict=True):
        mine.report(trial, loss, 1)
    for trial in trials[1:]:
        mine.pause(trial, None)
    # The best is still held: one in three is promoted, but none of the others is it.
    assert new(others).number == 1
    mine.pause(trials[0], None)
    assert new(others).number == 0


# --- what people see ------------------------------------------------------------------


def test_a_run_folder_has_one_curve_that_goes_on(tmp_path: Path) -> None:
    folder = begin(tmp_path / "s", n_trials=6)
    board = Board(folder / "tb")
    board.describe({})
    search(reopen(folder), Rounds(), budget_of(folder), board=board, in_flight=2)
    store = larger(folder, n_trials=12)
    search(store, Rounds(), budget_of(folder), board=board, in_flight=2)
    assert board.trouble is None
    one = as_one(store.trials())
    runs = sorted(path for path in (folder / "tb").iterdir() if path.is_dir())
    assert len(runs) == len(one)
    for trial in one:
        number = trial.number
        while (
            before := store.trials()[number].user_attrs.get("continues")
        ) is not None:
            number = before
        (file,) = (folder / "tb" / f"trial-{number:05d}").iterdir()
        assert points(file) == [*range(1, len(trial.intermediate_values) + 1)]
        assert last_step(file) == len(trial.intermediate_values)


def points(file: Path) -> list[int]:
    """The steps of a run's validation curve, as they stand in its file."""
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    return [
        event.step
        for event in EventFileLoader(str(file)).Load()
        for value in event.summary.value
        if value.tag == "loss/val"
    ]


def test_numbers_count_a_trial_that_goes_on_once(tmp_path: Path) -> None:
    folder = begin(tmp_path / "s", budget_epochs=20)
    search(reopen(folder), Rounds(), budget_of(folder), in_flight=3)
    store = larger(folder, budget_epochs=60)
    search(store, Rounds(), budget_of(folder), in_flight=3)
    trials, one = store.trials(), as_one(store.trials())
    assert len(one) < len(trials)
    report = build(folder)
    assert report["trials"]["total"] == len(one)
    assert report["epochs_trained"] == 60
    assert sum(trial["epochs"] for trial in report["trial_list"]) == 60
    best = best_of(trials)
    assert best is not None
    lowest = min(best.intermediate_values.values())
    assert report["best"]["val_loss"] == lowest
    assert report["history"][-1][1] == lowest
    assert 0 < report["history"][-1][0] <= 60
    assert [loss for _, loss in report["best_curve"]] == [
        *best.intermediate_values.values()
    ]
    frame = trials_frame(one)
    assert frame["epochs"].sum() == 60


def test_numbers_while_trials_are_paused(tmp_path: Path) -> None:
    folder = begin(tmp_path / "s", budget_epochs=20)
    store = reopen(folder)
    work(store, Rounds(), narrow(), budget_of(folder), in_flight=3)
    report = build(folder)
    paused = [t for t in store.trials() if is_paused(t, 9)]
    assert paused
    assert report["trials"]["paused"] == len(paused)
    assert report["trials"]["running"] == 0
    assert not report["finished"]
    end_paused(store, narrow(), "rounds")
    report = build(folder)
    assert report["trials"]["paused"] == 0
    assert report["stopped_early"] == {"paused": len(paused)}


def test_time_for_the_winner_is_that_of_a_whole_training(tmp_path: Path) -> None:
    folder = begin(tmp_path / "s", n_trials=3, budget_epochs=3)
    store = reopen(folder)
    work(store, Rounds(worse), narrow(), budget_of(folder), in_flight=3)
    # A quarter of a second an epoch, nine epochs, two seeds, and the baselines.
    expected = 1.25 * (2 * 9 * 0.25 + 1.5 * 9 * 0.25)
    assert final_seconds(store.trials(), 2, 9) == pytest.approx(expected)
    end_paused(store, narrow(), "rounds")
    assert final_seconds(store.trials(), 2, 9) == pytest.approx(expected)


def test_time_that_runs_out_pauses_all_in_hand(tmp_path: Path) -> None:
    folder = begin(tmp_path / "s", budget_epochs=1000)
    store, rounds = reopen(folder), Rounds()
    budget = Budget(seconds_left=lambda trials: 12 - rounds.epochs, max_epochs=9)
    search(store, rounds, budget, in_flight=4)
    trials = store.trials()
    assert {t.user_attrs["stopped"] for t in trials} <= {"paused", ""}
    assert rounds.epochs == epochs_of(trials)
    assert 12 <= rounds.epochs < 16
