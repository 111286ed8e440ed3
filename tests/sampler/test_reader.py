"""The reader: reading again is reading anew, and costs little."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, TrialState, create_trial

from tunekit.sampler import reader as module
from tunekit.sampler.cube import Cube
from tunekit.sampler.history import History
from tunekit.sampler.reader import Reader
from tunekit.tally import as_one

SPACE: dict[str, BaseDistribution] = {
    "x": FloatDistribution(0.0, 1.0),
    "n": IntDistribution(1, 4),
    "kind": CategoricalDistribution(["a", "b", None]),
}
CUBE = Cube(SPACE)
NOBODY = -1
ENDED = TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL


def running(
    number: int,
    params: Mapping[str, Any],
    curve: Mapping[int, float] | None = None,
    **attributes: Any,
) -> FrozenTrial:
    made = create_trial(
        state=TrialState.RUNNING,
        params=dict(params),
        distributions={name: SPACE[name] for name in params},
        intermediate_values=dict(curve or {}),
        user_attrs=attributes,
    )
    made.number = number
    return made


def end(trial: FrozenTrial, state: TrialState, value: float) -> None:
    trial.state = state
    if state == TrialState.COMPLETE:
        trial.value = value


def same(one: History, two: History) -> None:
    for name in History.__dataclass_fields__:
        a, b = getattr(one, name), getattr(two, name)
        if isinstance(a, np.ndarray):
            assert (a.dtype, a.shape) == (b.dtype, b.shape), name
            np.testing.assert_array_equal(a, b, name)
    assert (one.horizon, one.key) == (two.horizon, two.key)


class Study:
    """Trials to which things happen."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.trials: list[FrozenTrial] = []

    def begin(self) -> None:
        values = {"x": self.rng.random(), "n": int(self.rng.integers(1, 5))}
        params = {k: v for k, v in values.items() if self.rng.random() < 0.9}
        attributes = {"to_epoch": 1} if self.rng.random() < 0.7 else {}
        self.trials.append(running(len(self.trials), params, **attributes))

    def end(self, trial: FrozenTrial) -> None:
        end(trial, ENDED[self.rng.integers(3)], float(self.rng.normal()))
        if trial.state == TrialState.PRUNED:
            reports, number = trial.intermediate_values, len(self.trials)
            self.trials.append(
                running(number, trial.params, reports, continues=trial.number)
            )

    def promote(self, trial: FrozenTrial) -> None:
        trial.user_attrs["to_epoch"] = int(self.rng.choice([1, 3, 5, 9, 27]))

    def report(self, trial: FrozenTrial) -> None:
        first = max(trial.intermediate_values, default=0) + 1
        for step in range(first, min(28, first + int(self.rng.integers(4)))):
            trial.intermediate_values[step] = float(self.rng.normal())

    def go_on(self) -> None:
        open_ = [t for t in self.trials if t.state == TrialState.RUNNING]
        what = self.rng.integers(6)
        if not open_ or what == 0:
            self.begin()
            return
        happens = self.end, self.promote, self.report, self.report, self.report
        happens[what - 1](open_[self.rng.integers(len(open_))])


@pytest.mark.parametrize("last", [None, 27])
@pytest.mark.parametrize("seed", range(8))
def test_reading_again_is_reading_anew(last: int | None, seed: int) -> None:
    """While trials begin, are promoted, continued and end; of all of them, or some."""
    study = Study(seed)
    again = Reader(CUBE, maximize=False, last=last)
    for _ in range(150):
        study.go_on()
        n = len(study.trials)
        but = int(study.rng.integers(n)) if study.rng.random() < 0.3 else NOBODY
        which = list(as_one(study.trials)) if study.rng.random() < 0.5 else study.trials
        anew = Reader(CUBE, maximize=False, last=last)
        same(again.read(which, but), anew.read(which, but))
    found = again.read(study.trials)
    assert len(found) > 10
    assert len(found.values) > len(found) > len(found.pending) > 0


def test_what_has_ended_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    curve_of = module.curve_of

    def counted(trial: FrozenTrial, last: int, sign: float) -> Any:
        read.append(trial.number)
        return curve_of(trial, last, sign)

    monkeypatch.setattr(module, "curve_of", counted)
    params = {"x": 0.5, "n": 2, "kind": "a"}
    trials = [running(n, params, {1: 1.0}) for n in range(6)]
    for trial in trials[:3]:
        end(trial, TrialState.PRUNED, 0.0)
    reader = Reader(CUBE, maximize=False, last=9)
    for _ in range(3):
        assert len(reader.read(trials)) == 6
    assert read == [0, 1, 2, 3, 4, 5]
    trials[4].intermediate_values[2] = 0.5
    end(trials[5], TrialState.COMPLETE, 0.1)
    assert reader.read(trials).values[-1] == 0.1
    assert read[6:] == [4, 5]
    for _ in range(3):
        reader.read(trials[1:])
    assert read[8:] == []


def test_where_the_end_moves_all_is_read_anew() -> None:
    params = {"x": 0.5, "n": 2, "kind": "a"}
    trials = [running(0, params, dict.fromkeys(range(1, 10), 1.0))]
    end(trials[0], TrialState.COMPLETE, 1.0)
    reader = Reader(CUBE, maximize=False)
    assert reader.read(trials).t.tolist() == pytest.approx([0, 1 / 2, 1])
    trials.append(running(1, params, dict.fromkeys(range(1, 28), 1.0)))
    found = reader.read(trials)
    assert found.horizon == 27
    assert found.t[found.trial == 0].tolist() == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert found.t[found.trial == 1].tolist() == pytest.approx([0, 1 / 3, 2 / 3, 1])
