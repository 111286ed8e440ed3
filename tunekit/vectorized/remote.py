"""A shard in a process of its own: ``python -m tunekit.vectorized``.

Python's threads wait for each other between operations as short as these, so a second
core is used by a second process. It is told what to do through its standard input and
answers through its standard output; when we are gone, however we went, its input
closes and it ends. One that stands still is never waited for without end.
"""

from __future__ import annotations

import os
import pickle
import queue
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from typing import IO, TYPE_CHECKING, Any

from tunekit.trial import Fitted, Run, State

if TYPE_CHECKING:
    from tunekit.vectorized.shard import Outcome

__all__ = ["PATIENCE_SECONDS", "LostError", "RemoteShard", "receive", "send"]

PATIENCE_SECONDS = 60.0
"""What an answer may take for which nothing is trained."""
_START_SECONDS = 300.0
"""What the start may take, on a busy machine with a slow disk."""


_NOTHING = object()
"""In the place of an answer that has not come."""


class LostError(Exception):
    """The other process is gone, or stands still."""


class RemoteShard:
    """The interface of :class:`tunekit.vectorized.shard.Shard`, in another process.

    Args:
        arguments: Those of ``Shard``.

    Raises:
        OSError: If no process can be started.
        RuntimeError: If no thread can be.
    """

    def __init__(self, arguments: tuple[Any, ...]) -> None:
        self._said = tempfile.TemporaryFile(  # noqa: SIM115 - kept open
            "w+", encoding="utf-8", errors="replace"
        )
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tunekit.vectorized"],
                env={**os.environ, "OMP_NUM_THREADS": "1"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._said,
                # Ctrl-C in the terminal is ours to hear.
                start_new_session=True,
            )
        except BaseException:
            self._said.close()
            raise
        self._arguments: tuple[Any, ...] | None = arguments
        self._still = ""
        # Read by a thread: whether an answer is there can be asked on every system. And
        # written by one: a pipe that nobody reads would fill up and stop us.
        self._answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._questions: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        try:
            threading.Thread(target=self._read, daemon=True).start()
            threading.Thread(target=self._write, daemon=True).start()
        except BaseException:
            self.close()
            raise

    @property
    def is_ready(self) -> bool:
        """Whether it has started; before, whoever asks it something would wait."""
        return self.has_begun or not self._answers.empty()

    @property
    def has_begun(self) -> bool:
        """Whether it has the table."""
        return self._arguments is None

    def begin(self) -> None:
        """Give it the table, once it has started; the first call waits for that.

        Raises:
            LostError: If it is gone.
        """
        if self._arguments is None:
            return
        self._answer(_START_SECONDS)
        self._questions.put(_packed(self._arguments))
        self._arguments = None

    def open(self, run: Run, state: State | None = None) -> None:
        """See ``Shard.open``."""
        # A state that it has left behind is not sent.
        self._call("open", replace(run, state=None), state)

    def start(self, keys: Iterable[str]) -> None:
        """Have it ``advance`` these runs; :meth:`wait` gives the answer."""
        self._send("advance", list(keys))

    def wait(self, seconds: float = PATIENCE_SECONDS) -> dict[str, Outcome]:
        """The answer to :meth:`start`.

        Args:
            seconds: What it may take.

        Raises:
            LostError: If it is gone, or there is no answer by then.
        """
        found: dict[str, Outcome] = self._receive(seconds)
        return found

    def save(self, key: str) -> State:
        """See ``Shard.save``."""
        state: State = self._call("save", key)
        return state

    def fitted(self, key: str) -> Fitted:
        """See ``Shard.fitted``."""
        fitted: Fitted = self._call("fitted", key)
        return fitted

    def drop(self, key: str) -> None:
        """See ``Shard.drop``."""
        self._call("drop", key)

    def close(self, *, gone: bool = False) -> str:
        """End the process; why it ended by itself, if it did.

        Args:
            gone: Whether it is ending already; its own reason is waited for.
        """
        if self._said.closed:
            return ""
        if gone and not self._still:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(1.0)
        code = self._process.poll()
        self._process.kill()
        self._process.wait()
        self._questions.put(None)
        # Its output is closed by the thread that reads it, when nothing is left of it.
        with suppress(OSError):
            assert self._process.stdin is not None
            self._process.stdin.close()
        self._said.seek(0)
        lines = self._said.read().strip().splitlines()
        self._said.close()
        if self._still:
            return self._still
        if lines:
            return lines[-1]
        if code is not None and code < 0:
            return f"killed by signal {-code}, as the system does when memory is short"
        return "no message"

    def _call(self, method: str, *arguments: Any) -> Any:
        self._send(method, *arguments)
        return self._receive()

    def _send(self, method: str, *arguments: Any) -> None:
        self.begin()
        self._questions.put(_packed((method, arguments)))

    def _receive(self, seconds: float | None = None) -> Any:
        done, answer = self._answer(seconds or PATIENCE_SECONDS)
        if not done:
            raise answer
        return answer

    def _answer(self, seconds: float) -> Any:
        answer, left = _NOTHING, seconds
        while answer is _NOTHING and left > 0:
            # In short turns: a stop of this process, too, counts as one of them.
            turn = min(1.0, left)
            with suppress(queue.Empty):
                answer = self._answers.get(timeout=turn)
            left -= turn
        if answer is _NOTHING:
            self._still = f"it gave no answer for {seconds:.3g} s"
            raise LostError(self._still)
        if answer is None:
            self._answers.put(None)  # for whoever asks again
            raise LostError("its output was closed")
        return answer

    def _write(self) -> None:
        """Write questions until there are no more, or nobody is there to read."""
        assert self._process.stdin is not None
        with suppress(OSError, ValueError):  # whoever reads its answers will notice
            while (question := self._questions.get()) is not None:
                self._process.stdin.write(question)
                self._process.stdin.flush()

    def _read(self) -> None:
        """Read answers until there are no more; then None."""
        assert self._process.stdout is not None
        try:
            while True:
                self._answers.put(receive(self._process.stdout))
        except Exception:
            # Its end, or an answer that cannot be read: both are a loss, never a wait.
            self._answers.put(None)
        finally:
            self._process.stdout.close()


def send(pipe: IO[bytes], thing: Any) -> None:
    """Write one message."""
    pipe.write(_packed(thing))
    pipe.flush()


def _packed(thing: Any) -> bytes:
    """A message: its length and itself."""
    message = pickle.dumps(thing, protocol=5)
    return struct.pack("<Q", len(message)) + message


def receive(pipe: IO[bytes]) -> Any:
    """Read one message.

    Raises:
        EOFError: If the other side is gone.
    """
    head = pipe.read(8)
    if len(head) < 8:
        raise EOFError("the other process has ended")
    (length,) = struct.unpack("<Q", head)
    message = pipe.read(length)
    if len(message) < length:
        raise EOFError("the other process has ended")
    return pickle.loads(message)
