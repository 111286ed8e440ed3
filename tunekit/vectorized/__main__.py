"""A process that trains some of another one's runs; see :mod:`.remote`."""

from __future__ import annotations

import os
import pickle
import queue
import sys
import threading
import traceback
from typing import Any


def main() -> None:
    """Serve until standard input is closed."""
    # What libraries print must not come between our answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    questions: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(questions,), daemon=True).start()
    from tunekit.vectorized.remote import send
    from tunekit.vectorized.shard import Shard

    try:
        send(answers, "ready")
        shard = Shard(*questions.get())
        while True:
            method, arguments = questions.get()
            try:
                answer = getattr(shard, method)(*arguments)
            except Exception as error:
                send(answers, (False, _sendable(error)))
                continue
            if method == "advance":
                for key, outcome in answer.items():
                    if isinstance(outcome, Exception):
                        answer[key] = _sendable(outcome)
            send(answers, (True, answer))
    except BrokenPipeError:
        return


def _read(questions: queue.SimpleQueue[Any]) -> None:
    """Read questions; when whoever asks is gone, end at once, also in mid-epoch."""
    from tunekit.vectorized.remote import receive

    try:
        while True:
            questions.put(receive(sys.stdin.buffer))
    except EOFError:
        os._exit(0)
    except BaseException:
        # Else whoever asks would wait for an answer for ever.
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)


def _sendable(error: Exception) -> Exception:
    """An error with its traceback as a note; its words where it cannot be sent."""
    told = "".join(traceback.format_exception(error))
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        error = RuntimeError(f"{type(error).__name__}: {error}")
    error.add_note(told)
    return error


if __name__ == "__main__":
    main()
