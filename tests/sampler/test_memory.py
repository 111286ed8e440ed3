"""What a search remembers in its study: the same for every worker and after a stop."""

from __future__ import annotations

import itertools
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.pruners import HyperbandPruner
from optuna.storages import InMemoryStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import Trial

from tunekit.sampler import CoarseToFineSampler
from tunekit.sampler.belief import Belief, constants_of
from tunekit.sampler.history import History
from tunekit.sampler.memory import REGIONS, Memory


@pytest.fixture(autouse=True)
def quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def valley(trial: Trial) -> float:
    x = trial.suggest_float("x", 0, 1)
    kind = trial.suggest_categorical("kind", ["a", "b", None])
    return (x - 0.3) ** 2 + (kind != "a") + 0.01 * trial.suggest_int("n", 1, 5)


def journal(path: Path) -> JournalStorage:
    return JournalStorage(JournalFileBackend(str(path)))


def opened(storage: Any, seed: int = 0, **options: Any) -> optuna.Study:
    """As another process would."""
    return optuna.create_study(
        study_name="s",
        storage=storage,
        load_if_exists=True,
        sampler=CoarseToFineSampler(seed=seed),
        **options,
    )


def history(study: optuna.Study) -> History:
    sampler, trials = study.sampler, study.get_trials(deepcopy=False)
    assert isinstance(sampler, CoarseToFineSampler)
    return sampler.reader(study, sampler.space_of(trials)).read(trials)


def believed(study: optuna.Study) -> Belief:
    assert isinstance(study.sampler, CoarseToFineSampler)
    return study.sampler.belief(study, history(study))


def entries(study: optuna.Study) -> list[dict[str, Any]]:
    return list(study.user_attrs.get(REGIONS, []))


def same(one: Belief, two: Belief) -> bool:
    return (
        (one.model.constants == two.model.constants).all()
        and (one.region.low == two.region.low).all()
        and (one.region.high == two.region.high).all()
        and one.region.choices == two.region.choices
    )


# --- The same for everybody -----------------------------------------------------------

BELIEVE = """
import json, sys, optuna
from tests.sampler.test_memory import believed, journal, opened
optuna.logging.set_verbosity(optuna.logging.WARNING)
belief = believed(opened(journal(sys.argv[1]), seed=int(sys.argv[2])))
print(json.dumps([
    belief.model.constants.tolist(), belief.region.low.tolist(),
    belief.region.high.tolist(), belief.region.choices,
]))
"""


def test_two_processes_have_the_same_constants_and_region(tmp_path: Path) -> None:
    path = tmp_path / "journal.log"
    study = opened(journal(path))
    study.optimize(valley, n_trials=30)
    here = believed(study)
    found = [
        json.loads(
            subprocess.run(
                [sys.executable, "-c", BELIEVE, str(path), str(seed)],
                capture_output=True,
                text=True,
                check=True,
                cwd=Path(__file__).parents[2],
            ).stdout
        )
        for seed in (0, 7)
    ]
    assert found[0] == found[1]
    assert found[0][0] == here.model.constants.tolist()
    assert found[0][1:3] == [here.region.low.tolist(), here.region.high.tolist()]
    assert here.region.high[0] - here.region.low[0] < 0.9


def test_after_a_stop_all_is_as_if_there_had_been_none(tmp_path: Path) -> None:
    """Even though the constants in use are those of an earlier history."""
    whole = opened(journal(tmp_path / "whole.log"))
    whole.optimize(valley, n_trials=27)
    for n in (9, 4, 1, 7, 6):
        study = opened(journal(tmp_path / "parts.log"))
        study.optimize(valley, n_trials=n)
    assert [t.params for t in study.trials] == [t.params for t in whole.trials]
    assert entries(study) == entries(whole)
    assert same(believed(study), believed(whole))
    fresh = constants_of(history(study))
    assert (believed(study).model.constants != fresh).any()


def test_workers_take_turns_as_one_does(tmp_path: Path) -> None:
    """Each finds what the other has written, however old what it knew itself is."""
    one = opened(journal(tmp_path / "one.log"))
    one.optimize(valley, n_trials=40)
    path = tmp_path / "two.log"
    workers = opened(journal(path)), opened(journal(path))
    for n, of in ((12, 0), (2, 1), (9, 0), (1, 1), (7, 0), (9, 1)):
        workers[of].optimize(valley, n_trials=n)
    assert [t.params for t in workers[0].trials] == [t.params for t in one.trials]
    assert entries(workers[1]) == entries(one)


def test_what_another_worker_wrote_last_is_what_all_use(tmp_path: Path) -> None:
    """Two found constants at once: one of them was the last to write."""
    path = tmp_path / "journal.log"
    study, other = opened(journal(path)), opened(journal(path))
    study.optimize(valley, n_trials=12)
    ours = believed(study)
    theirs = entries(study)
    theirs[-1]["constants"] = [each + 0.1 for each in theirs[-1]["constants"]]
    other.set_user_attr(REGIONS, theirs)
    assert same(believed(study), believed(other))
    assert not same(believed(study), ours)


def test_another_study_of_the_same_name_is_another() -> None:
    sampler = CoarseToFineSampler(seed=0)
    studies = [
        optuna.create_study(study_name="s", storage=InMemoryStorage(), sampler=sampler)
        for _ in range(2)
    ]
    studies[0].optimize(valley, n_trials=20)
    studies[1].optimize(lambda trial: -valley(trial), n_trials=20)
    alone = opened(InMemoryStorage())
    alone.optimize(lambda trial: -valley(trial), n_trials=20)
    assert [t.params for t in studies[1].trials] == [t.params for t in alone.trials]
    assert entries(studies[1]) == entries(alone)


# --- What is written ------------------------------------------------------------------


def test_constants_are_found_anew_when_there_is_a_third_more() -> None:
    study = opened(None)
    study.optimize(valley, n_trials=45)
    found = entries(study)
    rows = [entry["rows"] for entry in found]
    assert rows[0] == 8
    assert all(b == math.ceil(1.3 * a) for a, b in itertools.pairwise(rows))
    assert 1.3 * rows[-1] >= 44
    assert [entry["trials"] for entry in found] == rows
    constants = [entry["constants"] for entry in found]
    assert len({tuple(each) for each in constants}) == len(found)


def test_in_between_what_was_found_is_used() -> None:
    study = opened(None)
    study.optimize(valley, n_trials=13)
    last = entries(study)[-1]
    belief = believed(study)
    assert len(belief.history) == 13 > last["rows"]
    assert belief.model.constants.tolist() == last["constants"]
    # The region is that of all that is known now.
    assert len(belief.promise) == 13


def test_a_hyperparameter_more_needs_other_constants() -> None:
    study = opened(None)
    study.optimize(valley, n_trials=12)
    study.optimize(lambda t: valley(t) + t.suggest_float("y", 0, 1), n_trials=2)
    last = entries(study)[-1]
    assert last["names"] == ["x", "kind", "n", "y"]
    assert len(last["constants"]) == len(entries(study)[-2]["constants"]) + 1


def test_entries_are_plain_and_say_how_the_search_narrowed(tmp_path: Path) -> None:
    study = opened(journal(tmp_path / "journal.log"))
    study.optimize(valley, n_trials=60)
    found = entries(opened(journal(tmp_path / "journal.log")))
    assert json.loads(json.dumps(found)) == found == entries(study)
    regions = [entry["region"] for entry in found]
    assert regions[0] == {"x": [0.0, 1.0], "kind": ["a", "b", None], "n": [1, 5]}
    low, high = regions[-1]["x"]
    assert 0.0 < low < 0.3 < high < 0.8
    assert regions[-1]["kind"] == ["a"]
    assert [list(region) for region in regions] == [["x", "kind", "n"]] * len(regions)


def test_the_region_widens_again_when_the_best_lies_on_its_edge() -> None:
    """What is promising lies at 0.3, until beyond it a deeper valley is found."""

    def deeper(trial: Trial) -> float:
        x = trial.suggest_float("x", 0, 1)
        return (x - 0.3) ** 2 - 4 * max(0.0, x - 0.4) ** 2

    storage = InMemoryStorage()
    study = opened(storage)
    distribution = optuna.distributions.FloatDistribution(0, 1)
    places = np.concatenate([np.linspace(0.0, 1.0, 8), np.linspace(0.25, 0.38, 12)])
    for x in places:
        # What lies beyond has not been seen yet.
        value = (x - 0.3) ** 2
        study.add_trial(
            optuna.create_trial(
                value=value, params={"x": x}, distributions={"x": distribution}
            )
        )
    narrow = believed(study).region
    assert narrow.high[0] < 0.5
    study.optimize(deeper, n_trials=1)
    for x in (0.45, 0.47, 0.5, 0.55, 0.6, 0.7, 0.8, 0.95):
        study.enqueue_trial({"x": x})
    study.optimize(deeper, n_trials=8)
    wide = believed(study).region
    assert wide.high[0] > narrow.high[0] + 0.3
    highs = [entry["region"]["x"][1] for entry in entries(study)]
    assert highs[-1] > min(highs) + 0.3
    study.optimize(deeper, n_trials=15)
    assert study.best_params["x"] > 0.9


# --- Studies that take no attributes --------------------------------------------------


def curved(trial: Trial) -> float:
    loss = valley(trial)
    for epoch in range(1, 10):
        trial.report(loss + 1 / epoch, epoch)
        if trial.should_prune():
            raise optuna.TrialPruned
    return loss + 1 / 9


def test_the_brackets_of_hyperband_are_searched_each_by_its_own(tmp_path: Path) -> None:
    def searched(name: str, *parts: int) -> optuna.Study:
        for n in parts:
            pruner = HyperbandPruner(min_resource=1, max_resource=9)
            study = opened(journal(tmp_path / name), pruner=pruner)
            pruner._try_initialization(study)  # it would be late by one trial
            study.optimize(curved, n_trials=n)
        return study

    study, parts = searched("one.log", 60), searched("two.log", 30, 14, 16)
    assert study.best_value < 0.2
    assert [t.params for t in parts.trials] == [t.params for t in study.trials]
    brackets = {name for name in study.user_attrs if name.startswith(REGIONS)}
    assert len(brackets) == 3
    assert REGIONS not in brackets


def test_a_memory_has_nothing_that_is_not_in_the_study() -> None:
    study = opened(None)
    study.optimize(valley, n_trials=12)
    known = history(study)
    before = Memory(study).belief(known, (1,))
    study.set_user_attr(REGIONS, [])
    anew = Memory(study).belief(known, (1,))
    assert not same(before, anew)
    assert len(entries(study)) == 1
    assert (anew.model.constants == constants_of(known)).all()
