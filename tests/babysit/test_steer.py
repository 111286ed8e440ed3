"""A person steps in by editing a file while the model trains."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tunekit.babysit import job
from tunekit.babysit.folder import Folder
from tunekit.babysit.nudges import recipe_knobs
from tunekit.babysit.sitter import Sitter, Told
from tunekit.babysit.steer import FILE, Edit, content, edit_of, parsed
from tunekit.errors import ConfigError
from tunekit.trial import Recipe

from .conftest import Call, Undisturbed, came_to, course, history, one_line, rounds

OPTIONS = ["--budget-epochs", "60", "--interval", "3"]
SHORT = ["--budget-epochs", "24", "--interval", "3"]
Write = Callable[[int, str | bytes], None]


@pytest.fixture
def edits(runs: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Have a person save a text once a round is over."""
    to_come: dict[Any, str | bytes] = {}

    class Steered(Sitter):
        def __init__(self, *given: Any, tell: Callable[[Told], None], **named: Any):
            def heard(told: Told) -> None:
                tell(told)
                for when in [w for w in to_come if is_now(w, told)]:
                    text = to_come.pop(when)
                    data = text.encode() if isinstance(text, str) else text
                    (runs / "model" / FILE).write_bytes(data)

            super().__init__(*given, tell=heard, **named)

    def is_now(when: Any, told: Told) -> bool:
        if "round" not in told.line:
            return False
        if isinstance(when, int):
            return bool(told.line["round"] == when)
        return bool(told.course.doing == when and told.course.done > 0)

    monkeypatch.setattr(job, "Sitter", Steered)
    return to_come.__setitem__


def after_edits(folder: Path) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Every line of an edit, taken or refused, with the round that came next."""
    lines = history(folder)
    return [
        (line, later)
        for line, later in zip(lines, [*lines[1:], {}], strict=True)
        if "round" not in line
    ]


def test_a_value_holds_from_the_next_round_on(
    call: Call, runs: Path, edits: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    edits(4, "lr = 0.0123\ndropout = 0.35")
    assert call(*OPTIONS) == 0
    (((edit, later)),) = after_edits(runs / "model")
    assert edit["edit"] == {"lr": 0.0123, "dropout": 0.35}
    assert (edit["after_round"], later["round"]) == (4, 5)
    (branch,) = later["branches"]
    assert (branch["settings"]["lr"], branch["settings"]["dropout"]) == (0.0123, 0.35)
    assert later["doing"] == "train"
    # It goes on being nudged.
    assert (
        len(
            {
                b["settings"]["lr"]
                for r in rounds(runs / "model")[5:]
                for b in r["branches"]
            }
        )
        > 1
    )
    # An edit shows where it is read: on the screen, and in the report.
    page = (runs / "model" / "report.html").read_text()
    assert "lr = 0.0123" in page
    assert 'class="edit"' in page


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('lr = "fast"', "lr must be a number, got 'fast'"),
        ("lr = nan", "lr must be a number, got nan"),
        ("lr = true", "lr must be a number, got True"),
        ("lr = 1" + "0" * 400, "lr must be a number, got 1000"),
        ("dropuot = 0.1", 'did you mean "dropout"?'),
        ("width = 9", 'unknown hyperparameter "width"'),
        ("lr = [1]", "lr must be a number, got [1]"),
        ('hold = "lr"', "hold must be a list of names"),
        ('hold = ["width"]', 'hold must name hyperparameters, got "width"'),
        ("stop = 1", "stop must be true or false"),
        ("lr = 0.01\ndropout = 9.0", "dropout must be between"),
        ("lr = " + "1" * 5000, "must be TOML"),
        ("a = " + "[" * 5000, "must be TOML"),
        ('"a\\nb" = 1', "unknown hyperparameter"),
        ('hold = ["a\\nb"]', "hold must name hyperparameters"),
    ],
)
def test_what_cannot_be_used_is_one_line(text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(told)) as caught:
        parsed(text, recipe_knobs(Recipe()))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("lr = 5.0", "lr must be between 1e-07 and 1, got 5"),
        ("lr = 0.01\nwidth = 9", 'unknown hyperparameter "width"'),
        ("lr = ", "must be TOML"),
        (b"\xff\xfe\x00lr", "must be a text"),
    ],
)
def test_what_is_wrong_is_refused_once_and_changes_nothing(
    call: Call,
    runs: Path,
    edits: Write,
    text: str | bytes,
    told: str,
    undisturbed: Undisturbed,
    capsys: pytest.CaptureFixture[str],
) -> None:
    wanted = came_to(undisturbed(SHORT))
    capsys.readouterr()
    edits(4, text)
    assert call(*SHORT) == 0
    out, err = capsys.readouterr()
    assert err == ""
    (line,) = [line for line in out.splitlines() if line.startswith("refused: ")]
    assert told in line
    (((refused, later)),) = after_edits(runs / "model")
    assert told in refused["refused"]
    assert "\n" not in refused["refused"]
    assert later["round"] == 5
    kept, there, weights, report, states = came_to(runs / "model")
    assert [line for line in kept if "round" in line] == wanted[0]
    assert (there, weights, states) == (wanted[1], wanted[2], wanted[4])
    assert [each["refused"] for each in report.pop("edits")] == [True]
    assert report == {n: v for n, v in wanted[3].items() if n != "edits"}
    # Nor is it refused anew by a later call.
    assert call(*SHORT) == 0
    assert "refused: " not in capsys.readouterr().out


def test_what_is_held_is_not_nudged_and_can_be_let_go(
    call: Call, runs: Path, edits: Write
) -> None:
    edits(2, 'lr = 0.01\nhold = ["lr", "dropout"]')
    edits(12, "lr = 0.01")
    assert call(*OPTIONS) == 0
    lines = rounds(runs / "model")
    first = lines[0]["branches"][0]["settings"]["dropout"]
    held = [b["settings"] for r in lines[2:12] for b in r["branches"]]
    assert {(s["lr"], s["dropout"]) for s in held} == {(0.01, first)}
    later = [b["settings"]["lr"] for r in lines[12:] for b in r["branches"]]
    assert set(later) != {0.01}
    told = [line["edit"] for line, _ in after_edits(runs / "model")]
    assert told == [{"lr": 0.01, "hold": ["lr", "dropout"]}, {"hold": []}]


def test_stop_ends_and_judges_and_taken_out_it_goes_on(
    call: Call, runs: Path, edits: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    edits(5, "stop = true")
    assert call(*OPTIONS) == 0
    assert "test accuracy" in capsys.readouterr().out
    assert len(rounds(runs / "model")) == 5
    assert course(runs / "model")["doing"] == "over"
    assert call("--budget-epochs", "70", "--interval", "3") == 0
    assert len(rounds(runs / "model")) == 5
    (runs / "model" / FILE).write_text("stop = true\nlr = 0.01\n")
    assert call(*OPTIONS) == 0
    assert len(rounds(runs / "model")) == 5
    (runs / "model" / FILE).write_text("lr = 0.01\n")
    assert call(*OPTIONS) == 0
    assert course(runs / "model")["spent"] == 60
    assert rounds(runs / "model")[5]["branches"][0]["settings"]["lr"] == 0.01


def test_an_edit_of_another_line_does_not_set_back_what_was_nudged_since(
    call: Call, runs: Path, edits: Write
) -> None:
    edits(1, "lr = 1e-6")
    edits(9, "lr = 1e-6\ndropout = 0.4")
    assert call(*OPTIONS) == 0
    lines = rounds(runs / "model")
    nudged = lines[8]["branches"][lines[8]["kept"]]["settings"]["lr"]
    assert nudged > 1e-6
    after = lines[9]["branches"][0]["settings"]
    assert (after["lr"], after["dropout"]) == (nudged, 0.4)
    said = [line["edit"] for line, _ in after_edits(runs / "model")]
    assert said == [{"lr": 1e-6}, {"dropout": 0.4}]


@pytest.mark.parametrize("doing", ["rescue", "cool"])
def test_a_person_steps_in_while_it_is_rescued_and_while_it_cools(
    call: Call, runs: Path, edits: Write, doing: str
) -> None:
    edits(doing, "dropout = 0.45")  # type: ignore[arg-type]
    bad = ["--set", "lr=0.3", "--set", "optimizer=sgd", "--patience", "1"]
    assert call(*bad, "--budget-epochs", "90", "--interval", "2") == 0
    (((edit, later)),) = after_edits(runs / "model")
    before = rounds(runs / "model")[edit["after_round"] - 1]
    assert before["doing"] == doing
    assert {b["settings"]["dropout"] for b in later["branches"]} == {0.45}
    assert later["doing"] == ("cool" if doing == "cool" else "train")
    assert course(runs / "model")["spent"] == 90


def test_the_file_is_put_there_and_says_nothing_yet(call: Call, runs: Path) -> None:
    assert call("--budget-epochs", "3") == 0
    text = (runs / "model" / FILE).read_text()
    assert all(line.startswith("#") for line in text.splitlines())
    assert "# lr = 0.003" in text
    assert after_edits(runs / "model") == []
    # A person's file is not written over.
    (runs / "model" / FILE).write_text("# mine")
    assert call("--budget-epochs", "6") == 0
    assert (runs / "model" / FILE).read_text() == "# mine"


def test_what_is_said_again_is_no_edit() -> None:
    before = {"lr": 0.1, "hold": ["lr"], "stop": True}
    assert not edit_of(before, before)
    assert edit_of({}, before) == Edit(held=[])
    assert edit_of({**before, "lr": 0.2}, before) == Edit({"lr": 0.2})


def test_a_file_that_is_being_saved_is_read_once_it_is_whole(tmp_path: Path) -> None:
    """Editors empty a file, or take it away, before they write it."""
    path, before = tmp_path / FILE, 'lr = 1e-6\nhold = ["dropout"]\n'
    after = before + "weight_decay = 0.1\n"
    path.write_text(before)
    assert content(path, before) == before

    def save(*, takes_away: bool) -> None:
        path.unlink() if takes_away else path.write_text("")
        time.sleep(0.1)
        path.write_text(after[:20])
        time.sleep(0.01)
        path.write_text(after)

    for takes_away in (False, True):
        path.write_text(before)
        writer = threading.Thread(target=save, kwargs={"takes_away": takes_away})
        writer.start()
        text = before
        while text == before:
            text = content(path, before)
        writer.join()
        assert text == after
    # What stays empty is empty.
    path.write_text("")
    assert content(path, before) == ""
    path.write_bytes(b"\xef\xbb\xbf" + after.encode())
    assert content(path, before) == after


def test_what_the_command_holds_no_file_lets_go_of(
    call: Call, runs: Path, edits: Write
) -> None:
    edits(2, 'hold = ["dropout"]')
    edits(6, "hold = []")
    assert call(*SHORT, "--hold", "lr") == 0
    told = [line["edit"] for line in history(runs / "model") if "edit" in line]
    assert told == [{"hold": ["lr", "dropout"]}, {"hold": ["lr"]}]
    tried = [b["settings"] for r in rounds(runs / "model") for b in r["branches"]]
    assert len({each["lr"] for each in tried}) == 1
    # And what the file holds, no later command.
    longer = ["--budget-epochs", str(int(SHORT[1]) + 6), *SHORT[2:]]
    (runs / "model" / FILE).write_text('hold = ["dropout"]')
    assert call(*longer, "--hold", "weight_decay") == 0
    assert course(runs / "model")["held"] == ["weight_decay", "dropout"]


def test_an_edit_that_is_refused_costs_nothing_that_is_half_done(
    call: Call, runs: Path, edits: Write
) -> None:
    assert call(*SHORT) == 0
    folder = Folder(runs / "model")
    found = folder.stand()
    assert found is not None
    half = runs / "model" / "checkpoints" / "000099-0-half.safetensors"
    half.write_bytes(b"of a round that is being trained")
    stand = {k: v for k, v in found[1].items() if k != "history"}
    folder.commit(found[0], stand, [{"refused": "no", "spent": 1}])
    assert half.exists()
    folder.commit(found[0], stand, [{"round": 99, "spent": 1}])
    assert not half.exists()


@pytest.mark.parametrize("how", ["stop = true", "time"])
def test_before_a_first_round_no_rate_is_blamed(
    call: Call, runs: Path, how: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if how == "time":
        # Three seconds of it are kept for the end.
        assert call(*SHORT, "--timeout", "3s") == 3
        assert "got no time for it" in one_line(capsys)
    else:
        (runs / "model").mkdir(parents=True)
        (runs / "model" / FILE).write_text(how)
        assert call(*SHORT) == 3
        assert "got stop = true in steer.toml" in one_line(capsys)
        (runs / "model" / FILE).write_text("")
    assert call(*SHORT) == 0
