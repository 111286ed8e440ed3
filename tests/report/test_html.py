"""The page: what it tells, and that it is safe."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path
from unicodedata import category

import pytest

from tunekit.report import build, render, write

from .conftest import NAN, SETTINGS, Page, falling, make_study


def pictures(page: str) -> list[ET.Element]:
    return [ET.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", page, re.DOTALL)]


def test_the_page_tells_all_in_order(tmp_path: Path) -> None:
    folder = make_study(tmp_path / "toy", falling(12), failed=[11])
    page = render(build(folder))
    parsed = Page(page)
    assert parsed.headings == [
        "Is it worth it? Beside simpler models",
        "What was searched",
        "How the best improved",
        "The ten best trials",
        "What mattered most",
        "Every trial, one hyperparameter at a time",
        "The winner's curves",
        "What it mixes up",
        "The data",
        "Trials that ended early",
        "Versions and settings",
    ]
    assert "10.0\N{NO-BREAK SPACE}% wrong" in parsed.text
    assert f"python -m tunekit.predict {folder} rows.csv -o out.csv" in parsed.text
    assert f"tensorboard --logdir {folder / 'tb'}" in parsed.text
    assert "RuntimeError: plain" in parsed.text
    for name in ("majority class", "softmax regression", "default recipe"):
        assert name in parsed.text
    # Baselines, history, importance, four hyperparameters, curves.
    drawn = pictures(page)
    assert len(drawn) == 8
    assert all(picture.get("aria-label") for picture in drawn)


def test_the_page_loads_and_runs_nothing(tmp_path: Path) -> None:
    page = render(build(make_study(tmp_path / "toy", falling(12))))
    parsed = Page(page)
    assert not parsed.tags & {"script", "img", "link", "iframe", "object", "a", "form"}
    assert not {name for name in parsed.attributes if name.startswith("on")}
    assert not parsed.attributes & {"src", "href", "style"}
    assert "url(" not in page
    assert (
        "content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\""
        in page
    )


EVIL = (
    "</title></style></svg><script>alert('1')</script>"
    '<img src=x onerror="f()">&{{7*7}}'
)


def test_text_from_data_stays_text(tmp_path: Path) -> None:
    settings = SETTINGS.replace("[space]", f"name = '''{EVIL}'''\n[space]")
    settings += f"activation = ['''{EVIL}''', 'relu']\n"
    settings += "'<script>x</script>' = { scale = 'uniform', low = 0, high = 1 }\n"
    folder = make_study(
        tmp_path / "toy",
        falling(12),
        study_name="a<script>b",
        failed=[3],
        classes=[EVIL, "b", "c"],
        settings=settings,
        text=EVIL,
    )
    page = render(build(folder))
    parsed = Page(page)
    assert not parsed.tags & {"script", "img"}
    assert not {name for name in parsed.attributes if name.startswith("on")}
    assert EVIL in parsed.text
    # One picture more for each of the two hyperparameters.
    assert len(pictures(page)) == 10
    assert "<script" not in page


def test_control_characters_of_data_are_shown_not_sent(tmp_path: Path) -> None:
    """Also within pictures: a page is read in a terminal, too."""
    text = "a\x1b]0;x\x07b\x85c\u202ed\u2028e"
    folder = make_study(
        tmp_path / "toy", falling(12), failed=[3], classes=[text, "b", "c"], text=text
    )
    report = build(folder)
    wild = {"name": text, "scale": "uniform", "low": 0, "high": 1, "best": text}
    report["space"].append(wild)
    page = render(report)
    unseen = {char for char in page if category(char) in ("Cc", "Cf", "Zl", "Zp")}
    assert unseen == {"\n"}
    assert Page(page).text.count(r"a\x1b]0;x\x07b\x85c\u202ed\u2028e") >= 4


def test_the_end_of_a_traceback_can_be_opened(tmp_path: Path) -> None:
    lines = "".join(f"line {n} <b>\n" for n in range(1000))
    folder = make_study(tmp_path / "toy", falling(4), failed=[3], text=f"{lines}\x1bc")
    report = build(folder)
    told = report["errors"][0]["traceback"]
    assert len(told) <= 4096
    assert told.startswith("line ")
    assert told.endswith("line 999 <b>\n\\x1bc")
    page = render(report)
    assert f"<pre>{told.replace('<b>', '&lt;b&gt;')}</pre></details>" in page
    # A report that was written before there were any.
    for each in report["errors"]:
        del each["traceback"]
    assert "<details><summary>where" not in render(report)


def test_an_unfinished_study_says_so(tmp_path: Path) -> None:
    folder = make_study(tmp_path / "early", falling(3), final=False)
    report = write(folder)
    assert report["test"] is None
    assert report["model"] is None
    assert report["baselines"] is None
    parsed = Page((folder / "report.html").read_text(encoding="utf-8"))
    assert "The search is unfinished: 3 configurations so far" in parsed.text
    assert "tunekit.predict" not in parsed.text
    assert "The winner's curves" in parsed.headings


@pytest.mark.parametrize("curves", [[], [[NAN]]])
def test_a_study_without_a_result_has_a_page(
    tmp_path: Path, curves: list[list[float]]
) -> None:
    folder = make_study(tmp_path / "none", curves, pruned=[0], final=False)
    report = write(folder)
    assert report["best"] is None
    assert report["history"] == []
    text = Page((folder / "report.html").read_text(encoding="utf-8")).text
    assert f"unfinished: {len(curves)} configurations, none with a result" in text


def test_a_result_that_a_better_trial_has_overtaken_is_told_as_its_own(
    tmp_path: Path,
) -> None:
    folder = make_study(tmp_path / "more", [[0.5], [0.4]])
    report = write(folder)
    assert not report["finished"]
    for name in ("test", "model", "baselines", "confusion", "winner", "asked"):
        assert report[name] is None
    assert report["most_confused"] == report["left_out"] == []
    assert report["earlier"]["number"] == 0
    assert report["earlier"]["test"]["error"] == 0.1
    assert report["earlier"]["model"]["error"] == 0.11
    text = Page((folder / "report.html").read_text(encoding="utf-8")).text
    assert "The search is unfinished: 2 configurations so far, the best one" in text
    assert "trial 0, the best before the search went on, answered" in text
    assert "the best network found" not in text
    assert "What it mixes up" not in text


def test_what_was_left_out_is_told_beside_the_figures(tmp_path: Path) -> None:
    gone = [
        {"what": "seed 1", "why": "diverged"},
        {"what": "seed 3", "why": "diverged"},
        {"what": "seed 4", "why": "no time left"},
        {"what": "softmax regression", "why": "diverged"},
        {"what": "default recipe", "why": "no time left"},
    ]
    folder = make_study(tmp_path / "gone", [[0.4]], asked={"seeds": 5}, left_out=gone)
    report = build(folder)
    assert report["left_out"] == gone
    assert report["asked"] == {"seeds": 5}
    text = Page(render(report)).text
    assert "2 of 5 trainings diverged and are not in the mean." in text
    assert "1 of 5 trainings is not in the mean (no time left)." in text
    assert (
        "Missing: softmax regression (diverged), default recipe (no time left)." in text
    )
    assert "  " not in text.split("Its loss on those rows")[1].split("\n")[0]


def test_nothing_left_out_needs_no_word(tmp_path: Path) -> None:
    report = build(make_study(tmp_path / "all", [[0.4]]))
    assert (report["left_out"], report["asked"]) == ([], None)
    text = Page(render(report)).text
    assert "in the mean" not in text
    assert "Missing" not in text


def test_intervals_of_one_training_claim_no_more_than_rows(tmp_path: Path) -> None:
    one = Page(render(build(make_study(tmp_path / "one", [[0.4]], n_seeds=1)))).text
    two = Page(render(build(make_study(tmp_path / "two", [[0.4]])))).text
    assert "the intervals cover the choice of test rows, not how another" in one
    assert "cover these beginnings" not in one
    assert "One of" not in one
    assert "the intervals cover these beginnings and the choice of test rows" in two


def test_many_classes_are_told_by_their_confusions(tmp_path: Path) -> None:
    few = Page(render(build(make_study(tmp_path / "few", [[0.4]], classes=range(30)))))
    many = Page(
        render(build(make_study(tmp_path / "many", [[0.4]], classes=range(31))))
    )
    assert "A line is a true class" in few.text
    assert "A line is a true class" not in many.text
    assert "Most often mixed up" in many.text


@pytest.mark.parametrize(("n", "whole"), [(100, True), (101, False), (150, False)])
def test_the_confusion_of_very_many_classes_is_a_list_of_pairs(
    tmp_path: Path, n: int, whole: bool
) -> None:
    names = [f"c{i}" for i in range(n)]
    matrix = [[5 if a == b else 0 for b in range(n)] for a in range(n)]
    for i in range(n):
        matrix[i][i - 1] = i + 1
    report = build(make_study(tmp_path / "x", [[0.4]], classes=names, confusion=matrix))
    assert (report["confusion"] == matrix) is whole
    pairs = report["most_confused"]
    assert len(pairs) == 100
    last = n - 1
    assert pairs[0] == {
        "true": names[last],
        "answered": names[last - 1],
        "rows": n,
        "share": n / (n + 5),
    }
    assert [pair["rows"] for pair in pairs] == [*range(n, n - 100, -1)]
    text = Page(render(report)).text
    assert "Most often mixed up" in text
    if not whole:
        assert report["confusion"] is None


def test_no_confusion_is_told_too(tmp_path: Path) -> None:
    study = make_study(
        tmp_path / "x", [[0.4]], confusion=[[3, 0], [0, 2]], classes="ab"
    )
    report = build(study)
    assert report["most_confused"] == []
    assert "Every test row was answered right." in Page(render(report)).text


def test_many_trials_make_a_page_of_bounded_size(tmp_path: Path) -> None:
    report = build(make_study(tmp_path / "some", falling(12)))
    one = report["trial_list"][0]
    report["trial_list"] = [
        one | {"number": i, "begun": i + 1, "val_loss": 1 + i / 7} for i in range(5000)
    ]
    page = render(report)
    assert "100 best and an even sample" in page
    assert len(page) < 400_000
