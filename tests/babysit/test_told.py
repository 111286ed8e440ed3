"""What a person is told while a model is watched and after it, and what is kept."""

from __future__ import annotations

import html
import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tunekit.babysit import job, seldom, watching
from tunekit.babysit.course import Course
from tunekit.babysit.options import Options
from tunekit.babysit.sitter import Told
from tunekit.babysit.steer import Edit, edit_of
from tunekit.babysit.telling import Telling

from .conftest import Call


class Clock:
    """Stands for the module ``time``."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(seldom, "time", found)
    return found


def told(spent: int, best: float, since: int) -> Told:
    course = Course({"lr": 0.01})
    course.spent, course.best, course.since = spent, best, since
    course.best_at = "000001-0"
    line = {"round": spent, "doing": "train", "best": best, "spent": spent}
    return Told(course, line)


def test_a_day_does_not_fill_the_terminal(clock: Clock) -> None:
    text = io.StringIO()
    hear = watching.Watching(Console(file=text), None)
    for second in range(24 * 3600):
        clock.now = float(second)
        hear(told(second, 0.5, 1))
        if second == 20:
            assert text.getvalue().count("\n") == 21
    assert 1000 < text.getvalue().count("\n") < 2500


def test_a_gain_soon_after_another_reaches_the_model_too(
    clock: Clock, table_csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"data": str(table_csv), "target": "kind", "out": str(tmp_path)}
    console = Console(file=io.StringIO())
    watched = job.Job(Options.from_mapping(given), console, 0.0)
    watched._telling = Telling((), None)
    saved: list[float] = []
    pages: list[int] = []

    def save(course: Course) -> Any:
        saved.append(course.best)

    def write_pages(course: Course, *, ended: bool) -> None:
        assert not ended
        pages.append(course.spent)

    monkeypatch.setattr(watched, "_save", save)
    monkeypatch.setattr(watched, "_write_pages", write_pages)
    for second, best, since in [(0, 0.9, 0), (2, 0.4, 0), (20, 0.4, 1), (40, 0.4, 2)]:
        clock.now = float(second)
        watched._hear(told(second, best, since))
    assert saved == [0.9, 0.4]
    clock.now = 100.0
    watched._hear(told(100, 0.4, 3))
    # The model is as it was, and the page tells of what was tried since.
    assert saved == [0.9, 0.4]
    assert pages == [0, 40, 100]


def test_pages_that_take_long_come_more_seldom(clock: Clock) -> None:
    once, times = seldom.Seldom(30.0), []

    def work() -> None:
        times.append(clock.now)
        clock.now += 2.0

    for second in range(0, 2000, 10):
        clock.now = max(clock.now, float(second))
        once(work)
    # A hundredth of the time: two seconds of two hundred.
    assert times == [
        0.0,
        210.0,
        420.0,
        630.0,
        840.0,
        1050.0,
        1260.0,
        1470.0,
        1680.0,
        1890.0,
    ]


def test_what_is_newly_held_is_held_at_the_value_beside_it() -> None:
    before = {"lr": 0.001, "dropout": 0.2}
    now = {**before, "hold": ["lr"]}
    assert edit_of(now, before) == Edit(settings={"lr": 0.001}, held=["lr"])
    # Held already: an edit of something else does not say it again.
    assert edit_of({**now, "dropout": 0.3}, now) == Edit(settings={"dropout": 0.3})


def test_the_last_line_says_how_to_go_on(
    call: Call, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("--budget-epochs", "8") == 0
    assert "larger --budget-epochs" in capsys.readouterr().out.splitlines()[-1]
    (runs / "model" / "steer.toml").write_text("stop = true\n")
    assert call("--budget-epochs", "80") == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert "take stop = true out of steer.toml" in last
    (runs / "model" / "steer.toml").write_text("")
    assert call("--timeout", "4s") == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == "to go on, run the same command"


def test_the_report_tells_a_refused_edit_from_one_that_was_done(
    call: Call, runs: Path
) -> None:
    assert call("--budget-epochs", "8") == 0
    steer, page = runs / "model" / "steer.toml", runs / "model" / "report.html"
    steer.write_text("lr = 7\n")
    assert call("--budget-epochs", "40") == 0
    assert "; 0 times a person stepped in" in page.read_text("utf-8")
    steer.write_text('hold = ["lr"]\nstop = true\n')
    assert call("--budget-epochs", "60") == 0
    text = html.unescape(page.read_text("utf-8"))
    assert "; 1 times a person stepped in" in text
    assert 'hold = ["lr"], stop = true' in text
