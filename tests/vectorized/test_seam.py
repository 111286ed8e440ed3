"""What a feed is told and asked, in which order; by every engine."""

import math
import time
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunekit.feed import train_together
from tunekit.fit import LightningEngine
from tunekit.trial import Recipe, Run
from tunekit.vectorized import VectorizedEngine

from .conftest import NARROW, SMALL_RUNS, Told, alone, assert_same, figures

# Trains in no time; rises and falls, so that patience ends it.
QUICK = Recipe(n_layers=0, batch_size=100, optimizer="sgd", lr=3.0, schedule="constant")


def quick(i, horizon, reached, patience=99):
    return Run(
        recipe=QUICK,
        max_epochs=horizon,
        patience=patience,
        seed=0,
        key=f"trial-{i}",
        reached=reached,
    )


@pytest.fixture(scope="module")
def engine():
    return VectorizedEngine(*NARROW, "cpu", processes=1)


class Model:
    """What the seam promises, for runs that end by horizon or by a "no".

    Args:
        runs: (run, the epoch after which the feed says no).
    """

    def __init__(self, runs, slots):
        self.log, self._waiting, self._slots = [], list(runs), slots
        self._open = []  # [run, last, epoch]
        told = []
        while True:
            self.log.append(("turn",))
            self._tell(told)
            self._fill()
            self.log.append(("turned",))
            if not self._open:
                return
            behind = [each for each in self._open if each[2] < each[0].reached]
            told = behind or list(self._open)
            for each in told:
                each[2] += 1

    def _tell(self, told):
        if told:
            self.log.append(
                ("epochs", [(r.key, at, at == r.max_epochs) for r, _, at in told])
            )
        for each in told:
            run, last, at = each
            if at in (last, run.max_epochs):
                self._open.remove(each)
                self.log.append(("end", run.key, at))

    def _fill(self):
        while len(self._open) < self._slots:
            if not self._waiting:
                self.log.append(("next", None))
                return
            run, last = self._waiting.pop(0)
            self._open.append([run, last, 0])
            self.log.append(("next", run.key))


@st.composite
def fed(draw):
    """Runs with horizons, epochs recorded before, and epochs at which to say no."""
    n = draw(st.integers(0, 9))
    found = []
    for i in range(n):
        horizon = draw(st.integers(1, 6))
        reached = draw(st.sampled_from([0, 0, min(3, horizon), min(5, horizon)]))
        last = draw(st.sampled_from([99, 99, 1, 3]))
        found.append((quick(i, horizon, reached), max(last, reached)))
    return found


@settings(max_examples=60)
@given(fed(), st.integers(1, 5))
def test_the_feed_is_told_in_order_of_opening_once_a_round(engine, runs, slots):
    last = {run.key: at for run, at in runs}
    feed = Told(
        [run for run, _ in runs], go_on=lambda each: each.epoch != last[each.run.key]
    )
    engine.train_all(feed, slots)
    assert feed.log == Model(runs, slots).log
    for run, _ in runs:
        assert feed.curves[run.key] == feed.fits[run.key].curve


def test_runs_that_were_interrupted_are_caught_up_first_and_alone(engine):
    runs = [quick(0, 5, 0), quick(1, 5, 3), quick(2, 5, 2), quick(3, 5, 0)]
    feed = Told(runs)
    engine.train_all(feed, 4)
    rounds = [
        [key for key, _, _ in event[1]] for event in feed.log if event[0] == "epochs"
    ]
    caught = [["trial-1", "trial-2"]] * 2 + [["trial-1"]]
    every = [run.key for run in runs]
    assert rounds[:5] == [*caught, every, every]


def test_a_run_opened_later_is_caught_up_while_the_others_wait(engine):
    runs = [quick(0, 6, 0), quick(1, 1, 0), quick(2, 6, 4)]
    feed = Told(runs)
    engine.train_all(feed, 2)
    rounds = [event[1] for event in feed.log if event[0] == "epochs"]
    assert rounds[0] == [("trial-0", 1, False), ("trial-1", 1, True)]
    assert rounds[1:5] == [[("trial-2", epoch, False)] for epoch in (1, 2, 3, 4)]
    assert rounds[5] == [("trial-0", 2, False), ("trial-2", 5, False)]


def test_what_was_reached_changes_no_curve(engine):
    runs = [replace(run, reached=i % 5) for i, run in enumerate(SMALL_RUNS[:12])]
    feed = Told(runs)
    engine.train_all(feed, 5)
    for run in SMALL_RUNS[:12]:
        assert_same(feed.fits[run.key], alone(run))


@pytest.mark.parametrize("patience", [1, 2, 4])
def test_patience_ends_a_run_and_its_epoch_says_so(engine, patience):
    runs = [
        replace(quick(i, 40, 0, patience), recipe=replace(QUICK, lr=lr))
        for i, lr in enumerate([0.5, 3.0, 10.0])
    ]
    feed = Told(runs)
    engine.train_all(feed, 3)
    lengths = set()
    for run in runs:
        losses = [m.val_loss for m in feed.curves[run.key]]
        best, since = math.inf, []
        for loss in losses:
            since.append(0 if loss < best else since[-1] + 1)
            best = min(best, loss)
        overs = [
            over
            for event in feed.log
            if event[0] == "epochs"
            for key, _, over in event[1]
            if key == run.key
        ]
        assert overs == [False] * (len(losses) - 1) + [True]
        assert max(since[:-1]) < patience
        assert since[-1] == patience or len(losses) == 40
        assert feed.fits[run.key].best_epoch == 1 + losses.index(best)
        lengths.add(len(losses))
    assert min(lengths) < 40


def test_a_no_ends_only_the_run_it_was_said_about(engine):
    feed = Told(
        SMALL_RUNS[:8],
        go_on=lambda each: (each.run.key, each.epoch) != ("trial-3", 2),
    )
    engine.train_all(feed, 8)
    for run in SMALL_RUNS[:8]:
        expected = alone(run, 2) if run.key == "trial-3" else alone(run)
        assert_same(feed.fits[run.key], expected)


def test_a_no_at_the_end_of_itself_ends_it_once(engine):
    feed = Told([quick(0, 2, 0)], go_on=lambda each: not each.over)
    engine.train_all(feed, 1)
    assert [event for event in feed.log if event[0] == "end"] == [("end", "trial-0", 2)]


@pytest.mark.parametrize("width", [2**40, None])
def test_a_failed_run_frees_its_slot_at_once(engine, width):
    """More memory than there is, and a mistake."""
    broken = replace(quick(1, 3, 0), recipe=replace(QUICK, width=width, n_layers=1))
    feed = Told([quick(0, 2, 0), broken, quick(2, 2, 0)])
    engine.train_all(feed, 2)
    assert list(feed.errors) == ["trial-1"]
    # Those opened in the same turn begin together.
    first = next(event for event in feed.log if event[0] == "epochs")
    assert [key for key, _, _ in first[1]] == ["trial-0", "trial-2"]


def test_every_engine_tells_each_run_the_same(engine):
    """One at a time or all at once: a run's own story does not differ."""
    runs = [replace(run, patience=2) for run in SMALL_RUNS[:6]]
    runs += [quick(90, 4, 2), quick(91, 5, 0, patience=1)]

    def go_on(each):
        return (each.run.key, each.epoch) != ("trial-2", 2)

    stories = []
    for trains in (engine, LightningEngine(*NARROW, "cpu", threads=1)):
        feed = Told(runs, go_on)
        trains.train_all(feed, 4)
        story = {run.key: [] for run in runs}
        for event in feed.log:
            if event[0] == "epochs":
                for key, epoch, over in event[1]:
                    story[key].append((epoch, over))
            elif event[0] in ("end", "fail"):
                story[event[1]].append(event)
        stories.append((story, feed))
    (ours, feed), (theirs, other) = stories
    assert ours == theirs
    for run in runs:
        assert_same(feed.fits[run.key], other.fits[run.key], rel=1e-7)


def test_turns_are_never_within_each_other_and_hold_every_call(engine):
    feed = Told(SMALL_RUNS[:9])
    engine.train_all(feed, 4)
    inside = False
    for event in feed.log:
        if event[0] in ("turn", "turned"):
            assert inside == (event[0] == "turned")
            inside = not inside
        else:
            assert inside
    assert not inside


def test_train_together_gives_what_each_is_alone_in_order(engine):
    heard = []
    found = train_together(
        engine, SMALL_RUNS[:5], lambda each: heard.append(each) or True
    )
    for run, fitted in zip(SMALL_RUNS[:5], found, strict=True):
        assert_same(fitted, alone(run))
        mine = [each for each in heard if each.run is run]
        assert [each.epoch for each in mine] == [1, 2, 3, 4]
        assert [each.over for each in mine] == [False, False, False, True]
        assert figures([each.metrics for each in mine]) == pytest.approx(
            figures(fitted.curve)
        )
    assert train_together(engine, [], lambda each: True) == []


def test_seconds_are_shared_out_among_the_runs_of_a_stack(engine):
    began = time.perf_counter()
    found = train_together(engine, SMALL_RUNS[:5], lambda each: True)
    wall = time.perf_counter() - began
    assert all(m.seconds > 0 for fitted in found for m in fitted.curve)
    assert sum(m.seconds for fitted in found for m in fitted.curve) <= wall


@pytest.mark.parametrize("question", ["next", "epochs", "end", "turn"])
def test_an_error_of_the_feed_reaches_the_caller_and_a_second_use_works(
    engine, question
):
    asked = []

    def before(what):
        asked.append(what)
        if asked.count(question) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        engine.train_all(Told(SMALL_RUNS[:8], before=before), 3)
    feed = Told(SMALL_RUNS[:8])
    engine.train_all(feed, 3)
    for run in SMALL_RUNS[:8]:
        assert_same(feed.fits[run.key], alone(run))
