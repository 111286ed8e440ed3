"""What is seen while a study runs, on a terminal and without one."""

from __future__ import annotations

import math
import re
from io import StringIO
from typing import Any

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial
from rich.console import Console

from tunekit import screen as screen_module
from tunekit.budget import Budget
from tunekit.screen import Screen, duration, number, settings

NASTY = "[red]x[/red] [/] \x1b[31m\x1b[2J\x07\x9b31m\r\n[link=http://a]b"
RAW = re.compile(r"[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f-\x9f]")
"""Control characters but for line feed, tab, and the escapes of rich itself."""


def trial(
    n: int,
    state: TrialState = TrialState.COMPLETE,
    losses: list[float] | None = None,
    **attrs: Any,
) -> FrozenTrial:
    curve = losses if losses is not None else [1.0 / (n + 1), 2.0]
    finite = [loss for loss in curve if math.isfinite(loss)]
    made = create_trial(
        state=state,
        value=min(finite) if state == TrialState.COMPLETE and finite else None,
        params={"lr": 0.00123456, "optimizer": "adam", "one_minus_momentum": 0.1},
        distributions={
            "lr": FloatDistribution(1e-4, 1e-1, log=True),
            "optimizer": CategoricalDistribution(["sgd", "adam"]),
            "one_minus_momentum": FloatDistribution(0.01, 0.5, log=True),
        },
        intermediate_values=dict(enumerate(curve, start=1)),
        user_attrs={
            "best_val_loss": min(finite, default=None),
            "best_val_score": 0.875,
            "params": {"lr": 0.00123456, "optimizer": "adam", "momentum": 0.9},
            "stopped": "weak" if state == TrialState.PRUNED else "",
            **attrs,
        },
    )
    made.number = n
    return made


def values(stored: Any) -> dict[str, Any]:
    """Every hyperparameter of the default space: the longest line there is."""
    return {
        **{name: value for name, value in stored.items() if "minus" not in name},
        "momentum": 1 - stored["one_minus_momentum"],
        **{f"hyperparameter_{k}": 0.123456789 for k in range(8)},
    }


def terminal(width: int = 100) -> Console:
    return Console(
        file=StringIO(), force_terminal=True, width=width, height=40, highlight=False
    )


def plain() -> Console:
    return Console(file=StringIO(), width=80, highlight=False)


def text_of(console: Console) -> str:
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def drawn(trials: list[FrozenTrial], width: int = 100, **budget: Any) -> str:
    console = terminal(width)
    view = Screen(console, Budget(**budget), lambda: trials, values)
    with console.capture() as capture:
        console.print(view._draw())
    return re.sub(r"\x1b\[[0-9;]*m", "", capture.get())


STATES = [
    TrialState.COMPLETE,
    TrialState.PRUNED,
    TrialState.FAIL,
    TrialState.RUNNING,
]


# --- words ----------------------------------------------------------------------------


def test_numbers_and_times() -> None:
    assert [number(x) for x in (1e-10, 123456.0, True, 16, "adam")] == [
        "1e-10",
        "1.235e+05",
        "True",
        "16",
        "adam",
    ]
    assert settings({}) == ""
    assert [duration(x) for x in (0, 59.4, 59.6, 3599.6, 90061)] == [
        "0 s",
        "59 s",
        "1 min 0 s",
        "1 h 0 min",
        "25 h 1 min",
    ]


# --- the live view --------------------------------------------------------------------


@pytest.mark.parametrize("n", [0, 1, 50])
@pytest.mark.parametrize("budget", [{"n_trials": 60}, {"epochs": 99}, {}])
def test_the_view_has_everything_and_is_small(n: int, budget: dict[str, int]) -> None:
    trials = [trial(k, STATES[k % 4]) for k in range(n)]
    view = drawn(trials, width=300, **budget)
    lines = view.rstrip().splitlines()
    assert len(lines) <= 17
    assert not RAW.search(view)
    ended = sum(t.state.is_finished() for t in trials)
    of = " of 60" if "n_trials" in budget else ""
    assert f"{ended}{of} trials" in view
    assert f"{sum(t.state == TrialState.PRUNED for t in trials)} stopped early" in view
    if n == 0:
        assert "best so far" not in view
        return
    assert f"best so far: trial {n - 1}, validation loss {1 / n:.4f}" in view
    assert "accuracy 87.50% (epoch 1)" in view
    assert "momentum=0.9" in view
    assert "one_minus" not in view
    if n == 50:
        assert "12 failed" in view
        # Trials in training first, which may have begun long ago; then the last ended.
        running = [t.number for t in trials if not t.state.is_finished()][:8]
        last = [t.number for t in trials if t.state.is_finished()][-4:]
        shown = [int(k) for k in re.findall(r"^(\d+)  ", view, re.MULTILINE)]
        assert shown == sorted([*running, *last])
        assert not re.search(r"^43 ", view, re.MULTILINE)


@pytest.mark.parametrize("width", [20, 40, 80])
def test_a_narrow_terminal(width: int) -> None:
    view = drawn([trial(k) for k in range(50)], width=width, n_trials=50)
    assert max(map(len, view.splitlines())) <= width
    if width == 80:
        assert len(view.rstrip().splitlines()) <= 14


def test_trials_that_have_nothing_yet() -> None:
    trials = [
        trial(0, TrialState.RUNNING, []),
        trial(1, TrialState.RUNNING, [math.nan, math.inf]),
        trial(2, TrialState.WAITING, []),
    ]
    view = drawn(trials, n_trials=3)
    assert "best so far" not in view
    assert "training" in view
    assert "0 of 3 trials" in view
    with_one = drawn([*trials, trial(3, TrialState.PRUNED, [math.nan, 0.25])])
    assert "trial 3, validation loss 0.2500" in with_one
    assert "(epoch 2)" in with_one


def test_the_live_view_runs_and_leaves_the_terminal_as_it_was() -> None:
    console = terminal()
    trials: list[FrozenTrial] = []
    with Screen(console, Budget(n_trials=3), lambda: trials, values) as view:
        trials.append(trial(0))
        view.ended(trials[0])
        view.phase("training the winner anew")
        assert view._live is not None
        view._live.refresh()
    text = text_of(console)
    assert "1 of 3 trials" in text or "training the winner anew" in text
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h")  # the cursor is back
    # A terminal is told by the view, not by lines.
    assert "trial 0: complete" not in text


def test_an_error_leaves_the_terminal_as_it_was_too() -> None:
    console = terminal()
    with (
        pytest.raises(ZeroDivisionError),
        Screen(console, Budget(), lambda: [trial(0)], values),
    ):
        raise ZeroDivisionError
    text = text_of(console)
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") == 1


def test_progress_is_of_the_budget_that_ends_first() -> None:
    trials = [trial(0), trial(1)]  # four epochs

    def share(limit: float | None = None, **budget: Any) -> float:
        view = Screen(plain(), Budget(**budget), lambda: trials, values, limit)
        return view._share(trials)

    assert share() == 0
    assert share(n_trials=4) == 0.5
    assert share(epochs=5) == 0.8
    assert share(n_trials=4, epochs=40) == 0.5
    assert share(n_trials=1) == 1.0
    assert share(limit=1e-9) == 1.0


# --- plain lines ----------------------------------------------------------------------


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(screen_module.time, "monotonic", made)
    return made


def test_plain_lines_are_throttled(clock: Clock) -> None:
    console = plain()
    with Screen(console, Budget(), lambda: [], values) as view:
        view.ended(trial(0, losses=[0.5]))
        for n in range(1, 100):
            clock.now += 0.005
            view.ended(trial(n, losses=[0.6]))  # no better, and at once
        assert text_of(console).count("\n") == 1
        clock.now += 1.0
        view.ended(trial(100, losses=[0.6]))
        clock.now += 0.001
        view.ended(trial(101, losses=[0.4]))  # better: always told
    lines = text_of(console).splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("trial 0: complete  validation loss 0.5000  lr=0.001235")
    assert lines[0].endswith("(best so far)")
    assert "best so far" not in lines[1]
    assert lines[2].startswith("trial 101")
    assert lines[2].endswith("(best so far)")


def test_the_best_so_far_counts_what_was_there_before() -> None:
    console = plain()
    before = [trial(0, losses=[0.3]), trial(1, TrialState.RUNNING, [0.2])]
    with Screen(console, Budget(), lambda: before, values) as view:
        view.ended(trial(2, losses=[0.4]))
        view.ended(trial(1, losses=[0.2]))
    first, second = text_of(console).splitlines()
    assert "best so far" not in first
    assert second.endswith("(best so far)")


def test_lines_say_why_a_trial_ended(clock: Clock) -> None:
    console = plain()
    with Screen(console, Budget(), lambda: [], values) as view:
        view.ended(trial(0, TrialState.PRUNED, [0.5]))
        clock.now += 2
        view.ended(trial(1, TrialState.FAIL, [], error="ValueError: no"))
    text = text_of(console)
    assert "trial 0: stopped early (weak)" in text
    assert "trial 1: failed" in text


def test_a_line_is_one_line_whatever_it_holds() -> None:
    for console in (plain(), terminal(400)):
        with Screen(console, Budget(), lambda: [], values) as view:
            if view._live is None:
                view.phase(NASTY)
                view.ended(trial(0, stopped=NASTY, losses=[0.5]))
                text = text_of(console)
                assert "\x1b" not in text
                assert text.count("\n") == 2
            else:
                view.phase(NASTY)
                with console.capture() as capture:
                    console.print(view._draw())
                text = capture.get()
                assert "\x1b[31m" not in text
                assert "\x1b[2J" not in text
        assert not RAW.search(text)
        assert "[red]x[/red] [/] " in text
        assert "\\x1b[31m" in text
