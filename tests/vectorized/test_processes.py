"""More processes: the same results, told the same; nothing is left of them."""

import os
import signal
import subprocess
import sys
import threading
import time
import traceback

import numpy as np
import pytest

from tunekit.trial import Recipe, Run
from tunekit.vectorized import VectorizedEngine, crew, remote, shard
from tunekit.vectorized.remote import LostError, RemoteShard, receive, send
from tunekit.vectorized.shard import Shard

from .conftest import (
    NARROW,
    SMALL_RUNS,
    Pauses,
    Told,
    alone,
    assert_same,
    figures,
    table_of,
)
from .conftest import RUNS as WIDE_RUNS

RUNS = SMALL_RUNS[:12]


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    """However little there is to do, help is called."""
    monkeypatch.setattr(crew, "_HELP_SECONDS", 1e-9)


@pytest.fixture
def started(monkeypatch):
    """Every process that is started; none of them outlives a test."""
    found = []

    class Recorded(subprocess.Popen):
        def __init__(self, *args, **options):
            super().__init__(*args, **options)
            found.append(self)

    monkeypatch.setattr(remote.subprocess, "Popen", Recorded)
    yield found
    for process in found:
        if process.poll() is None:
            process.kill()
            process.wait()


@pytest.fixture
def trained(monkeypatch):
    """Which process each run's epochs were trained in: keys by the shard's class."""
    found = {"here": set(), "there": set()}
    advance, start = shard.Shard.advance, RemoteShard.start

    def here(self, keys):
        keys = list(keys)
        found["here"] |= set(keys)
        return advance(self, keys)

    def there(self, keys):
        found["there"] |= set(keys)
        start(self, keys)

    monkeypatch.setattr(shard.Shard, "advance", here)
    monkeypatch.setattr(RemoteShard, "start", there)
    return found


def two():
    return VectorizedEngine(*NARROW, "cpu", threads=2, processes=2)


def one_log(slots, paused):
    feed = Pauses(RUNS, paused)
    VectorizedEngine(*NARROW, "cpu", processes=1).train_all(feed, slots)
    return feed.log


def waits_for_help(trains, at="turned", after=1):
    """A feed's ``before`` that holds everybody up until all helpers have started."""
    count = [0]

    def before(what):
        count[0] += what == at
        if count[0] == after and what == at:
            deadline = time.monotonic() + 60
            while not all(helper.is_ready for helper in trains._crew.helpers):
                assert time.monotonic() < deadline
                time.sleep(0.01)
            assert trains._crew.helpers

    return before


def assert_all_the_same(feed, slots, paused=None):
    assert feed.errors == {}
    assert feed.log == one_log(slots, paused or {})
    for run in RUNS:
        assert_same(feed.fits[run.key], alone(run))
        told, fitted = feed.curves[run.key], feed.fits[run.key].curve
        assert figures(told) == pytest.approx(figures(fitted), rel=1e-9)


def gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_two_processes_train_the_same_and_tell_the_same(started, trained):
    trains = two()
    try:
        feed = Told(RUNS, before=waits_for_help(trains))
        trains.train_all(feed, 12)
        assert_all_the_same(feed, 12)
        assert trained["there"]
        assert trained["here"]
        # Used again, with fewer slots, by the same processes.
        again = Told(RUNS)
        trains.train_all(again, 5)
        assert_all_the_same(again, 5)
        assert len(started) == 1
        assert trains.trouble == ""
        assert started[0].poll() is None
    finally:
        trains.close()
    assert started[0].poll() is not None
    assert gone(started[0].pid)
    trains.close()  # once more does nothing
    fitted = trains.train(RUNS[0], lambda epoch, metrics: True)
    assert_same(fitted, alone(RUNS[0]))


@pytest.mark.parametrize("moment", ["opening", "training", "going on"])
def test_a_process_killed_changes_no_result_and_nothing_that_is_told(
    started, trained, monkeypatch, moment
):
    trains = two()
    ready = waits_for_help(trains)
    turns = [0]

    def kill():
        started[0].send_signal(signal.SIGKILL)

    def before(what):
        ready(what)
        turns[0] += what == "turn"
        if turns[0] == 3 and what == "turned":
            # Some time within the round that begins now.
            threading.Timer(0.002, kill).start()
        elif turns[0] == 4 and what == "epochs":
            started[0].wait(timeout=20)

    if moment == "opening":
        # While it starts: it has not even read the table.
        monkeypatch.setattr(RemoteShard, "__init__", dying(RemoteShard.__init__))
        before = ready
    # Paused and opened again in the turn before the round in which it is killed.
    paused = {run.key: {2} for run in RUNS if moment == "going on"}
    feed = Pauses(RUNS, paused, before=before)
    try:
        trains.train_all(feed, 12)
        assert_all_the_same(feed, 12, paused)
        started[0].wait(timeout=20)
        assert "a training process ended early" in trains.trouble
        assert bool(trained["there"]) == (moment != "opening")
        if moment != "opening":
            again = Told(RUNS)
            trains.train_all(again, 12)
            assert_all_the_same(again, 12)
            assert len(started) == 1
    finally:
        trains.close()
    assert gone(started[0].pid)


def dying(original):
    def init(self, *args):
        original(self, *args)
        self._process.kill()

    return init


def test_interrupted_it_leaves_no_process_and_can_be_used_again(started):
    trains = two()
    ready, count = waits_for_help(trains), [0]

    def before(what):
        ready(what)
        count[0] += what == "epochs"
        if count[0] == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trains.train_all(Told(RUNS, before=before), 12)
    assert len(started) == 1
    assert gone(started[0].pid)
    feed = Told(RUNS)
    try:
        trains.train_all(feed, 12)
        assert_all_the_same(feed, 12)
    finally:
        trains.close()
    assert all(gone(process.pid) for process in started)


def test_what_is_over_soon_is_trained_without_help(started, monkeypatch):
    monkeypatch.setattr(crew, "_HELP_SECONDS", 1e6)
    trains = two()
    trains.train_all(Told(RUNS), 12)
    monkeypatch.setattr(crew, "_HELP_SECONDS", 1e-9)
    trains.train(RUNS[0], lambda epoch, metrics: True)  # one run needs no two
    assert started == []
    trains.close()


def test_help_starts_before_torch_is_imported_and_imports_it_meanwhile():
    code = """
import sys
import numpy as np
from tunekit.trial import Recipe
from tunekit.vectorized import VectorizedEngine
x, y = np.eye(4, dtype=np.float32).repeat(8, 0), np.arange(4).repeat(8)
engine = VectorizedEngine(x, y, x, y, 4, "cpu", processes=2)
engine.expect(Recipe(), 10**6, 2)
assert len(engine._crew.helpers) == 1
assert "torch" not in sys.modules
engine.close()
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


# --- The other process --------------------------------------------------------------


def serving():
    """The other process alone, once it has said that it is ready."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tunekit.vectorized"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert receive(process.stdout) == "ready"
    return process


def test_it_ends_when_its_input_is_closed_and_keeps_its_output_clean():
    """However we go, its input closes with us."""
    process = serving()
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert (out, err) == (b"", b"")


def test_it_ends_in_the_middle_of_an_epoch():
    table = table_of(20_000, 10, 64)
    run = Run(
        recipe=Recipe(width=2048, n_layers=4, batch_size=16),
        key="trial-0",
        max_epochs=9,
        patience=9,
        seed=0,
    )
    process = serving()
    send(process.stdin, (*table, "cpu"))
    send(process.stdin, ("open", (run,)))
    send(process.stdin, ("advance", (["trial-0"],)))
    assert receive(process.stdout) == (True, None)
    time.sleep(0.2)
    assert process.poll() is None
    process.stdin.close()
    # The epoch would take minutes.
    assert process.wait(timeout=20) == 0
    process.stdout.close()
    process.stderr.close()


@pytest.mark.parametrize("garbage", [b"\x02\0\0\0\0\0\0\0ab", b"\x01\0\0\0\0\0\0\0."])
def test_what_it_cannot_read_ends_it_with_a_word(garbage):
    process = serving()
    out, err = process.communicate(garbage, timeout=60)
    assert process.returncode == 1
    assert out == b""
    assert b"Error" in err


def test_an_error_comes_with_its_traceback(started):
    shard = RemoteShard((*NARROW, "cpu"))
    try:
        with pytest.raises(KeyError) as caught:
            shard.save("trial-77")
    finally:
        shard.close()
    assert "in save" in "".join(traceback.format_exception(caught.value))


def test_it_trains_to_the_same_last_bit(started):
    """Whatever addresses its copy of the table has; in single precision."""
    table = table_of(203, 77, 9, np.float32)
    odd = np.empty(table[2].size + 1, np.float32)[1:].reshape(table[2].shape)
    odd[...] = table[2]
    here = Shard(*table[:2], odd, *table[3:], "cpu")
    there = RemoteShard((*table, "cpu"))
    runs = [run for run in WIDE_RUNS if run.recipe.width > 1]
    try:
        for part in (here, there):
            for run in runs:
                part.open(run)
        for _ in range(2):
            keys = [run.key for run in runs]
            there.start(keys)
            found, expected = there.wait(), here.advance(keys)
            for key in keys:
                assert figures([found[key][0]]).tolist() == (
                    figures([expected[key][0]]).tolist()
                )
    finally:
        there.close()


@pytest.mark.parametrize(
    ("seconds", "slots", "helpers"),
    [(0.5, 9, 0), (1.5, 9, 1), (2.5, 9, 2), (1e9, 9, 4), (1e9, 2, 1), (1e9, 1, 0)],
)
def test_as_much_help_as_there_is_to_do(monkeypatch, seconds, slots, helpers):
    monkeypatch.setattr(crew, "_HELP_SECONDS", 1.0)
    found = []
    monkeypatch.setattr(crew, "RemoteShard", found.append)
    crew.Crew((*NARROW, "cpu"), 5).get_help(seconds, slots)
    assert len(found) == helpers


@pytest.mark.parametrize("error", [OSError(12, "no"), RuntimeError("no"), TypeError()])
def test_whatever_keeps_help_from_starting_we_train_alone(monkeypatch, error):
    def refuse(data):
        raise error

    monkeypatch.setattr(crew, "RemoteShard", refuse)
    trains = two()
    fitted = trains.train(RUNS[0], lambda epoch, metrics: True)
    trains.expect(RUNS[0].recipe, 10**6, 4)
    assert "no further training process could be started" in trains.trouble
    assert_same(fitted, alone(RUNS[0]))


def test_it_tells_what_a_run_raised_and_how_it_ended(started):
    shard = RemoteShard((*NARROW, "cpu"))
    try:
        with pytest.raises(KeyError):
            shard.save("trial-77")
        shard.open(RUNS[0])
        shard.start([RUNS[0].key])
        (outcome,) = shard.wait().values()
        assert outcome[0].train_loss > 0
        assert shard.is_ready
        os.kill(started[0].pid, signal.SIGKILL)
        for _ in range(2):
            with pytest.raises(LostError):
                shard.fitted(RUNS[0].key)
    finally:
        said = shard.close(gone=True)
    assert said.startswith("killed by signal 9")


def test_where_no_process_can_be_started_we_train_alone(monkeypatch):
    def refuse(*args, **options):
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(remote.subprocess, "Popen", refuse)
    trains, feed = two(), Told(RUNS)
    trains.train_all(feed, 12)
    assert_all_the_same(feed, 12)
    assert "Resource temporarily unavailable" in trains.trouble
