"""A process that trains some of another one's runs; see :mod:`.remote`."""

from __future__ import annotations

import os
import pickle
import sys


def main() -> int:
    """Serve until standard input is closed."""
    # What libraries print must not come between our answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    from tunekit.vectorized.remote import receive, send
    from tunekit.vectorized.shard import Shard

    questions = sys.stdin.buffer
    try:
        send(answers, "ready")
        shard = Shard(*receive(questions))
        while True:
            method, arguments = receive(questions)
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
    except (EOFError, BrokenPipeError):
        return 0


def _sendable(error: Exception) -> Exception:
    """An error as it is, or its words where it cannot be put together again."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


if __name__ == "__main__":
    sys.exit(main())
