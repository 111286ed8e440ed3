"""How a search narrowed, as the report tells and draws it."""

from __future__ import annotations

import json
import math
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from tunekit import (
    Categorical,
    IntLogUniform,
    IntUniform,
    LogUniform,
    OneMinusLogUniform,
    tune,
)
from tunekit.report import build, narrowing, render
from tunekit.space import Space

LR = {"name": "lr", "scale": "log", "low": 1e-4, "high": 1.0}
OPTIMIZER = {"name": "<b>", "scale": "choices", "choices": ["sgd", "<i>", "adam"]}
MOMENTUM = {"name": "momentum", "scale": "one-minus-log", "low": 0.9, "high": 0.999}
LAYERS = {"name": "layers", "scale": "int", "low": 1, "high": 5}


def report_of(*regions: tuple[int, dict[str, Any]], losses: list[Any]) -> Any:
    return {
        "space": [LR, OPTIMIZER, MOMENTUM, LAYERS],
        "regions": [{"trials": n, "region": region} for n, region in regions],
        "trial_list": [
            {
                "number": i,
                "begun": i + 1,
                "val_loss": loss,
                "params": {"lr": 10.0 ** -(i % 5), "<b>": "adam", "layers": 1 + i % 5},
            }
            for i, loss in enumerate(losses)
        ],
    }


def drawn(report: Any) -> list[ET.Element]:
    return [ET.fromstring(p) for p in narrowing.pictures(report, report["trial_list"])]


def boxes(picture: ET.Element) -> list[tuple[float, ...]]:
    """(left, top, right, bottom) of the region's parts."""
    (band,) = (each for each in picture.iter("path") if each.get("class") == "band")
    box = r"M([\d.]+) ([\d.]+)H([\d.]+)V([\d.]+)H"
    return [tuple(map(float, each)) for each in re.findall(box, band.get("d", ""))]


def plot_of(picture: ET.Element) -> tuple[float, ...]:
    """(left, top, bottom, right) of the axes."""
    axes = [p.get("d", "") for p in picture.iter("path") if p.get("class") == "axis"]
    found = [re.fullmatch(r"M([\d.]+) ([\d.]+)V([\d.]+)H([\d.]+)", d) for d in axes]
    (box,) = (match for match in found if match)
    return tuple(map(float, box.groups()))


FULL = {"lr": [1e-4, 1.0], "<b>": ["sgd", "<i>", "adam"], "momentum": [0.9, 0.999]}
NARROW = {"lr": [1e-2, 1.0], "<b>": ["adam"], "momentum": [0.99, 0.999]}


def test_bands_step_with_the_trials_on_each_scale() -> None:
    report = report_of((10, FULL), (20, NARROW), losses=[1.0 + i for i in range(40)])
    lr, optimizer, momentum, layers = drawn(report)

    left, top, bottom, right = plot_of(lr)
    at = [left + n / 40 * (right - left) for n in (0, 10, 20, 40)]
    middle = (top + bottom) / 2
    assert boxes(lr) == [
        pytest.approx((at[0], top, at[1], bottom), abs=0.2),
        pytest.approx((at[1], top, at[2], bottom), abs=0.2),
        # 0.01 is half of the way from 0.0001 to 1, by factors.
        pytest.approx((at[2], top, at[3], middle), abs=0.2),
    ]
    # By the gap to one, 0.99 is half of the way from 0.9 to 0.999.
    (_, high, _, low) = boxes(momentum)[-1]
    _, top, bottom, _ = plot_of(momentum)
    assert (high, low) == pytest.approx((top, (top + bottom) / 2), abs=0.2)
    # Three choices before, one after.
    assert len(boxes(optimizer)) == 3 + 3 + 1
    # What no region tells of has no band, and its dots all the same.
    assert not [p for p in layers.iter("path") if p.get("class") == "band"]
    assert len([*layers.iter("circle")]) == 40


def test_every_trial_is_a_dot_in_the_colour_of_its_loss() -> None:
    losses = [float(i) for i in range(16)]
    report = report_of((10, FULL), losses=[*losses, None])
    lr, _, momentum, _ = drawn(report)
    found = {c.findtext("title"): c.get("class") for c in lr.iter("circle")}
    assert len(found) == 17
    assert found["trial 0: 0"] == "dot q0"
    assert found["trial 15: 15"] == "dot q7"
    assert found["trial 16: –"] == "dot hollow"
    # Each colour has equally many.
    evenly = [f"dot q{i // 2}" for i in range(16)]
    assert sorted(map(str, found.values())) == sorted([*evenly, "dot hollow"])
    assert not [*momentum.iter("circle")]  # nobody had it
    left, top, bottom, right = plot_of(lr)
    for circle in lr.iter("circle"):
        x, y = float(circle.get("cx", "")), float(circle.get("cy", ""))
        assert left <= x <= right
        assert top - 0.1 <= y <= bottom + 0.1


def test_the_legend_has_the_losses_between_the_colours() -> None:
    trials = report_of(losses=[float(i) for i in range(16)])["trial_list"]
    legend = ET.fromstring(narrowing.legend(trials))
    assert len([*legend.iter("rect")]) == 8
    texts = [text.text for text in legend.iter("text")]
    assert texts[1:] == ["0", "2", "4", "6", "8", "10", "12", "14", "15"]
    unknown = [{"val_loss": None}]
    assert "no finite loss" in narrowing.legend(unknown)


@pytest.mark.parametrize("losses", [[], [None], [1.0], [2.0, 2.0, 2.0], [1.0, None]])
def test_few_and_equal_losses_are_drawn(losses: list[Any]) -> None:
    report = report_of((1, FULL), losses=losses)
    assert len(drawn(report)) == 4
    ET.fromstring(narrowing.legend(report["trial_list"]))


def test_a_region_of_one_value_is_seen() -> None:
    report = report_of((5, {"layers": [3, 3]}), losses=[1.0] * 10)
    (_, top, _, bottom) = boxes(drawn(report)[3])[-1]
    assert bottom - top >= 2.9


def test_what_is_narrowest_is_told_first() -> None:
    at_end = NARROW | {"layers": [2, 2]}
    report = report_of((10, FULL), (1200, at_end), losses=[1.0])
    assert narrowing.sentence(report) == (
        "After 1,200 trials it looked most at layers 2, <b> adam, lr from 0.01 to 1, "
        "momentum from 0.99 to 0.999."
    )
    report = report_of((10, FULL), losses=[1.0])
    assert narrowing.sentence(report) == (
        "After 10 trials it still looked at the whole of every range."
    )


def test_of_several_moments_at_one_trial_the_last_is_told() -> None:
    space = Space({"lr": LogUniform(1e-4, 1.0)})
    entries = [
        {"trials": n, "region": {"lr": [1e-4, high]}, "constants": [1.0]}
        for n, high in [(9, 1.0), (9, 0.5), (8, 0.2)]
    ]
    assert narrowing.told(entries, space) == [
        {"trials": 9, "region": {"lr": [1e-4, 0.2]}}
    ]


def test_a_search_tells_how_it_narrowed_in_human_values(tmp_path: Path) -> None:
    def make(params: Any) -> Any:
        away = abs(math.log10(params["lr"]) + 2) + 5 * abs(params["momentum"] - 0.9)
        away += 0.0 if params["kind"] == "<b>" else 1.0
        yield from (away + 1 / epoch for epoch in range(1, 4))

    space = {
        "lr": LogUniform(1e-4, 1.0),
        "momentum": OneMinusLogUniform(0.5, 0.99),
        "kind": Categorical("<b>", "plain"),
        "width": IntLogUniform(8, 64),
        "layers": IntUniform(1, 4),
    }
    tune(make, space, max_epochs=3, n_trials=24, out=tmp_path, name="s")
    report = build(tmp_path / "s")
    regions = report["regions"]
    assert len(regions) > 2
    for entry in regions:
        assert entry.keys() == {"trials", "region"}
        assert entry["region"].keys() == space.keys()
        low, high = entry["region"]["momentum"]
        assert 0.5 <= low <= high <= 0.99
        assert set(entry["region"]["kind"]) <= {"<b>", "plain"}
    assert [each["trials"] for each in regions] == sorted(
        {each["trials"] for each in regions}
    )
    json.dumps(regions, allow_nan=False)
    page = render(report)
    assert "How the search narrowed" in page
    assert "After " in page
    assert "<b>" not in page
    assert page.count('class="band"') == len(space)


def test_a_search_without_regions_has_no_such_chapter(tmp_path: Path) -> None:
    def make(params: Any) -> Any:
        yield params["lr"]

    space = {"lr": LogUniform(1e-4, 1.0)}
    options: dict[str, Any] = {"sampler": "random", "pruner": "none"}
    tune(make, space, max_epochs=1, n_trials=5, out=tmp_path, name="s", **options)
    report = build(tmp_path / "s")
    assert report["regions"] == []
    assert "narrowed" not in render(report)
