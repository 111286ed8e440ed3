"""The command in a process that is there to be killed."""

from __future__ import annotations

from collections.abc import Sequence

import torch


def run(arguments: Sequence[str]) -> None:
    """One call; every epoch is kept, so that a kill may come between two of a round."""
    from tunekit.babysit import rounds
    from tunekit.babysit.command import main

    torch.set_num_threads(1)
    rounds._KEEP_SECONDS = 0.0
    raise SystemExit(main(arguments))
