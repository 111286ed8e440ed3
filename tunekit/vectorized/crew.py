"""The processes that train, and which run is in which of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tunekit.trial import Run
from tunekit.vectorized.remote import LostError, RemoteShard

if TYPE_CHECKING:
    from tunekit.vectorized.shard import Shard

__all__ = ["Crew", "Open"]

_HELP_SECONDS = 1.0
"""Expected training from which a second process pays: it takes as long to start."""
_START_SECONDS = 3.0
"""A round that takes longer waits for a process to start, rather than go without."""
_UNEVEN = 0.1
"""How much less than the busiest process another may have to do."""


@dataclass
class Open:
    """An open run: where it is trained, and what was told of it."""

    run: Run
    shard: Shard | RemoteShard
    work: float
    epoch: int = 0
    told: int = 0


class Crew:
    """This process and those that help it.

    Nothing of torch is imported before :attr:`here` is asked for, so that a helper that
    is started before imports it at the same time as we do.

    Args:
        data: The arguments of :class:`tunekit.vectorized.shard.Shard`.
        processes: How many there may be, this one included.

    Attributes:
        helpers: The other processes.
        trouble: What went wrong with one, in words; empty when nothing did.
    """

    def __init__(self, data: tuple[Any, ...], processes: int) -> None:
        self._data, self._processes = data, processes
        self._here: Shard | None = None
        self.helpers: list[RemoteShard] = []
        self.trouble = ""

    @property
    def here(self) -> Shard:
        """The part of this process."""
        if self._here is None:
            from tunekit.vectorized.shard import Shard

            self._here = Shard(*self._data)
        return self._here

    def make_ready(self) -> None:
        """Import what trains, and bring the table to the device."""
        assert self.here is not None

    def forget(self) -> None:
        """Let go of all runs, and end the other processes."""
        self.close()
        self._here = None

    def close(self) -> None:
        """End the other processes."""
        while self.helpers:
            self.helpers.pop().close()

    def get_help(self, seconds: float, slots: int) -> None:
        """Start the other processes, once there is enough to do for them.

        Args:
            seconds: Expected training in all.
            slots: Open runs at once: more processes would have nothing to do.
        """
        missing = min(self._processes, slots) - 1 - len(self.helpers)
        if missing < 1 or self.trouble or seconds < _HELP_SECONDS:
            return
        try:
            for _ in range(missing):
                self.helpers.append(RemoteShard(self._data))
        except OSError as error:
            self.trouble = f"no further training process could be started: {error}"

    def place(self, run: Run, opened: Sequence[Open]) -> Shard | RemoteShard:
        """The process that has least to do; rather one with runs of its batch size."""

        def busy(shard: Shard | RemoteShard) -> float:
            theirs = [o for o in opened if o.shard is shard]
            size = run.recipe.batch_size
            alike = any(o.run.recipe.batch_size == size for o in theirs)
            return sum(o.work for o in theirs) * (0.9 if alike else 1.0)

        return min(self._ready(opened), key=busy)

    def balance(self, opened: Sequence[Open]) -> None:
        """Move runs from the busiest process to the idlest, where that pays."""
        shards = self._ready(opened)
        while len(shards) > 1 and len(opened) > 1:
            loads = [sum(o.work for o in opened if o.shard is s) for s in shards]
            most = shards[loads.index(max(loads))]
            least = shards[loads.index(min(loads))]
            gap = max(loads) - min(loads)
            fitting = [o for o in opened if o.shard is most and o.work < 0.9 * gap]
            if not fitting or gap < _UNEVEN * max(loads):
                return
            moved = min(fitting, key=lambda o: abs(o.work - gap / 2))
            try:
                least.open(moved.run, most.save(moved.run.key))
                most.drop(moved.run.key)
            except LostError:
                for shard in (most, least):
                    if isinstance(shard, RemoteShard):
                        self.lose(shard, opened)
                return
            except Exception:
                # No memory for it there, or on the way: it stays where it is.
                return
            moved.shard = least

    def lose(self, helper: Shard | RemoteShard, opened: Sequence[Open]) -> None:
        """Go on without a process: its runs are trained again to where they were."""
        assert isinstance(helper, RemoteShard)
        said = helper.close()
        self.trouble = f"a training process ended early: {said or 'no message'}"
        self.helpers.remove(helper)
        for o in opened:
            if o.shard is helper:
                o.shard, o.epoch = self.here, 0
                self.here.open(o.run)

    def _ready(self, opened: Sequence[Open]) -> list[Shard | RemoteShard]:
        """The processes that can train, or are worth waiting for."""
        long = sum(o.work for o in opened) > _START_SECONDS
        return [self.here, *[h for h in self.helpers if long or h.is_ready]]
