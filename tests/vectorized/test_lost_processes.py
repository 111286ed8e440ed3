"""A process that is lost at any message it is sent, or before any of its answers.

The processes here are threads behind a socket, so that many can be lost in no time.
"""

import socket
import threading
from contextlib import suppress
from dataclasses import replace
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunekit.vectorized import VectorizedEngine, crew, remote
from tunekit.vectorized.remote import LostError, RemoteShard, receive, send
from tunekit.vectorized.shard import Shard

from .conftest import NARROW, SMALL_RUNS, Pauses, Told, alone, assert_same

# They end one after the other: whoever is lost with others is in the middle.
RUNS = [replace(run, max_epochs=1 + i % 5) for i, run in enumerate(SMALL_RUNS[:12])]
PAUSED = {run.key: {1 + i % 3, 3} for i, run in enumerate(RUNS)}
SLOTS = 7


class Pretended:
    """What ``subprocess.Popen`` gives, but a thread that serves a shard."""

    def __init__(self, *args, **options):
        ours, self._theirs = socket.socketpair()
        self.stdin, self.stdout = ours.makefile("wb"), ours.makefile("rb")
        ours.close()  # once both files are
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        questions = self._theirs.makefile("rb")
        answers = self._theirs.makefile("wb")
        with suppress(EOFError, OSError, ValueError):
            send(answers, "ready")
            shard = Shard(*receive(questions))
            while True:
                method, arguments = receive(questions)
                try:
                    answer = (True, getattr(shard, method)(*arguments))
                except Exception as error:
                    answer = (False, error)
                send(answers, answer)
        for file in (questions, answers, self._theirs):
            with suppress(OSError):
                file.close()

    def kill(self):
        with suppress(OSError):
            self._theirs.shutdown(socket.SHUT_RDWR)

    def poll(self):
        return None

    def wait(self, timeout=None):
        self._thread.join(20)
        assert not self._thread.is_alive()


class Losses:
    """Counts messages and answers; at some of them, the process is lost first."""

    def __init__(self, moments):
        self.count, self.lost, self.helpers = 0, 0, []
        self._moments = moments
        self._patch = pytest.MonkeyPatch()

    def __enter__(self):
        self._patch.setattr(crew, "_HELP_SECONDS", 1e-9)
        self._patch.setattr(remote.subprocess, "Popen", Pretended)
        for name in ("begin", "_send", "_receive"):
            original = getattr(RemoteShard, name)
            self._patch.setattr(RemoteShard, name, self._lossy(original))
        init = RemoteShard.__init__

        def begin(helper, *args):
            init(helper, *args)
            self.helpers.append(helper)

        self._patch.setattr(RemoteShard, "__init__", begin)
        return self

    def __exit__(self, *exc_info):
        self._patch.undo()

    def _lossy(self, original):
        def lossy(helper, *args):
            if original.__name__ == "begin" and helper.has_begun:
                return original(helper, *args)  # it says nothing
            self.count += 1
            if self.count in self._moments:
                self.lost += 1
                helper._process.kill()
                helper._process.wait()
                # An answer that had come already is lost with it, however quick it was.
                if original.__name__ == "_receive":
                    while helper._answers.get(timeout=60) is not None:
                        pass
                    helper._answers.put(None)
            return original(helper, *args)

        return lossy

    def ready(self, what):
        """Before each answer of the feed: whoever starts has started."""
        while not all(helper.is_ready for helper in self.helpers):
            threading.Event().wait(0.001)


def trained(moments, processes, paused=None):
    with Losses(moments) as losses:
        trains = VectorizedEngine(*NARROW, "cpu", threads=4, processes=processes)
        feed = Pauses(RUNS, paused or {}, before=losses.ready)
        try:
            trains.train_all(feed, SLOTS)
        finally:
            trains.close()
    return losses, feed, trains


@pytest.fixture(scope="module")
def logs():
    """What is told where nothing is lost: without pauses, and with them."""
    found = []
    for paused in ({}, PAUSED):
        feed = Pauses(RUNS, paused)
        VectorizedEngine(*NARROW, "cpu", processes=1).train_all(feed, SLOTS)
        found.append(feed.log)
    return found


@pytest.fixture(scope="module")
def messages():
    """How many there are when nothing is lost, by processes, without pauses or with."""
    found = {}
    for processes in (2, 3, 4):
        for i, paused in enumerate(({}, PAUSED)):
            losses, _, trains = trained((), processes, paused)
            assert len(losses.helpers) == processes - 1
            assert trains.trouble == ""
            found[processes, i] = losses.count
    assert min(found.values()) > 30
    return found


@settings(max_examples=40)
@given(
    st.sets(st.floats(0, 1), min_size=1, max_size=3),
    st.sampled_from([2, 3, 4]),
    st.booleans(),
)
def test_lost_at_any_message_nothing_is_told_differently(
    logs, messages, moments, processes, pausing
):
    calls = {1 + round(moment * messages[processes, pausing]) for moment in moments}
    losses, feed, trains = trained(calls, processes, PAUSED if pausing else None)
    assert feed.errors == {}
    assert feed.log == logs[pausing]
    for run in RUNS:
        assert_same(feed.fits[run.key], alone(run))
    assert ("a training process ended early" in trains.trouble) == (losses.lost > 0)
    assert losses.lost or min(calls) > losses.count
    assert len(losses.helpers) == processes - 1  # no second start after a loss


@pytest.mark.parametrize("moment", [0.2, 0.5, 0.8])
def test_what_was_lost_is_trained_from_where_it_was_paused_on(
    messages, moment, monkeypatch
):
    """Its epochs before the pause are not trained again."""
    opened, real = [], Shard.open

    def open_(shard, run, state=None):
        opened.append((run.key, len(state.curve) if state else 0))
        real(shard, run, state)

    feed = Pauses(RUNS, {run.key: {1} for run in RUNS})
    engine = VectorizedEngine(*NARROW, "cpu", processes=1)
    engine.train_all(feed, SLOTS)
    again = [
        replace(run, state=feed.states[run.key]) for run in RUNS if run.max_epochs > 1
    ]
    monkeypatch.setattr(Shard, "open", open_)
    with Losses({round(moment * messages[2, 0] / 2)}) as losses:
        trains = VectorizedEngine(*NARROW, "cpu", threads=4, processes=2)
        told = Told(again, before=losses.ready)
        trains.train_all(told, SLOTS)
        trains.close()
    assert losses.lost == 1
    assert len(opened) > len(again)
    assert min(at for _, at in opened) == 1
    for run in again:
        assert_same(told.fits[run.key], alone(replace(run, state=None)))


class Unreadable(Exception):
    """Sent, it cannot be made again: one argument is missing."""

    def __init__(self, text, more):
        super().__init__(text)


@pytest.fixture
def served():
    """A remote shard whose other side is ours to write to."""
    with Losses(()) as losses:
        process = None

        class Held(Pretended):
            def _serve(self):
                nonlocal process
                process = self

        losses._patch.setattr(remote.subprocess, "Popen", Held)
        shard = RemoteShard((*NARROW, "cpu"))
        yield shard, process._theirs
        process._theirs.close()
        shard.close()


def test_an_answer_that_cannot_be_read_is_a_loss_not_a_wait(served):
    shard, theirs = served
    with theirs.makefile("wb") as answers:
        send(answers, "ready")
        send(answers, (False, Unreadable("a", "b")))
    found = []

    def ask():
        with pytest.raises(LostError):
            shard.save("trial-0")
        found.append(True)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(2)
    assert found == [True]


@pytest.mark.parametrize(
    "garbage",
    [b"", b"\x05", b"\x05\0\0\0\0\0\0\0ab", b"\x02\0\0\0\0\0\0\0ab"],
    ids=repr,
)
def test_half_an_answer_is_a_loss(served, garbage):
    shard, theirs = served
    with theirs.makefile("wb") as answers:
        send(answers, "ready")
        answers.write(garbage)
    theirs.shutdown(socket.SHUT_WR)
    with pytest.raises(LostError):
        shard.save("trial-0")


@pytest.mark.parametrize("thing", [None, b"x" * 10**6, {"a": [1, 2]}], ids=type)
def test_messages_arrive_as_they_were_sent(thing):
    one, other = socket.socketpair()
    with one, other, one.makefile("wb") as out, other.makefile("rb") as into:
        threading.Thread(target=partial(send, out, thing)).start()
        assert receive(into) == thing
