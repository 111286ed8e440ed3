"""One model over days: trained on and on, watched, and adjusted as it trains.

    python -m tunekit.babysit --data adult.csv --target income --timeout 2d

From Python, for anybody's LightningModule:

    from tunekit.babysit import babysit
    found = babysit(make, {"lr": LogUniform(1e-5, 1e-1)}, start={"lr": 1e-3}, ...)

The notes on which this rests call it babysitting one model, for whoever has too little
to train many: every day one looks at the loss, nudges the learning rate or the momentum
a little, and goes back to the day before where that was bad.
"""

from __future__ import annotations

from tunekit.interrupt import is_command

is_command(__name__)  # before the rest is imported

from typing import TYPE_CHECKING, Any

from tunekit.babysit.command import main

if TYPE_CHECKING:
    from tunekit.babysit.own import Babysat as Babysat
    from tunekit.babysit.own import babysit as babysit
    from tunekit.babysit.own import babysit_table as babysit_table

__all__ = ["Babysat", "babysit", "babysit_table", "main"]


def __getattr__(name: str) -> Any:
    """What needs torch is loaded when it is first asked for (PEP 562)."""
    if name in ("Babysat", "babysit", "babysit_table"):
        from tunekit.babysit import own

        return getattr(own, name)
    raise AttributeError(f"module 'tunekit.babysit' has no attribute {name!r}")
