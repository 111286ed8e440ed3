"""What a person sees while a study runs: a live view, or plain lines."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from optuna.trial import FrozenTrial, TrialState
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tunekit.budget import Budget, best_of, epochs_of
from tunekit.errors import one_line
from tunekit.paused import is_paused
from tunekit.tally import as_one

__all__ = ["Screen", "duration", "number", "settings"]

_LAST, _OPEN = 4, 8
"""Ended and open trials listed: a live table of hundreds of rows would cost more than
training."""
_QUIET_SECONDS = 1.0
_NAMES = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "stopped early",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "training",
    TrialState.WAITING: "waiting",
}


def number(value: Any) -> str:
    """A value in at most four significant digits.

    Example:
        >>> number(0.00123456), number(0.98765), number(17), number("adam")
        ('0.001235', '0.9877', '17', 'adam')
    """
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def settings(params: Mapping[str, Any]) -> str:
    """Hyperparameters in one line.

    Example:
        >>> settings({"lr": 0.01, "optimizer": "adam"})
        'lr=0.01 optimizer=adam'
    """
    return " ".join(f"{name}={number(value)}" for name, value in params.items())


def duration(seconds: float) -> str:
    """A time as people say it.

    Example:
        >>> duration(7.4), duration(83), duration(7300)
        ('7 s', '1 min 23 s', '2 h 1 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


class Screen:
    """The view of one running study.

    Args:
        console: Where to draw.
        budget: What ends the search, for progress and time left.
        read: The trials as they stand, at any moment.
        values: From what Optuna stores to what people read.
        seconds: The wall-clock limit of the search, if there is one.
    """

    def __init__(
        self,
        console: Console,
        budget: Budget,
        read: Callable[[], list[FrozenTrial]],
        values: Callable[[Mapping[str, Any]], dict[str, Any]],
        seconds: float | None = None,
    ) -> None:
        self._console, self._budget, self._read = console, budget, read
        self._values = values
        self._limit = seconds
        self._began = time.monotonic()
        self._done_before = self._share(read())
        self._phase = ""
        before = best_of([t for t in read() if t.state.is_finished()])
        self._best = math.inf if before is None else _lowest(before)
        self._spoke = -math.inf
        # In a notebook rich needs widgets to redraw; plain lines need nothing.
        live = console.is_terminal and not console.is_jupyter
        self._live = (
            Live(
                console=console,
                get_renderable=self._draw,
                refresh_per_second=3,
                transient=True,
            )
            if live
            else None
        )

    def __enter__(self) -> Self:
        """Begin to draw."""
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the terminal as it was."""
        if self._live is not None:
            self._live.stop()

    def ended(self, trial: FrozenTrial) -> None:
        """A trial has ended: without a terminal, say so, though not too often."""
        loss = trial.user_attrs.get("best_val_loss")
        better = False
        if loss is not None and loss < self._best:
            better, self._best = True, float(loss)
        now = time.monotonic()
        if self._live is not None or not (better or now - self._spoke > _QUIET_SECONDS):
            return
        self._spoke = now
        found = "" if loss is None else f"validation loss {loss:.4f}"
        mark = "  (best so far)" if better else ""
        self._print(
            f"trial {trial.number}: {_state(trial)}  {found}  "
            f"{settings(trial.user_attrs.get('params', {}))}{mark}"
        )

    def phase(self, text: str) -> None:
        """Say what is going on beside trials."""
        self._phase = text
        if self._live is None:
            self._print(text)

    def _print(self, text: str) -> None:
        self._console.print(
            Text(one_line(text)), soft_wrap=not self._console.is_terminal
        )

    def _draw(self) -> Group:
        """The whole view, from the trials as they stand."""
        trials = as_one(self._read())
        share = self._share(trials)
        elapsed = time.monotonic() - self._began
        gained = share - self._done_before
        left = elapsed * (1 - share) / gained if gained > 0.01 else None
        paused = [t for t in trials if is_paused(t, self._budget.max_epochs)]
        ended = [t for t in trials if t.state.is_finished()]
        early = sum(t.state == TrialState.PRUNED for t in ended)
        failed = sum(t.state == TrialState.FAIL for t in ended)
        of = "" if self._budget.n_trials is None else f" of {self._budget.n_trials}"
        line = (
            f"{len(ended)}{of} trials · {early} stopped early · "
            f"{epochs_of(trials)} epochs · {duration(elapsed)}"
        )
        line += f" · {len(paused)} paused" if paused else ""
        line += f" · {failed} failed" if failed else ""
        line += f" · about {duration(left)} left" if left is not None else ""
        bar = Table.grid()
        bar.add_row(ProgressBar(total=1.0, completed=share, width=60))
        parts: list[Any] = [bar, Text(one_line(self._phase or line))]
        best = best_of(trials)
        if best is not None:
            parts.append(_best_line(best, self._values(best.params)))
        out = {trial.number for trial in paused}
        parts.append(_last_trials([t for t in trials if t.number not in out]))
        return Group(*parts)

    def _share(self, trials: Sequence[FrozenTrial]) -> float:
        """How much of the budget is spent, of whichever limit is nearest."""
        shares = [0.0]
        if self._budget.n_trials is not None:
            shares.append(
                sum(t.state.is_finished() for t in as_one(trials))
                / self._budget.n_trials
            )
        if self._budget.epochs is not None:
            shares.append(epochs_of(trials) / self._budget.epochs)
        if self._limit is not None:
            shares.append((time.monotonic() - self._began) / self._limit)
        return min(1.0, max(shares))


def _state(trial: FrozenTrial) -> str:
    """Its state, and why it ended if there is a reason."""
    name = _NAMES[trial.state]
    why = trial.user_attrs.get("error") or trial.user_attrs.get("stopped")
    return f"{name} ({why})" if why else name


def _best_line(best: FrozenTrial, params: Mapping[str, Any]) -> Text:
    epoch = min(best.intermediate_values, key=lambda e: _loss(best, e))
    line = Text("best so far: ", style="bold")
    line.append(f"trial {best.number}, validation loss {_loss(best, epoch):.4f}")
    score = best.user_attrs.get("best_val_score")
    if score is not None and best.user_attrs.get("best_epoch", epoch) == epoch:
        line.append(f", accuracy {score:.2%}")
    line.append(f" (epoch {epoch})\n")
    line.append(settings(params), style="dim")
    return line


def _loss(trial: FrozenTrial, epoch: int) -> float:
    value = trial.intermediate_values[epoch]
    return value if math.isfinite(value) else math.inf


def _lowest(trial: FrozenTrial) -> float:
    """Its lowest validation loss so far; infinite before the first."""
    losses = [_loss(trial, epoch) for epoch in trial.intermediate_values]
    return min(losses, default=math.inf)


def _last_trials(trials: list[FrozenTrial]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("trial", "", "epochs", "validation loss", "lr", "optimizer"):
        table.add_column(heading, justify="left")
    running = [t for t in trials if t.state == TrialState.RUNNING][:_OPEN]
    ended = [t for t in trials if t.state != TrialState.RUNNING][-_LAST:]
    for trial in sorted([*running, *ended], key=lambda t: t.number):
        lowest = _lowest(trial)
        params = trial.params
        table.add_row(
            Text(str(trial.number)),
            Text(_state(trial)),
            Text(str(len(trial.intermediate_values))),
            Text(f"{lowest:.4f}" if math.isfinite(lowest) else "–"),
            Text(number(params.get("lr", "–"))),
            Text(str(params.get("optimizer", "–"))),
        )
    return table
