"""States of paused trials, kept in the folder."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from made_up import (
    Curves,
    Killed,
    Opened,
    Rounds,
    budget_of,
    narrow,
    reopen,
    search,
    timeless,
)
from optuna.trial import FrozenTrial, TrialState

from tunekit.choosers import Halving
from tunekit.files import write_json
from tunekit.paused import is_paused
from tunekit.rungs import ladder
from tunekit.search import sampler
from tunekit.states import from_bytes
from tunekit.store import Store
from tunekit.store.revived import revived
from tunekit.trial import Recipe, Run
from tunekit.workers import work

from .conftest import ENGINES, begin, states, worse


@pytest.mark.parametrize(("engine", "in_flight"), ENGINES)
def test_a_paused_trial_has_its_latest_state_and_the_one_before(
    tmp_path: Path, engine: type[Curves], in_flight: int
) -> None:
    folder = begin(tmp_path / "s", n_trials=12)
    store = reopen(folder)
    first = ladder(9)[0]

    class Looking(engine):  # type: ignore[misc, valid-type]
        def event(self, run: Run, epoch: int, before: bool) -> None:
            if not before:
                return
            paused = [t for t in store.trials() if is_paused(t, 9)]
            found = [name for name in states(folder)]
            for t in paused:
                n = len(t.intermediate_values)
                own = [name for name in found if f"-{t.number:05d}-" in name]
                assert own[-1] == f"trial-{t.number:05d}-epoch-{n:03d}.safetensors"
                assert len(own) == 1 + (n > first)
            # Beside these, only what open trials went on from.
            assert len(found) <= 2 * (len(paused) + in_flight)

    search(store, Looking(), budget_of(folder), in_flight=in_flight)
    for name in states(folder):
        state = from_bytes((folder / "checkpoints" / name).read_bytes())
        number = int(name.split("-")[1])
        curve = [*store.trials()[number].intermediate_values.values()]
        assert [m.val_loss for m in state.curve] == curve[: state.steps]
        assert f"-epoch-{state.steps:03d}." in name


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
        last = [f"trial-00000-epoch-{k:03d}.safetensors" for k in (n - 1, n) if k]
        assert states(store.folder) == last
    for n, content in enumerate(contents, start=1):
        path = checkpoints / f"trial-00000-epoch-{n:03d}.safetensors"
        path.write_bytes(content)
    # One later than what is recorded is of a round that was lost.
    state = store.state(trial)
    assert state is not None
    assert len(state.curve) == 3
    (checkpoints / "trial-00000-epoch-003.safetensors").write_bytes(b"torn")
    assert store.trouble == ""
    state = store.state(trial)
    assert state is not None
    assert len(state.curve) == 2
    # It is removed: what is good is not replaced for its sake.
    assert states(store.folder)[-2:] == [
        f"trial-00000-epoch-{k:03d}.safetensors" for k in (2, 4)
    ]
    assert store.trouble == "a checkpoint was damaged, and that part was trained again"


@pytest.mark.parametrize("other", ["trial", "seed", "name", "data", "epoch"])
def test_the_state_of_another_trial_is_passed_over(tmp_path: Path, other: str) -> None:
    def paused(folder: Path) -> Store:
        store = reopen(folder)
        for _ in range(2):
            trial = store.next_trial(lambda trials, step: True, narrow().suggest)
            assert trial is not None
            opened = Opened(
                Run(recipe=Recipe(), max_epochs=9, patience=9, seed=0, key="")
            )
            for epoch in (1, 2):
                store.report(trial, 1.0, epoch)
                opened.add(1.0)
            store.pause(trial, opened.state())
        return store

    store = paused(begin(tmp_path / "s"))
    mine = store.folder / "checkpoints" / "trial-00001-epoch-002.safetensors"
    trial = revived(store.study, store._storage, 1)
    assert store.state(trial) is not None
    options = {"seed": 1} if other == "seed" else {}
    folder = tmp_path / "other" / ("t" if other == "name" else "s")
    begin(folder, **options)
    if other == "data":
        write_json(folder / "split.json", {"fingerprint": "y", "source": "y"})
    paused(folder)
    theirs = folder / "checkpoints" / mine.name
    if other in ("trial", "epoch"):
        theirs = mine.with_name("trial-00000-epoch-002.safetensors")
    if other == "epoch":
        theirs = mine.rename(mine.with_name("trial-00001-epoch-001.safetensors"))
        assert store.state(trial) is None
        return
    mine.write_bytes(theirs.read_bytes())
    assert store.state(trial) is None
    assert store.trouble


@pytest.mark.parametrize(("keep", "kept"), [(None, 20), (3, 3), (0, 0)])
def test_few_states_stay_when_the_search_has_ended(
    tmp_path: Path, keep: int | None, kept: int
) -> None:
    folder = begin(tmp_path / "s", budget_epochs=60, keep_checkpoints=keep)
    search(reopen(folder), Rounds(worse), budget_of(folder), in_flight=3)
    trials = reopen(folder).trials()
    paused = [t for t in trials if t.user_attrs["stopped"] == "paused"]
    assert len(paused) > 20
    best = sorted(paused, key=lambda t: min(t.intermediate_values.values()))[:kept]
    assert {int(name.split("-")[1]) for name in states(folder)} == {
        t.number for t in best
    }


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
    assert len({name.split("-")[1] for name in states(folder)}) <= 5
