"""A training process that stands still is not waited for without end."""

import os
import signal
import time
from dataclasses import replace

import pytest

from tunekit.vectorized import VectorizedEngine, crew, remote
from tunekit.vectorized.crew import Crew, Open
from tunekit.vectorized.remote import LostError, RemoteShard

from .conftest import NARROW, SMALL_RUNS, Told, alone, assert_same

# Nobody ends before the last of them.
RUNS = [replace(run, max_epochs=5, patience=9) for run in SMALL_RUNS[:6]]

needs_stop = pytest.mark.skipif(
    not hasattr(signal, "SIGSTOP"), reason="a process cannot be stopped here"
)


@needs_stop
def test_a_stopped_process_costs_a_while_and_no_result(monkeypatch):
    monkeypatch.setattr(crew, "_HELP_SECONDS", 1e-9)
    for module in (crew, remote):
        monkeypatch.setattr(module, "PATIENCE_SECONDS", 1.0)
    trains = VectorizedEngine(*NARROW, "cpu", threads=2, processes=2)
    turns = [0]

    def before(what):
        turns[0] += what == "turned"
        helpers = trains._crew.helpers
        if turns[0] == 1 and what == "turned":
            while not all(helper.is_ready for helper in helpers):
                time.sleep(0.01)
        if turns[0] == 3 and what == "turned":
            os.kill(helpers[0]._process.pid, signal.SIGSTOP)

    feed = Told(RUNS, before=before)
    began = time.monotonic()
    try:
        trains.train_all(feed, 6)
    finally:
        trains.close()
    assert time.monotonic() - began < 60
    assert "it gave no answer for" in trains.trouble
    assert feed.errors == {}
    for run in RUNS:
        assert_same(feed.fits[run.key], alone(run))


@needs_stop
def test_what_a_stopped_process_is_sent_stops_nobody():
    """More than its pipe holds, though it reads nothing."""
    there = RemoteShard((*NARROW, "cpu"))
    try:
        there.begin()
        os.kill(there._process.pid, signal.SIGSTOP)
        there.start(["x" * 2**20])
        with pytest.raises(LostError, match=r"it gave no answer for 0.1 s"):
            there.wait(0.1)
        assert there.close(gone=True) == "it gave no answer for 0.1 s"
    finally:
        there.close()
    assert there._process.returncode == -signal.SIGKILL


def opened(work, max_seconds=None):
    run = replace(RUNS[0], max_seconds=max_seconds)
    return Open(run, None, work)


def test_patience_is_for_slow_processes_and_for_what_runs_have_left():
    assert Crew.patience([opened(2.0), opened(3.0)]) == 60 + 20 * 5
    # As long as one of them may yet be within its time.
    assert Crew.patience([opened(1.0, 30.0), opened(1.0, 40.0)]) == 70
    assert Crew.patience([opened(1.0, 30.0), opened(1.0)]) == 60 + 20 * 2
    # A slow epoch is no standstill.
    assert Crew.patience([opened(10.0, 3.0)]) == 1 + 5 * 10
