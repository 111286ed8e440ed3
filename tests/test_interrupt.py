"""Ctrl-C and SIGTERM, with real signals."""

# Where an interrupt comes up is the point of these tests:
# ruff: noqa: PT012

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from tunekit.interrupt import Interrupted, listening, shield

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals are POSIX's")
BOTH = [signal.SIGINT, signal.SIGTERM]


def hit(signum: int = signal.SIGINT) -> None:
    """A real signal to this process, delivered before the next statement."""
    os.kill(os.getpid(), signum)
    for _ in range(100):
        pass


def handlers() -> list[object]:
    return [signal.getsignal(each) for each in BOTH]


@pytest.fixture(autouse=True)
def as_before() -> object:
    before = handlers()
    yield
    assert handlers() == before
    # Nothing is left over for whoever comes next.
    with shield():
        pass


@pytest.mark.parametrize(("signum", "code"), [(BOTH[0], 130), (BOTH[1], 143)])
def test_a_signal_interrupts_at_once(signum: signal.Signals, code: int) -> None:
    with pytest.raises(Interrupted) as caught, listening():
        hit(signum)
        raise AssertionError("never reached")
    assert caught.value.signum == signum
    assert caught.value.exit_code == code
    assert str(caught.value) == signum.name
    assert not isinstance(caught.value, Exception | KeyboardInterrupt)


@pytest.mark.parametrize("signum", BOTH)
def test_a_shield_puts_it_off_to_its_end(signum: signal.Signals) -> None:
    done = []
    with pytest.raises(Interrupted) as caught, listening():
        with shield():
            hit(signum)
            done.append("inside")
        done.append("after")
    assert done == ["inside"]
    assert caught.value.signum == signum


def test_nested_shields_wait_for_the_outermost() -> None:
    done = []
    with pytest.raises(Interrupted), listening():
        with shield():
            with shield():
                hit()
                done.append("inner")
            done.append("between")
            with shield():
                done.append("another")
            done.append("outer")
        done.append("after")
    assert done == ["inner", "between", "another", "outer"]


def test_a_second_signal_interrupts_inside_the_shield() -> None:
    done = []
    with pytest.raises(Interrupted) as caught, listening(), shield():
        hit(signal.SIGINT)
        done.append("first")
        hit(signal.SIGTERM)
        done.append("second")
    assert done == ["first"]
    assert caught.value.signum == signal.SIGTERM


def test_a_second_signal_leaves_nothing_for_later_shields() -> None:
    with pytest.raises(Interrupted), listening(), shield():
        hit()
        hit()
    with shield():
        done = True
    assert done
    with listening(), shield():
        pass


def test_an_error_inside_a_shield_is_not_hidden_and_nothing_is_left() -> None:
    with pytest.raises(OSError, match="disk"), listening(), shield():
        hit()
        raise OSError("disk full")
    with shield():
        pass


def test_a_signal_put_off_by_a_failed_shield_is_heard_at_the_next() -> None:
    done = []
    with pytest.raises(Interrupted), listening():
        try:
            with shield():
                hit()
                raise OSError("disk full")
        except OSError:
            done.append("mended")
        with shield():
            done.append("written")
        done.append("never")
    assert done == ["mended", "written"]


def test_a_signal_in_a_finalizer_is_not_lost(
    capfd: pytest.CaptureFixture[str],
) -> None:
    class Finalized:
        def __del__(self) -> None:
            hit()
            raise AssertionError("never reached")

    done = []
    hook = sys.unraisablehook
    with pytest.raises(Interrupted) as caught, listening():
        thing: Finalized | None = Finalized()
        del thing  # Python lets nothing out of this
        done.append("on it went")
        time.sleep(60)
        done.append("never")
    assert done == ["on it went"]
    assert caught.value.signum == signal.SIGINT
    assert sys.unraisablehook is hook
    assert capfd.readouterr().err == ""


def test_a_shield_without_a_signal_does_nothing() -> None:
    with listening():
        with shield(), shield():
            pass
        hit_after = False
    assert not hit_after
    with shield():
        pass


def test_handlers_come_back_after_an_error() -> None:
    def mine(signum: int, frame: object) -> None: ...

    before = signal.signal(signal.SIGINT, mine)
    try:
        with pytest.raises(ZeroDivisionError), listening():
            assert signal.getsignal(signal.SIGINT) is not mine
            raise ZeroDivisionError
        assert signal.getsignal(signal.SIGINT) is mine
    finally:
        signal.signal(signal.SIGINT, before)


def test_no_effect_outside_the_main_thread() -> None:
    said: list[object] = []

    def aside() -> None:
        before = handlers()
        with listening(), shield():
            said.append(handlers() == before)

    thread = threading.Thread(target=aside)
    thread.start()
    thread.join()
    assert said == [True]


def test_a_shield_in_another_thread_does_not_hold_up_the_main_one() -> None:
    inside, leave = threading.Event(), threading.Event()

    def aside() -> None:
        with shield():
            inside.set()
            leave.wait(5)

    thread = threading.Thread(target=aside)
    thread.start()
    try:
        assert inside.wait(5)
        with pytest.raises(Interrupted), listening():
            hit()
            raise AssertionError("never reached")
    finally:
        leave.set()
        thread.join()


def test_a_process_that_waits_is_stopped_at_once() -> None:
    code = """
    import sys, time
    from tunekit.interrupt import Interrupted, listening, shield
    try:
        with listening():
            with shield():
                print("ready", flush=True)
                time.sleep(0.5)
                print("written", flush=True)
            time.sleep(60)
    except Interrupted as stop:
        sys.exit(stop.exit_code)
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    began = time.monotonic()
    process.terminate()
    out, _ = process.communicate(timeout=120)
    assert (process.returncode, out) == (143, "written\n")
    assert time.monotonic() - began < 40


def test_a_process_that_was_forked_ends_as_if_nobody_had_listened() -> None:
    code = """
    import multiprocessing, os, signal, time
    from tunekit.interrupt import listening
    def child(line):
        try:
            line.send("ready")
            time.sleep(600)
        except KeyboardInterrupt:
            os._exit(7)
    fork = multiprocessing.get_context("fork")
    with listening():
        for signum in (signal.SIGINT, signal.SIGTERM):
            here, there = fork.Pipe()
            process = fork.Process(target=child, args=(there,))
            process.start()
            here.recv()
            os.kill(process.pid, signum)
            process.join()
            print(process.exitcode)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("7\n-15\n", "")


@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX's")
def test_a_signal_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with listening():
            signal.raise_signal(signal.SIGINT)
            assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


# --- a command: a process of its own --------------------------------------------------

INIT = """
from tunekit.interrupt import is_command
is_command(__name__)
import sys, time
if sys.argv[0] == "-m" and "early" in sys.orig_argv:
    print("ready", flush=True)
    time.sleep(600)  # an import that takes long
"""
MAIN = """
import atexit, sys, time
from tunekit.interrupt import Interrupted, leave, listening, shield
atexit.register(lambda: "ended" not in sys.argv and time.sleep(600))
def main():
    try:
        with listening():
            if "shielded" in sys.argv:
                with shield():
                    print("ready", flush=True)
                    time.sleep(1)
                    print("first", flush=True)
                    time.sleep(600)
            if "ended" in sys.argv:
                print("all is well")
                return 0
            print("ready", flush=True)
            time.sleep(600)
    except Interrupted as stop:
        print("goodbye")
        return stop.exit_code
leave(main())
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A command that would take ten minutes to begin, to write and to end."""
    (tmp_path / "slow").mkdir()
    (tmp_path / "slow" / "__init__.py").write_text(INIT)
    (tmp_path / "slow" / "__main__.py").write_text(MAIN)
    return tmp_path


def begun(package: Path, *arguments: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "slow", *arguments],
        cwd=package,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("signum", BOTH)
def test_a_command_that_has_only_begun_ends_without_a_traceback(
    package: Path, signum: signal.Signals
) -> None:
    process = begun(package, "early")
    process.send_signal(signum)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out, err) == (128 + signum, "", "\nstopped\n")


def test_a_command_that_was_stopped_does_not_wait_for_its_libraries(
    package: Path,
) -> None:
    process = begun(package)
    process.terminate()
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out, err) == (143, "goodbye\n", "")


def test_the_second_signal_ends_a_command_amid_a_write(package: Path) -> None:
    process = begun(package, "shielded")
    process.send_signal(signal.SIGINT)
    assert process.stdout is not None
    assert process.stdout.readline() == "first\n"
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out, err) == (143, "", "\nstopped\n")


def test_a_command_that_has_ended_is_left_as_ever(package: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "slow", "ended"],
        cwd=package,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "all is well\n", "")


def test_who_imports_a_command_keeps_its_own_signals(package: Path) -> None:
    code = (
        "import signal, slow\n"
        "print(signal.getsignal(signal.SIGINT) is signal.default_int_handler,"
        " signal.getsignal(signal.SIGTERM) == signal.SIG_DFL)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "-m", "slow"],
        cwd=package,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("True True\n", "")
