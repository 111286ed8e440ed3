"""A babysat model's way as a fixed schedule, to be trained again without watching.

The history holds every round that was ever trained. The schedule is the one way
through it that leads to the best epoch: stretches of so many epochs with these
settings, each with the random stream it had. Trained again with the same seed it comes
to the same weights to the last bit; with another seed or other data it is a schedule
like any other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tunekit.babysit.course import START, Round
from tunekit.babysit.nudges import Settings
from tunekit.errors import ResumeError

__all__ = ["Stretch", "as_rounds", "schedule_of"]


@dataclass(frozen=True)
class Stretch:
    """Epochs that were trained with one setting of the hyperparameters.

    Attributes:
        epochs: How many.
        settings: The hyperparameters.
        round: The round it was, which names its random stream.
        horizon: The budget at that time, by which a module's own schedule may go; None
            for no end.
    """

    epochs: int
    settings: Settings
    round: int
    horizon: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def schedule_of(history: Sequence[Mapping[str, Any]], to: str) -> list[Stretch]:
    """The way to a checkpoint.

    Args:
        history: Every round, in order.
        to: The checkpoint's name; the way to the start is empty.

    Raises:
        ResumeError: The history does not hold it.

    Example:
        >>> line = {"round": 1, "branches": [
        ...     {"from": "", "to": "000001-0", "settings": {"lr": 0.1}, "val": [1.0]},
        ... ]}
        >>> schedule_of([line], "000001-0")
        [Stretch(epochs=1, settings={'lr': 0.1}, round=1, horizon=None)]
    """
    made = {
        branch["to"]: (line, branch)
        for line in history
        if "branches" in line
        for branch in line["branches"]
        if branch["to"] is not None
    }
    found: list[Stretch] = []
    while to != START:
        if to not in made:
            raise ResumeError(
                f"history.jsonl must tell how checkpoint {to} came to be, and does "
                "not; restore it from a copy"
            )
        line, branch = made[to]
        settings, horizon = dict(branch["settings"]), line.get("horizon")
        found.append(Stretch(len(branch["val"]), settings, line["round"], horizon))
        to = branch["from"]
    return found[::-1]


def as_rounds(schedule: Sequence[Stretch]) -> list[Round]:
    """The same as rounds of one branch each.

    A round's name is its branch's, so that each goes on from the one before.
    """
    found, before = [], START
    for stretch in schedule:
        number = stretch.round
        found.append(
            Round(number, "train", [(before, stretch.settings)], stretch.epochs)
        )
        before = found[-1].checkpoint(0)
    return found
