"""The vectorized engine: rounds of one epoch of every open run, over all processes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tunekit.errors import TunekitError
from tunekit.feed import train_together
from tunekit.machine import cores, device_of
from tunekit.sizes import expected_seconds
from tunekit.trial import Feed, Fitted, Heard, OnEpoch, Recipe, Run, Verdict
from tunekit.vectorized.crew import Crew, Open
from tunekit.vectorized.remote import LostError

if TYPE_CHECKING:
    from tunekit.vectorized.shard import Outcome

__all__ = ["VectorizedEngine"]


class VectorizedEngine:
    """Trains many runs at once as one network.

    Args:
        x_train: Training rows, (N, F) float32, or float64 to train in that.
        y_train: Their classes, (N,) int64.
        x_valid: Validation rows.
        y_valid: Their classes.
        n_classes: Classes in all.
        accelerator: ``auto``, ``cpu`` or ``gpu``.
        threads: The most that may be busy on a CPU, in all processes together; as many
            as there are processors when None.
        processes: Processes that train, one thread each; as many as threads when None.

    Raises:
        ConfigError: If the accelerator is not to be had.

    Example:
        >>> import numpy as np
        >>> from tunekit.trial import Recipe
        >>> x, y = np.eye(4, dtype=np.float32).repeat(8, 0), np.arange(4).repeat(8)
        >>> engine = VectorizedEngine(x, y, x, y, 4, processes=1)
        >>> run = Run(recipe=Recipe(), max_epochs=5, patience=5, seed=0, key="trial-0")
        >>> fitted = engine.train(run, lambda epoch, metrics: True)
        >>> len(fitted.curve)
        5
    """

    name = "vectorized"

    def __init__(
        self,
        x_train: NDArray[np.floating[Any]],
        y_train: NDArray[np.int64],
        x_valid: NDArray[np.floating[Any]],
        y_valid: NDArray[np.int64],
        n_classes: int,
        accelerator: str = "auto",
        threads: int | None = None,
        processes: int | None = None,
    ) -> None:
        device = device_of(accelerator)
        if processes is None:
            processes = (threads or cores()) if device == "cpu" else 1
        data = (x_train, y_train, x_valid, y_valid, n_classes, device)
        self._sizes = (x_train.shape[1], n_classes, len(y_train))
        self._crew = Crew(data, processes)

    @property
    def trouble(self) -> str:
        """What went wrong with other processes, in words; empty when nothing did."""
        return self._crew.trouble

    def train(self, run: Run, on_epoch: OnEpoch) -> Fitted:
        """Train one run to its end; see :class:`tunekit.trial.Engine`."""

        def hear(heard: Heard) -> bool:
            return on_epoch(heard.epoch, heard.metrics)

        return train_together(self, [run], hear)[0]

    def train_all(self, feed: Feed, slots: int) -> None:
        """Train the feed's runs, ``slots`` at a time.

        Every open run completes one epoch; then the feed hears of all of them in the
        order in which they were opened, and free slots are filled at once. Which
        process trains a run is not to be seen in anything that is told.

        Args:
            feed: Where runs come from; see :class:`tunekit.trial.Feed`.
            slots: Open runs at once.
        """
        opened: list[Open] = []
        results: list[tuple[Open, Outcome]] = []
        self._crew.make_ready()  # takes a while the first time: not in a feed's turn
        try:
            while True:
                with feed.turn():
                    self._tell(feed, opened, results)
                    while len(opened) < slots and (run := feed.next()) is not None:
                        self._open(run, opened, feed, slots)
                if not opened:
                    return
                results = self._round(opened)
        finally:
            if opened:  # interrupted: what was open is not ours any more
                self._crew.forget()

    def close(self) -> None:
        """End the other processes."""
        self._crew.close()

    def _open(self, run: Run, opened: list[Open], feed: Feed, slots: int) -> None:
        """Open a run where there is least to do."""
        try:
            work = self._seconds(run.recipe)
            if opened:
                expected = sum(o.work * o.run.max_epochs for o in opened)
                self._crew.get_help(expected + work * run.max_epochs, slots)
            shard = self._crew.place(run, opened)
            try:
                shard.open(run, run.state)
            except LostError:
                self._crew.lose(shard, opened)
                shard = self._crew.here
                shard.open(run, run.state)
        except TunekitError:
            raise
        except Exception as error:
            feed.fail(run, error)
        else:
            opened.append(Open(run, shard, work))

    def forget(self, key: str) -> None:
        """Nothing to do: states of paused runs are the feed's."""

    def expect(self, recipe: Recipe, epochs: int, slots: int) -> None:
        """Say what is to come, so that other processes can start before it does.

        Args:
            recipe: One like those that will be trained.
            epochs: Epochs in all.
            slots: Open runs at once: more processes would have nothing to do.
        """
        self._crew.get_help(self._seconds(recipe) * epochs, slots)

    def _round(self, opened: list[Open]) -> list[tuple[Open, Outcome]]:
        """One epoch of every open run, or of those alone that are behind."""
        if failed := self._settle(opened):
            return failed
        crew = self._crew
        chosen = [o for o in opened if o.epoch < o.run.reached] or opened
        aims = [o.epoch + 1 for o in chosen]
        found: dict[str, Outcome] = {}
        busy = []
        for helper in [h for h in crew.helpers if any(o.shard is h for o in chosen)]:
            try:
                helper.start([o.run.key for o in chosen if o.shard is helper])
                busy.append(helper)
            except LostError:
                crew.lose(helper, opened)
        here = [o for o in chosen if o.shard is crew.here and not o.lost]
        found.update(crew.here.advance([o.run.key for o in here]))
        for helper in busy:
            try:
                theirs = [o for o in chosen if o.shard is helper]
                found.update(helper.wait(crew.patience(theirs)))
            except LostError:
                crew.lose(helper, opened)
        results = []
        for o, aim in zip(chosen, aims, strict=True):
            if o.run.key in found:
                o.epoch = aim
                outcome = found[o.run.key]
            else:
                recovered = self._recover(o, aim)
                assert recovered is not None  # an aim is an epoch yet to come
                outcome = recovered
            if not isinstance(outcome, Exception):
                # What it took is known better than it was expected.
                o.work += 0.5 * (outcome[0].seconds - o.work)
                o.left = None if o.left is None else o.left - outcome[0].seconds
            results.append((o, outcome))
        return results

    def _settle(self, opened: list[Open]) -> list[tuple[Open, Outcome]]:
        """Bring back the runs of lost processes and even out the work; what failed."""
        while True:
            for o in opened:
                if o.lost:
                    outcome = self._recover(o, o.told)
                    if isinstance(outcome, Exception):
                        return [(o, outcome)]
            # This may find another process lost.
            self._crew.balance(opened)
            if not any(o.lost for o in opened):
                return []

    def _recover(self, o: Open, epoch: int) -> Outcome | None:
        """Train a lost run again, here and alone, to an epoch; what came of that.

        It begins where it was opened: from its start, or from where it was paused.
        """
        outcome: Outcome | None = None
        try:
            self._crew.here.open(o.run, o.run.state)
        except Exception as error:
            return error
        o.lost, o.epoch = False, o.run.paused_at
        while o.epoch < epoch:
            outcome = self._crew.here.advance([o.run.key])[o.run.key]
            if isinstance(outcome, Exception):
                return outcome
            o.epoch += 1
        return outcome

    def _tell(
        self, feed: Feed, opened: list[Open], results: list[tuple[Open, Outcome]]
    ) -> None:
        """Tell a round's epochs, and close the runs that end or pause with it."""
        heard: list[tuple[Open, Heard]] = []
        failed: list[tuple[Open, Exception]] = []
        for o, outcome in results:
            if isinstance(outcome, TunekitError):
                raise outcome
            if isinstance(outcome, Exception):
                failed.append((o, outcome))
            elif o.epoch > o.told:
                o.told = o.epoch
                heard.append((o, Heard(o.run, o.epoch, *outcome)))
        verdicts = feed.epochs([each for _, each in heard]) if heard else []
        for (o, each), verdict in zip(heard, verdicts, strict=True):
            tell: Callable[[Run, Any], None]
            if each.over or verdict is Verdict.STOP:
                question, tell = "fitted", feed.end
            elif verdict is Verdict.PAUSE:
                question, tell = "save", feed.paused
            else:
                continue
            try:
                answer = self._ask(o, opened, question)
            except Exception as why:
                failed.append((o, why))
                continue
            self._drop(o, opened)
            tell(o.run, answer)
        for o, error in failed:
            self._drop(o, opened)
            feed.fail(o.run, error)

    def _ask(self, o: Open, opened: list[Open], question: str) -> Any:
        """What a run has come to (``fitted``) or its state (``save``), wherever."""
        if not o.lost:
            try:
                return getattr(o.shard, question)(o.run.key)
            except LostError:
                self._crew.lose(o.shard, opened)
        # Its process is gone, now or since another run was asked for.
        outcome = self._recover(o, o.told)
        if isinstance(outcome, Exception):
            raise outcome
        return getattr(self._crew.here, question)(o.run.key)

    def _drop(self, o: Open, opened: list[Open]) -> None:
        """Forget a run."""
        opened.remove(o)
        try:
            o.shard.drop(o.run.key)
        except LostError:
            self._crew.lose(o.shard, opened)

    def _seconds(self, recipe: Recipe) -> float:
        """What an epoch of a recipe should take on one core."""
        return expected_seconds(recipe, *self._sizes)
