"""A babysat model's way as a fixed schedule, to be trained again without watching.

The history holds every round that was ever trained. The schedule is the one way
through it that leads to the best epoch: stretches of so many epochs with these
settings, each with the random stream it had. Trained again with the same seed it comes
to the same weights to the last bit; with another seed or other data it is a schedule
like any other.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tunekit.babysit.course import START, Round
from tunekit.babysit.nudges import Settings
from tunekit.errors import ResumeError

__all__ = ["Stretch", "as_rounds", "check_known", "schedule_of"]


@dataclass(frozen=True)
class Stretch:
    """Epochs that were trained with one setting of the hyperparameters.

    Attributes:
        epochs: How many.
        settings: The hyperparameters.
        round: The round it was, which names its random stream.
        horizon: The budget at that time, by which a module's own schedule may go; None
            for no end, and 0 where an older history does not say.
    """

    epochs: int
    settings: Settings
    round: int
    horizon: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def schedule_of(backwards: Iterable[Mapping[str, Any]], to: str) -> list[Stretch]:
    """The way to a checkpoint.

    Args:
        backwards: Every round, the newest first: the way to a checkpoint leads back
            through earlier ones alone.
        to: The checkpoint's name; the way to the start is empty.

    Raises:
        ResumeError: The history does not hold it.

    Example:
        >>> line = {"round": 1, "branches": [
        ...     {"from": "", "to": "000001-0", "settings": {"lr": 0.1}, "val": [1.0]},
        ... ]}
        >>> schedule_of([line], "000001-0")
        [Stretch(epochs=1, settings={'lr': 0.1}, round=1, horizon=0)]
    """
    found: list[Stretch] = []
    for line in backwards:
        if to == START:
            break
        for branch in line.get("branches", ()):
            if branch["to"] == to:
                settings, horizon = dict(branch["settings"]), line.get("horizon", 0)
                epochs = len(branch["val"])
                found.append(Stretch(epochs, settings, line["round"], horizon))
                to = branch["from"]
                break
    if to != START:
        raise _unknown(to)
    return found[::-1]


def check_known(backwards: Iterable[Mapping[str, Any]], names: Collection[str]) -> None:
    """Check that the way to each of some checkpoints is there.

    Args:
        backwards: Every round, the newest first.
        names: Of the checkpoints.

    Raises:
        ResumeError: The history does not hold them all.
    """
    wanted = {*names} - {START}
    for line in backwards:
        if not wanted:
            return
        for branch in line.get("branches", ()):
            if branch["to"] in wanted:
                wanted = (wanted - {branch["to"]}) | ({branch["from"]} - {START})
    if wanted:
        raise _unknown(min(wanted))


def _unknown(name: str) -> ResumeError:
    return ResumeError(
        f"history.jsonl must tell how checkpoint {name} came to be, and does not; "
        "restore it from a copy"
    )


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
