"""What breaks off a run that hangs, and what it leaves alone."""

import contextlib
import signal
import threading
import time

import pytest

from tunekit.limit import Alarm, TookLongerError

needs_timer = pytest.mark.skipif(
    not hasattr(signal, "setitimer"), reason="this system has no such timer"
)


def sleeps():
    time.sleep(60)


def waits():
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()


def loops():
    while True:
        pass


def insists():
    """As training code does that goes on whatever happens."""
    while True:
        with contextlib.suppress(Exception):
            time.sleep(60)


class Slow:
    def __del__(self):
        time.sleep(0.6)


def finalizes():
    """Python lets nothing out of a finalizer."""
    thing = Slow()
    del thing
    time.sleep(60)


def swallows():
    for _ in range(2):
        try:
            time.sleep(60)
        except:  # noqa: E722 - as it is found in training code
            print("on it goes")
    time.sleep(60)


@needs_timer
@pytest.mark.parametrize("work", [sleeps, waits, loops, insists, finalizes, swallows])
def test_what_hangs_in_python_is_broken_off(work):
    began = time.monotonic()
    with pytest.raises(TookLongerError, match=r"^took longer than 0.2 s$") as caught:
        Alarm(0.2).during(0.2, work)
    assert time.monotonic() - began < 20
    # Where it stood is told.
    names = [
        entry.name
        for entry in pytest.ExceptionInfo.from_exception(
            caught.value.__cause__
        ).traceback
    ]
    assert work.__name__ in names


@needs_timer
def test_what_cleans_up_after_it_is_not_broken_off():
    done = []

    def work():
        try:
            time.sleep(60)
        finally:
            time.sleep(2.2)
            done.append("cleaned up")

    with pytest.raises(TookLongerError):
        Alarm(0.1).during(0.1, work)
    assert done == ["cleaned up"]


@needs_timer
def test_timers_and_handlers_are_as_they_were():
    rang = []
    handler = signal.signal(signal.SIGALRM, lambda *_: rang.append(1))
    signal.setitimer(signal.ITIMER_REAL, 50.0)
    try:
        assert Alarm(9.0).during(5.0, lambda: 3) == 3
        with pytest.raises(TookLongerError):
            Alarm(0.01).during(0.01, sleeps)
        with pytest.raises(KeyError):
            Alarm(9.0).during(5.0, lambda: {}["a"])
        assert 40 < signal.getitimer(signal.ITIMER_REAL)[0] <= 50
        signal.raise_signal(signal.SIGALRM)
        assert rang == [1]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, handler)


@needs_timer
def test_it_does_not_ring_while_it_is_off():
    alarm = Alarm(0.05)

    def work():
        alarm.off()
        time.sleep(0.2)
        alarm.set(30.0)
        return "done"

    assert alarm.during(0.05, work) == "done"


@pytest.mark.parametrize("left", [None, 0.01])
def test_outside_the_main_thread_and_without_a_limit_nothing_is_set(left):
    found = []
    alarms = [Alarm(None)]
    thread = threading.Thread(
        target=lambda: found.append(
            Alarm(left).during(left, lambda: time.sleep(0.1) or "done")
        )
    )
    thread.start()
    found.append(alarms[0].during(None, lambda: "done"))
    thread.join()
    assert found == ["done", "done"]
