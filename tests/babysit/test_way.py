"""What is drawn and told of a history is the model's way, whatever its length."""

from __future__ import annotations

from typing import Any

import pytest

from tunekit.babysit.account import Account, Thinned
from tunekit.babysit.course import Rules
from tunekit.babysit.pictures import knob_svg, loss_svg
from tunekit.babysit.telling import Telling
from tunekit.babysit.way import BEST, LINE, TRIED, VAL, Way, points

from .made_up import Model, turning


def told(model: Model, most: int = 10_000) -> list[dict[str, Any]]:
    """A history of a made-up model, as one that is trained writes it."""
    lines, sources = [], {}
    train = model.train

    def noted(tried: Any) -> Any:
        sources["outcomes"] = train(tried)
        return sources["outcomes"]

    model.train = noted  # type: ignore[method-assign]
    for before, tried in model.rounds(most):
        outcomes, course = sources["outcomes"], model.course
        # Of the branches, the one that is on the line now.
        kept = [
            i
            for i, each in enumerate(outcomes)
            if each.checkpoint == course.here.name and each.checkpoint
        ]
        branches = [
            {
                "from": source,
                "to": each.checkpoint,
                "settings": settings,
                "train": each.train,
                "val": each.val,
                "score": [],
            }
            for (source, settings), each in zip(tried.branches, outcomes, strict=True)
        ]
        line = {"round": tried.number, "doing": tried.doing, "spent": course.spent}
        line |= {"kept": kept[0] if kept else None, "branches": branches}
        line |= {"best": course.best, "epochs": tried.epochs}
        if course.joined:
            line["joined"], course.joined = course.joined, []
        assert before.joined == []
        lines.append(line)
    return lines


def test_all_that_led_to_where_the_model_is_is_on_its_line() -> None:
    """Also the rounds of a rescue, of which it is known later that they did."""
    model = Model(turning, Rules(horizon=400))
    lines = told(model)
    assert any("joined" in line and len(line["joined"]) > 1 for line in lines)
    way = Way()
    events = [
        each for line in lines for part in way.parts(line) for each in points(part)
    ]
    drawn = [values[VAL] for run, _, values in events if run == LINE]
    made = {b["to"]: b for line in lines for b in line["branches"] if b["to"]}
    on_line = {name for line in lines for name in line.get("joined", ())}
    on_line |= {
        line["branches"][line["kept"]]["to"]
        for line in lines
        if line["kept"] is not None
    }
    name, way_back = model.course.here.name, []
    while name:
        assert name in on_line
        way_back = [*made[name]["val"], *way_back]
        name = made[name]["from"]
    # In its order, with what it was taken back from in between.
    rest = iter(drawn)
    assert all(value in rest for value in way_back)
    tried = sum(run == TRIED for run, _, _ in events)
    finite = sum(b["to"] is not None for line in lines for b in line["branches"])
    assert tried == finite - len(on_line)
    for run in (LINE, BEST):
        steps = [step for each, step, _ in events if each == run]
        assert steps == sorted(steps)
    assert [step for run, step, _ in events if run == BEST] == [
        line["spent"] for line in lines
    ]


def test_what_was_rescued_in_vain_is_no_part_of_the_line() -> None:
    branch = {"settings": {"lr": 0.1}, "train": [1.0], "val": [2.0], "score": []}
    line = {"doing": "rescue", "kept": None, "best": 1.0, "epochs": 1}
    rescue = {**line, "spent": 1, "branches": [{**branch, "to": "1-0"}]}
    after = {**line, "doing": "train", "kept": 0, "spent": 2}
    after["branches"] = [{**branch, "to": "2-0"}]
    way = Way()
    assert [run for run, _, _ in way.parts(rescue)] == [BEST]
    assert [(run, step) for run, step, _ in way.parts(after)] == [
        (TRIED, 1),
        (LINE, 2),
        (BEST, 2),
    ]


def test_a_history_of_days_takes_no_more_room_than_one_of_hours() -> None:
    found, knob = Thinned(), Thinned(changes=True)
    for step in range(1, 100_001):
        found.add(step, 1 / step)
        knob.add(step, float(step // 10))
    for each in (found, knob):
        assert len(each.points) <= 3001
        steps = [step for step, _ in each.points]
        assert steps == sorted(set(steps))
        assert steps[-1] == 100_000
        # As many of the last quarter as of the first.
        share = sum(step > 75_000 for step in steps) / len(steps)
        assert share == pytest.approx(0.25, abs=0.01)
    assert (found.low, found.high) == (1e-5, 1.0)


def test_the_best_of_what_is_to_be_high_is_in_the_picture() -> None:
    account = Account()
    for step in range(1, 201):
        value = 0.92 if step > 197 else 0.8
        account.take((LINE, step, {"val": [value], "settings": {}}))
        account.take((BEST, step, {"val": [value]}))
    account.take((TRIED, 201, {"val": ["nan", 0.1]}))
    page = str(loss_svg(account, "val_acc", "val_acc", maximize=True))
    assert ">val_acc while the model was watched<" in page
    assert ">0.9</text>" in page
    # What diverged is at the edge, and takes no room from the rest.
    assert ">0.1</text>" not in page
    assert knob_svg(account, "lr", "log") is None


def test_a_person_s_edits_are_counted_with_what_was_refused() -> None:
    lines = [
        {"spent": 0, "refused": "steer.toml: lr must be a number"},
        {"spent": 3, "edit": {"lr": 0.1}},
    ]
    account = Telling(lines, None).account
    assert [each["refused"] for each in account.edits] == [True, False]
    assert account.edits[1]["text"] == "lr = 0.1"
