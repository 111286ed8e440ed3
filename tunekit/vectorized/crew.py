"""The processes that train, and which run is in which of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tunekit.interrupt import shield
from tunekit.trial import Run
from tunekit.vectorized.remote import PATIENCE_SECONDS, LostError, RemoteShard

if TYPE_CHECKING:
    from tunekit.vectorized.shard import Shard

__all__ = ["Crew", "Open"]

_HELP_SECONDS = 1.0
"""Expected training from which a second process pays: it takes as long to start."""
_START_SECONDS = 3.0
"""A round that takes longer waits for a process to start, rather than go without."""
_UNEVEN = 0.1
"""How much less than the busiest process another may have to do."""
_SLOW = 20.0
"""A process that takes so many times longer than expected may yet be a slow one."""
_SLIGHTLY_SLOW = 5.0
"""So many times, where its runs have no more time to train."""


@dataclass
class Open:
    """An open run.

    Attributes:
        run: What is trained.
        shard: Where.
        work: Seconds that an epoch takes, as far as known.
        lost: Its process is gone: it must be opened and trained again.
        epoch: Epochs it has been trained for.
        told: Epochs that were told of it, before it was paused or since.
        left: Seconds that it may still train; None for no limit.
    """

    run: Run
    shard: Shard | RemoteShard
    work: float
    lost: bool = False
    epoch: int = field(init=False)
    told: int = field(init=False)
    left: float | None = field(init=False)

    def __post_init__(self) -> None:
        self.left = self.run.seconds_left(
            self.run.state.curve if self.run.state else []
        )
        self.epoch = self.told = self.run.paused_at


class Crew:
    """This process and those that help it.

    Nothing here imports torch before :attr:`here` is asked for, so that a helper that
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
        """Import what trains and bring the table to it; it takes a while, once.

        Helpers that have started by then get the table, too.
        """
        self._here = self.here
        self._begin([helper for helper in self.helpers if helper.is_ready])

    def forget(self) -> None:
        """Let go of all runs, and end the other processes."""
        self.close()
        self._here = None

    def close(self) -> None:
        """End the other processes."""
        while self.helpers:
            self.helpers[-1].close()
            self.helpers.pop()

    def get_help(self, seconds: float, slots: int) -> None:
        """Start other processes, as many as there is enough to do for.

        Args:
            seconds: Expected training in all.
            slots: Open runs at once: more processes would have nothing to do.
        """
        wanted = min(self._processes, slots, 1 + seconds / _HELP_SECONDS)
        missing = int(wanted) - 1 - len(self.helpers)
        if missing < 1 or self.trouble:
            return
        try:
            for _ in range(missing):
                with shield():  # a process that nobody knows would never be closed
                    self.helpers.append(RemoteShard(self._data))
        except Exception as error:
            self.trouble = f"no further training process could be started: {error}"

    def place(self, run: Run, opened: Sequence[Open]) -> Shard | RemoteShard:
        """The process that has least to do; rather one with runs of its batch size."""

        def busy(shard: Shard | RemoteShard) -> float:
            theirs = [o for o in opened if o.shard is shard]
            size = run.recipe.batch_size
            alike = any(o.run.recipe.batch_size == size for o in theirs)
            return sum(o.work for o in theirs) * (0.9 if alike else 1.0)

        begun = [helper for helper in self.helpers if helper.has_begun]
        shards: list[Shard | RemoteShard] = [self.here, *begun]
        return min(shards, key=busy)

    def balance(self, opened: Sequence[Open]) -> None:
        """Move runs from the busiest process to the idlest, where that pays.

        Helpers that have started meanwhile get the table; where a round takes long, one
        that has not is waited for.
        """
        long = sum(o.work for o in opened) > _START_SECONDS
        self._begin([helper for helper in self.helpers if long or helper.is_ready])
        begun = [helper for helper in self.helpers if helper.has_begun]
        shards: list[Shard | RemoteShard] = [self.here, *begun]
        while len(shards) > 1 and len(opened) > 1:
            loads = [sum(o.work for o in opened if o.shard is s) for s in shards]
            most = shards[loads.index(max(loads))]
            least = shards[loads.index(min(loads))]
            gap = max(loads) - min(loads)
            fitting = [o for o in opened if o.shard is most and o.work < 0.9 * gap]
            if not fitting or gap < _UNEVEN * max(loads):
                return
            moved = min(fitting, key=lambda o: abs(o.work - gap / 2))
            if not self._move(moved, most, least, opened):
                return

    @staticmethod
    def patience(theirs: Sequence[Open]) -> float:
        """Seconds that one epoch of these runs may take, in another process.

        Beyond that it stands still, or one of them has had its time for certain.
        """
        expected = sum(o.work for o in theirs)
        most = PATIENCE_SECONDS + _SLOW * expected
        lefts = [o.left for o in theirs if o.left is not None]
        if len(lefts) < len(theirs):
            return most
        return min(most, max(sum(lefts), 1.0 + _SLIGHTLY_SLOW * expected))

    def lose(self, helper: Shard | RemoteShard, opened: Sequence[Open]) -> None:
        """Go on without a process: its runs are to be trained again, here."""
        assert isinstance(helper, RemoteShard)
        for o in opened:
            if o.shard is helper:
                o.shard, o.lost = self.here, True
        self.helpers.remove(helper)
        said = helper.close(gone=True)
        self.trouble = f"a training process ended early: {said}"

    def _move(
        self,
        moved: Open,
        source: Shard | RemoteShard,
        target: Shard | RemoteShard,
        opened: Sequence[Open],
    ) -> bool:
        """Move a run; whether that went well. Where it did not, the run stays."""
        at_work = source
        try:
            state = source.save(moved.run.key)
            at_work = target
            target.open(moved.run, state)
            moved.shard = target
            at_work = source
            source.drop(moved.run.key)
        except LostError:
            self.lose(at_work, opened)
            return False
        except Exception:
            # No memory for it there, or on the way.
            return False
        return True

    def _begin(self, helpers: Sequence[RemoteShard]) -> None:
        """Give helpers the table; one that is gone by then never had a run."""
        for helper in helpers:
            try:
                helper.begin()
            except LostError:
                self.lose(helper, [])
