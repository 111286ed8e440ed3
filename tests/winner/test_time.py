"""What is trained when time runs out."""

from __future__ import annotations

from pathlib import Path

import pytest
from optuna.trial import TrialState, create_trial

from tunekit.data import Table
from tunekit.predict import Predictor
from tunekit.trial import Feed, Fitted, Heard, Metrics, Run, Verdict
from tunekit.winner import crown

from .conftest import DEFAULT, RECIPE, SETTINGS, OnEpoch, Untrained, crowned


class Clock:
    """Seconds left: one less for every epoch trained."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __call__(self) -> float:
        return self.seconds


class Timed(Untrained):
    def __init__(self, table: Table, clock: Clock) -> None:
        super().__init__(table)
        self.clock = clock

    def train(self, run: Run, on_epoch: OnEpoch) -> Fitted:
        def tick(epoch: int, metrics: Metrics) -> Verdict:
            self.clock.seconds -= 1
            return on_epoch(epoch, metrics)

        return super().train(run, tick)


AN_EPOCH_A_SECOND = {"seconds": 4.0, "epochs": 4}


@pytest.mark.parametrize(
    ("seconds", "seeds", "epochs", "baselines"),
    [
        (-5, 1, 1, 1),
        (0, 1, 1, 1),
        (2, 1, 2, 1),
        (4, 1, 4, 1),
        (5, 1, 4, 2),  # the default recipe was cut short: its figures would mislead
        (8, 1, 4, 3),
        (13, 2, 4, 3),  # the same for the third seed
        (17, 3, 4, 3),
        (40, 3, 4, 3),
    ],
)
def test_what_does_not_fit_is_left_out_but_never_the_first_seed(
    tmp_path: Path,
    clouds: Table,
    seconds: float,
    seeds: int,
    epochs: int,
    baselines: int,
) -> None:
    clock = Clock(seconds)
    engine = Timed(clouds, clock)
    final = crowned(
        tmp_path, clouds, engine, seconds_left=clock, attrs=AN_EPOCH_A_SECOND
    )
    assert final["test"]["seeds"] == len(final["seeds"]) == seeds
    assert [len(each["curve"]) for each in final["seeds"]] == [epochs] * seeds
    assert len(final["baselines"]) == baselines
    assert "majority class" in final["baselines"]
    assert Predictor.load(tmp_path).predict_proba(clouds.test_rows()[0]).shape[1] == 3
    # At most one epoch after time was up.
    assert clock.seconds >= min(seconds, 0) - 1
    # Whatever is not there is told.
    left_out = {each["what"]: each["why"] for each in final["left_out"]}
    cut = {"seed 0": f"no time left: cut at epoch {epochs}, but counted"}
    missing = {f"seed {k}": "no time left" for k in range(seeds, 3)}
    missing |= {"softmax regression": "no time left"} if baselines < 2 else {}
    missing |= {"default recipe": "no time left"} if baselines < 3 else {}
    assert left_out == missing | (cut if epochs < 4 else {})


class Together(Untrained):
    """Trains in rounds; an epoch of each open run is a second."""

    def __init__(self, table: Table, clock: Clock) -> None:
        super().__init__(table)
        self.clock = clock
        self.waves: list[list[str]] = []

    def train_all(self, feed: Feed, slots: int) -> None:
        runs = [*iter(feed.next, None)]
        assert len(runs) <= slots
        self.waves.append([run.key for run in runs])
        whole = {run.key: self.train(run, lambda *_: Verdict.GO_ON) for run in runs}
        for epoch in range(1, SETTINGS["max_epochs"] + 1):
            self.clock.seconds -= len(runs)
            heard = [
                Heard(run, epoch, whole[run.key].curve[epoch - 1], epoch == 4)
                for run in runs
            ]
            going = dict(zip([*runs], feed.epochs(heard), strict=True))
            for run in [run for run, v in going.items() if v is Verdict.STOP]:
                runs.remove(run)
                fitted = whole[run.key]
                cut = Fitted(
                    curve=fitted.curve[:epoch],
                    best_epoch=fitted.best_epoch,
                    weights=fitted.weights,
                    diverged=False,
                )
                feed.end(run, cut)


@pytest.mark.parametrize(
    ("seconds", "waves"),
    [
        (20, [["final-0", "baseline", "final-1", "final-2"]]),
        # What one took is known by then: five seconds are allowed for four.
        (19, [["final-0", "baseline", "final-1"], ["final-2"]]),
        (11, [["final-0", "baseline"], ["final-1"]]),
        (9.9, [["final-0"], ["baseline"], ["final-1"]]),
        (1, [["final-0"]]),
        (-3, [["final-0"]]),
    ],
)
def test_as_many_are_trained_together_as_time_allows(
    tmp_path: Path, clouds: Table, seconds: float, waves: list[list[str]]
) -> None:
    clock = Clock(seconds)
    engine = Together(clouds, clock)
    final = crowned(
        tmp_path, clouds, engine, seconds_left=clock, attrs=AN_EPOCH_A_SECOND
    )
    assert engine.waves == waves
    assert clock.seconds >= min(0, seconds) - len(waves[-1])
    assert final["seeds"][0]["seed"] == 0


def test_where_none_is_whole_all_count(tmp_path: Path, clouds: Table) -> None:
    """Nobody knew how long it takes: all are cut short at the same epoch."""
    clock = Clock(8)
    final = crowned(tmp_path, clouds, Together(clouds, clock), seconds_left=clock)
    assert [len(each["curve"]) for each in final["seeds"]] == [2, 2, 2]
    assert set(final["baselines"]) == {"majority class"}
    left_out = {each["what"]: each["why"] for each in final["left_out"]}
    assert left_out == {
        **{f"seed {k}": "no time left: cut at epoch 2, but counted" for k in range(3)},
        "softmax regression": "no time left",
        "default recipe": "no time left",
    }


def test_a_winner_that_failed_when_it_was_taken_up_again(
    tmp_path: Path, clouds: Table
) -> None:
    """Its epochs were recorded before; of the attempt that failed there are none."""
    failed = create_trial(
        state=TrialState.FAIL,
        intermediate_values={1: 0.6, 2: 0.5},
        user_attrs={"epochs": 0, "seconds": 0.0},
    )
    failed.number = 3
    options = {"engine": Untrained(clouds), "table": clouds, "folder": tmp_path}
    final = crown(failed, RECIPE, default=DEFAULT, settings=SETTINGS, **options)
    assert final["test"]["seeds"] == 3
