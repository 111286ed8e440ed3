"""Whom to promote, by where curves are going: a function of the recorded trials."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from tunekit.promising import Promising
from tunekit.rungs import Begin, Promote
from tunekit.sampler import CoarseToFineSampler
from tunekit.tally import as_one

RUNGS = (1, 3, 9, 27)
SPACE = {"x": FloatDistribution(0.0, 1.0)}
Curve = Callable[[float, int], float]


@pytest.fixture(autouse=True)
def quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def families(x: float, epoch: int) -> float:
    """Below 0.5 curves begin well and end badly, above they are slow and end well."""
    share = math.log(epoch) / math.log(27)
    best = 0.1 + abs(x - 0.8)
    return 1.0 - 0.1 * share if x < 0.5 else 2.0 * (1 - share) + best * share


def plain(x: float, epoch: int) -> float:
    return (x - 0.3) ** 2 + 1.0 / epoch


class Search:
    """Does what is chosen, in a study in memory."""

    def __init__(
        self,
        curve: Curve = plain,
        n_trials: int | None = None,
        direction: str = "minimize",
        seed: int = 0,
    ) -> None:
        self.sampler = CoarseToFineSampler(seed=seed, space=SPACE, rungs=RUNGS)
        self.study = optuna.create_study(
            study_name="s",
            storage=InMemoryStorage(),
            sampler=self.sampler,
            direction=direction,
        )
        self.chooser = Promising(self.study, self.sampler, RUNGS, n_trials)
        self.sign = -1.0 if direction == "maximize" else 1.0
        self.curve = curve
        self.steps: list[Promote | Begin | None] = []

    def trials(self) -> Sequence[FrozenTrial]:
        return as_one(self.study.get_trials(deepcopy=False))

    def anew(self) -> Promising:
        """As another process would have it."""
        sampler = CoarseToFineSampler(seed=0, space=SPACE, rungs=RUNGS)
        study = optuna.load_study(
            study_name="s", storage=self.study._storage, sampler=sampler
        )
        return Promising(study, sampler, RUNGS, self.chooser._n_trials)

    def choose(self) -> Promote | Begin | None:
        step = self.chooser.choose(self.trials())
        self.steps.append(step)
        return step

    def start(self, step: Promote | Begin) -> optuna.Trial:
        """Take a step up; it is being trained then."""
        if isinstance(step, Promote):
            trial = optuna.Trial(self.study, self.study.trials[step.number]._trial_id)
        else:
            trial = self.study.ask()
        trial.set_user_attr("to_epoch", step.to_epoch)
        trial.suggest_float("x", 0.0, 1.0)
        return trial

    def train(self, trial: optuna.Trial) -> None:
        """To where it is to be trained: it is paused there, or ends."""
        frozen = self.study.trials[trial.number]
        reached = max(frozen.intermediate_values, default=0)
        to_epoch = frozen.user_attrs["to_epoch"]
        for epoch in range(reached + 1, to_epoch + 1):
            trial.report(self.sign * self.curve(trial.params["x"], epoch), epoch)
        if to_epoch == RUNGS[-1]:
            values = self.study.trials[trial.number].intermediate_values.values()
            self.study.tell(trial, self.sign * min(self.sign * v for v in values))

    def run(self, n_steps: int) -> Search:
        for _ in range(n_steps):
            step = self.choose()
            if step is None:
                break
            self.train(self.start(step))
        return self

    def add(self, x: float, to_epoch: int, **options: Any) -> None:
        """A trial that was paused there."""
        self.study.add_trial(paused(x, to_epoch, self.curve, self.sign, **options))

    def epochs(self) -> int:
        return sum(len(t.intermediate_values) for t in self.trials())


def paused(
    x: float,
    to_epoch: int,
    curve: Curve = plain,
    sign: float = 1.0,
    state: TrialState = TrialState.RUNNING,
    **attributes: Any,
) -> FrozenTrial:
    reports = {e: sign * curve(x, e) for e in range(1, to_epoch + 1)}
    done = state == TrialState.COMPLETE
    return create_trial(
        state=state,
        value=sign * min(sign * v for v in reports.values()) if done else None,
        params={"x": x},
        distributions=dict(SPACE),
        intermediate_values=reports,
        user_attrs={"to_epoch": to_epoch, **attributes},
    )


def facts(trials: Sequence[FrozenTrial]) -> list[tuple[Any, ...]]:
    return [
        (t.number, t.state, t.value, t.params, t.intermediate_values, t.user_attrs)
        for t in trials
    ]


# --- A function of what is recorded ---------------------------------------------------


def test_with_nothing_recorded_a_trial_begins() -> None:
    assert Search().choose() == Begin(1)
    assert Search().chooser.surplus([]) == []


def test_it_is_a_function_of_the_recorded_trials() -> None:
    search = Search()
    for _ in range(40):
        step = search.choose()
        before = copy.deepcopy(facts(search.trials()))
        assert search.choose() == step
        assert search.anew().choose(search.trials()) == step
        assert facts(search.trials()) == before
        assert step is not None
        search.train(search.start(step))
    assert {type(step) for step in search.steps} == {Promote, Begin}


def test_what_begins_is_what_was_weighed() -> None:
    search = Search().run(15)
    weighed = 0
    for _ in range(15):
        step = search.choose()
        assert step is not None
        proposed = search.sampler._proposed
        trial = search.start(step)
        if isinstance(step, Begin) and search.sampler._proposed is proposed:
            assert proposed is not None
            weighed += trial.params["x"] == pytest.approx(proposed[1].point[0])
        search.train(trial)
    assert weighed > 3


def test_a_random_draw_is_not_worth_what_the_best_candidate_is() -> None:
    """One is promoted that the model's own proposal, but no chance, would beat."""
    differ = 0
    for n in range(12, 30):
        search = Search(seed=n).run(n)
        chance = Promising(search.study, search.sampler, RUNGS, random=True)
        best, mean = search.choose(), chance.choose(search.trials())
        assert not (isinstance(best, Promote) and isinstance(mean, Begin))
        differ += isinstance(best, Begin) and isinstance(mean, Promote)
    assert differ > 0


def test_first_come_those_from_everywhere() -> None:
    search = Search().run(8)
    assert search.steps == [Begin(1)] * 8


def test_a_named_configuration_is_first_to_be_trained_to_its_end() -> None:
    search = Search().run(8)
    named = Promising(search.study, search.sampler, RUNGS, n_first=2)
    first = named.choose(search.trials())
    assert first == Promote(0, RUNGS[-1])
    trial = search.start(first)
    on_its_way = named.choose(search.trials())
    search.train(trial)
    for later in (on_its_way, named.choose(search.trials())):
        assert isinstance(later, Begin | Promote)
        assert later.to_epoch < RUNGS[-1]


# --- Where curves are going -----------------------------------------------------------


def seen(search: Search) -> Search:
    """Both families of curves, some to their ends."""
    done = TrialState.COMPLETE
    for x in (0.1, 0.3, 0.45, 0.6, 0.95):
        search.add(x, 27, state=done)
    for x in (0.2, 0.4, 0.5, 0.65, 0.9):
        search.add(x, 3)
    return search


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_a_slow_one_that_ends_well_is_promoted_before_a_fast_starter(
    direction: str,
) -> None:
    search = seen(Search(families, n_trials=12, direction=direction))
    search.add(0.25, 3)
    search.add(0.80, 3)
    fast, slow = (search.trials()[n].intermediate_values for n in (10, 11))
    assert search.sign * fast[3] < search.sign * slow[3] - 0.3
    step = search.choose()
    assert isinstance(step, Promote)
    assert step.number == 11
    # The fast ones come last.
    history = search.sampler.reader(search.study, SPACE).read(search.trials())
    rates = search.sampler.belief(search.study, history).rates_of([10, 11])
    assert rates[1] > 10 * rates[0]


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
@pytest.mark.parametrize("seed", range(3))
def test_a_search_among_fast_starters_finds_the_slow_one(
    seed: int, direction: str
) -> None:
    """Of the slow ones two were seen, and neither is the best."""
    search = seen(Search(families, direction=direction, seed=seed))
    before = search.epochs()
    while search.epochs() < before + 4 * 27:
        search.run(1)
    best = min(search.sign * v for v in values(search.trials()))
    assert best < 0.135


def values(trials: Sequence[FrozenTrial]) -> list[float]:
    return [v for t in trials for v in t.intermediate_values.values()]


def test_a_search_spends_little_on_what_is_bad() -> None:
    on_bad = []
    for seed in range(6):
        search = Search(seed=seed)
        while search.epochs() < 4 * 27:
            search.run(1)
        assert min(values(search.trials())) < plain(0.3, 27) + 0.01
        bad = [t for t in search.trials() if abs(t.params["x"] - 0.3) > 0.2]
        epochs = sum(len(t.intermediate_values) for t in bad)
        on_bad.append(epochs / search.epochs())
    assert max(on_bad) < 0.25
    assert sum(on_bad) / len(on_bad) < 0.12


def test_a_promotion_goes_to_the_next_rung() -> None:
    search = seen(Search(families, n_trials=10)).run(20)
    for step in search.steps[:-1]:
        assert isinstance(step, Promote)
        assert step.to_epoch in RUNGS
    reports = [len(t.intermediate_values) for t in search.trials()]
    assert set(reports) <= set(RUNGS)


# --- How many begin, and who may go on ------------------------------------------------


@pytest.mark.parametrize("n_trials", [1, 5, 12])
def test_so_many_begin_and_then_there_are_promotions_alone(n_trials: int) -> None:
    search = Search(n_trials=n_trials).run(200)
    assert len(search.trials()) == n_trials
    assert search.steps[-1] is None
    assert all(t.state == TrialState.COMPLETE for t in search.trials())
    for number in range(n_trials):
        promoted = [
            s.to_epoch
            for s in search.steps
            if isinstance(s, Promote) and s.number == number
        ]
        assert promoted == [3, 9, 27]


def test_one_that_the_budget_stopped_between_rungs_goes_on_to_the_next() -> None:
    search = seen(Search(families, n_trials=11))
    search.add(0.8, 5)
    assert search.choose() == Promote(10, 9)


def test_of_a_chain_the_last_alone_counts() -> None:
    """A finished search's trial was promoted by a larger budget: a new one stands for
    it, and neither counts twice."""
    ended: Mapping[str, Any] = {"state": TrialState.PRUNED, "stopped": "paused"}
    search = seen(Search(families, n_trials=12))
    search.add(0.8, 3, **ended)
    search.add(0.7, 3, **ended)
    step = search.choose()
    assert step == Promote(10, 9)
    search.add(0.8, 3, continues=10)
    assert len(search.trials()) == 12
    continued = search.choose()
    assert continued == Promote(12, 9)
    trial = search.start(continued)
    assert search.choose() not in (Promote(10, 9), Promote(12, 9))
    search.train(trial)
    assert len(search.trials()) == 12
    assert not any(isinstance(search.choose(), Begin) for _ in range(2))


def test_what_was_let_go_or_failed_is_not_promoted() -> None:
    search = seen(Search(families, n_trials=12))
    search.add(0.8, 3, state=TrialState.PRUNED, stopped="weak")
    search.add(0.81, 3, state=TrialState.FAIL)
    promoted = {s.number for s in search.run(60).steps if isinstance(s, Promote)}
    assert promoted == {5, 6, 7, 8, 9}


@pytest.mark.parametrize("in_flight", [2, 5])
def test_of_several_in_flight_none_is_promoted_twice(in_flight: int) -> None:
    search = Search(n_trials=20)
    flying: list[optuna.Trial] = []
    done: set[tuple[int, int]] = set()
    rng = np.random.default_rng(0)
    for _ in range(200):
        step = search.choose() if len(flying) < in_flight else None
        if step is None:
            if not flying:
                break
            search.train(flying.pop(rng.integers(len(flying))))
            continue
        if isinstance(step, Promote):
            assert (step.number, step.to_epoch) not in done
            assert step.number not in {trial.number for trial in flying}
            done.add((step.number, step.to_epoch))
        flying.append(search.start(step))
    assert {number for number, to_epoch in done if to_epoch == 27} == {*range(20)}
    assert len({t.params["x"] for t in search.trials()}) == 20


def test_at_the_same_time_different_ones_begin() -> None:
    search = Search().run(12)
    trials = [search.start(Begin(1)) for _ in range(5)]
    places = sorted(trial.params["x"] for trial in trials)
    assert min(np.diff(places)) >= 0.005


def test_what_was_begun_is_not_begun_again() -> None:
    """Of its luck promotions tell, not other trials like it."""
    search = Search(families)
    while search.epochs() < 6 * 27:
        search.run(1)
    places = sorted(trial.params["x"] for trial in search.trials()[8:])
    assert len(places) > 8
    assert min(np.diff(places)) > 0.0049


# --- Too many -------------------------------------------------------------------------


def crowd(n: int, **options: Any) -> Search:
    search = Search()
    for x in np.random.default_rng(0).random(n):
        search.add(x, 1, **options)
    return search


def test_of_too_many_the_least_promising_are_let_go() -> None:
    search = crowd(130)
    gone = search.chooser.surplus(search.trials())
    assert len(gone) == 30
    assert gone == sorted(set(gone))
    away = np.array([abs(t.params["x"] - 0.3) for t in search.trials()])
    kept = np.delete(away, gone)
    assert kept.min() < 0.02
    assert np.median(away[gone]) > np.median(kept) + 0.1
    assert search.anew().surplus(search.trials()) == gone


def test_a_few_too_many_are_kept() -> None:
    """So that the model is not asked each time one is paused."""
    search = crowd(119)
    assert search.chooser.surplus(search.trials()) == []


def test_those_of_a_search_that_ended_are_nobodys_to_let_go() -> None:
    search = crowd(130, state=TrialState.PRUNED, stopped="paused")
    assert search.chooser.surplus(search.trials()) == []
    for x in np.random.default_rng(1).random(125):
        search.add(x, 1)
    gone = search.chooser.surplus(search.trials())
    assert len(gone) == 25
    assert min(gone) >= 130
