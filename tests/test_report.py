"""Reports of real study folders, small ones made here."""

from __future__ import annotations

import json
import math
import os
import re
import signal
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from tunekit.errors import ConfigError, DataError
from tunekit.report import build, render, write
from tunekit.report.__main__ import main
from tunekit.report.axes import Axis, number, ticks, value_text
from tunekit.report.importance import importance
from tunekit.report.searched import scales
from tunekit.space import OneMinusLogUniform, Space

NAN = math.nan
SETTINGS = """
n_trials = 12
max_epochs = 4
seed = 7
timeout = "10m"
[space]
lr = { scale = "log", low = 1e-4, high = 0.1 }
optimizer = ["sgd", "adam"]
momentum = { scale = "one-minus-log", low = 0.5, high = 0.99 }
width = { scale = "int-log", low = 16, high = 128 }
label_smoothing = 0.0
"""


def make_study(
    folder: Path,
    curves: Sequence[Sequence[float]],
    *,
    pruned: Sequence[int] = (),
    failed: Sequence[int] = (),
    final: bool = True,
    classes: Sequence[Any] = (0, 1, 2),
    settings: str = SETTINGS,
    text: str = "plain",
    study_name: str | None = None,
    finished: bool | None = None,
    n_seeds: int = 2,
    **more: Any,
) -> Path:
    """A study folder whose trial i recorded ``curves[i]``; ``text`` gets everywhere.

    ``more`` gets into ``final.json``.
    """
    folder.mkdir(parents=True)
    (folder / "study.toml").write_text(settings, encoding="utf-8")
    split = {
        "source": f"{text}.csv",
        "fingerprint": "0" * 64,
        "target": text,
        "rows": 10,
        "features": 2,
        "inputs": 3,
        "classes": list(classes),
        "columns": [
            {"name": text, "kind": "numeric", "missing": 2, "note": text},
            {"name": "day", "kind": "date", "missing": 0, "note": ""},
        ],
        "notes": [text],
        "train": [0, 1, 2, 3, 4, 5],
        "validation": [6, 7],
        "test": [8, 9],
    }
    (folder / "split.json").write_text(json.dumps(split), encoding="utf-8")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        study_name=study_name or folder.name,
        storage=JournalStorage(JournalFileBackend(str(folder / "journal.log"))),
        sampler=optuna.samplers.RandomSampler(seed=1),
    )
    for i, curve in enumerate(curves):
        trial = study.ask()
        params: dict[str, Any] = {
            "lr": trial.suggest_float("lr", 1e-4, 0.1, log=True),
            "optimizer": trial.suggest_categorical("optimizer", ["sgd", "adam"]),
            "width": trial.suggest_int("width", 16, 128, log=True),
        }
        if params["optimizer"] == "sgd":
            gap = trial.suggest_float("one_minus_momentum", 0.01, 0.5, log=True)
            params["momentum"] = 1 - gap
        for epoch, loss in enumerate(curve, start=1):
            trial.report(loss, epoch)
        finite = [(x, epoch) for epoch, x in enumerate(curve, 1) if math.isfinite(x)]
        if finite:
            trial.set_user_attr("best_val_loss", min(finite)[0])
            trial.set_user_attr("best_epoch", min(finite)[1])
            trial.set_user_attr("best_val_score", 0.5)
        trial.set_user_attr("seconds", 0.25)
        trial.set_user_attr("params", params)
        trial.set_user_attr("stopped", "diverged at epoch 2" if i in pruned else "")
        if i in failed:
            trial.set_user_attr("error", f"RuntimeError: {text}")
            study.tell(trial, state=TrialState.FAIL)
        elif i in pruned:
            study.tell(trial, state=TrialState.PRUNED)
        else:
            study.tell(trial, min(finite)[0])
    study.set_user_attr("seconds", 12.5)
    study.set_user_attr("engine", "lightning")
    study.set_user_attr("versions", {"optuna": "5.0.0"})
    study.set_user_attr("finished", final if finished is None else finished)
    if final:
        seeds = [
            {
                "seed": seed,
                "val_loss": 0.2 + 0.01 * seed,
                "best_epoch": 2,
                "test_loss": 0.3,
                "test_error": 0.1,
                "curve": [
                    [1, 0.9, 0.8, 0.5, 0.6, 1e-3],
                    [2, 0.1, 0.2 + 0.01 * seed, 0.9, 0.9, 1e-4],
                ],
            }
            for seed in range(n_seeds)
        ]
        n = len(classes)
        confusion = [
            [5 if a == b else int(b == a + 1) for b in range(n)] for a in range(n)
        ]
        content = {
            "number": 0,
            "recipe": {"lr": 1e-3},
            "metric": "val_loss",
            "seeds": seeds,
            "test": {
                "loss": 0.3,
                "loss_interval": [0.2, 0.4],
                "error": 0.1,
                "error_interval": [0.05, 0.15],
                "seeds": n_seeds,
                "rows": 2,
            },
            "model": {"seed": 0, "loss": 0.31, "error": 0.11},
            "confusion": confusion,
            "baselines": {
                "majority class": {"loss": 1.1, "error": 0.66},
                "softmax regression": {"loss": 0.5, "error": 0.2},
                "default recipe": {"loss": 0.4, "error": 0.15},
            },
            **more,
        }
        (folder / "final.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def falling(n: int) -> list[list[float]]:
    return [[1.0 + 0.1 * i, 0.5 + 0.1 * i, 0.6 + 0.1 * i] for i in range(n)]


class Page(HTMLParser):
    """The tags, attributes and text of a page; fails where tags do not nest."""

    EMPTY = frozenset({"meta", "br", "circle", "path", "polyline", "rect"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self.headings: list[str] = []
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self._open.append(tag)
        if tag in ("meta", "br"):
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._open and self._open[-1] == "h2":
            self.headings.append(data)


def pictures(page: str) -> list[ET.Element]:
    return [ET.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", page, re.DOTALL)]


def test_every_number_comes_from_the_folder(tmp_path: Path) -> None:
    curves = [[2.0, 1.0, 1.5], [0.9, NAN], [1.2, 0.4, 0.6, 0.5], [3.0]]
    folder = make_study(tmp_path / "toy", curves, pruned=[1, 2], failed=[3], number=2)
    report = build(folder)

    assert report["study"] == "toy"
    assert (report["seed"], report["engine"]) == (7, "lightning")
    assert report["metric"] == "val_loss"
    assert report["budget"] == {
        "n_trials": 12,
        "budget_epochs": None,
        "timeout": "10m",
    }
    counts = {"total": 4, "complete": 1, "pruned": 2, "failed": 1}
    counts |= {"running": 0, "paused": 0}
    assert report["trials"] == counts
    assert report["epochs_trained"] == 3 + 2 + 4 + 1
    assert report["seconds"] == 12.5
    # The best trial was stopped early: it counts all the same.
    assert report["best"]["number"] == 2
    assert (report["best"]["val_loss"], report["best"]["epoch"]) == (0.4, 2)
    assert set(report["best"]["params"]) <= {"lr", "optimizer", "momentum", "width"}
    assert report["history"] == [[1, 2.0], [2, 1.0], [4, 0.9], [7, 0.4]]
    assert report["data"]["rows"] == 10
    assert (report["data"]["features"], report["data"]["classes"]) == (2, 3)
    assert report["data"]["split"] == {"train": 6, "validation": 2, "test": 2}
    assert report["test"]["error_interval"] == [0.05, 0.15]
    assert report["model"] == {"seed": 0, "loss": 0.31, "error": 0.11}
    assert report["baselines"]["default recipe"]["error"] == 0.15
    assert report["versions"] == {"optuna": "5.0.0"}
    assert report["stopped_early"] == {"diverged": 2}
    assert report["errors"] == [{"number": 3, "error": "RuntimeError: plain"}]
    assert [trial["number"] for trial in report["top"]] == [2, 1, 0, 3]
    assert report["fixed"] == {"label_smoothing": 0.0}
    assert [entry["name"] for entry in report["space"]] == [
        "lr",
        "optimizer",
        "momentum",
        "width",
    ]
    for entry in report["space"]:
        assert entry["best"] == report["best"]["params"].get(entry["name"])


def test_of_equal_trials_the_first_is_the_best(tmp_path: Path) -> None:
    report = build(make_study(tmp_path / "tie", [[0.7], [0.5], [0.5]]))
    assert report["best"]["number"] == 1
    assert report["history"] == [[1, 0.7], [2, 0.5]]


def test_history_counts_epochs_in_the_order_of_the_work(tmp_path: Path) -> None:
    """Two more trials, open at once: what one comes to late is not told early."""
    folder = make_study(tmp_path / "s", [[0.9, 0.8]], final=False)
    study = optuna.load_study(
        study_name="s",
        storage=JournalStorage(JournalFileBackend(str(folder / "journal.log"))),
    )
    one, other = study.ask(), study.ask()
    for epoch, losses in enumerate([(0.7, 0.75), (0.6, 0.5), (0.4, 0.45)], start=1):
        one.report(losses[0], epoch)
        other.report(losses[1], epoch)
    for trial in (one, other):
        study.tell(trial, state=TrialState.PRUNED)
    assert build(folder)["history"] == [
        [1, 0.9],
        [2, 0.8],
        [3, 0.7],
        [5, 0.6],
        [6, 0.5],
        [7, 0.4],
    ]


def test_a_trial_still_running_counts_with_human_values(tmp_path: Path) -> None:
    folder = make_study(tmp_path / "open", [[0.7]], final=False)
    study = optuna.load_study(
        study_name="open",
        storage=JournalStorage(JournalFileBackend(str(folder / "journal.log"))),
    )
    trial = study.ask()
    gap = trial.suggest_float("one_minus_momentum", 0.01, 0.5, log=True)
    trial.report(0.3, 1)
    report = build(folder)
    assert report["best"]["number"] == 1
    assert report["best"]["params"] == {"momentum": pytest.approx(1 - gap)}
    assert report["trials"]["running"] == 1


def test_report_json_is_strict_and_what_was_returned(tmp_path: Path) -> None:
    folder = make_study(
        tmp_path / "nan", [[NAN, math.inf], [0.5]], pruned=[0], number=1
    )
    report = write(folder)

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    text = (folder / "report.json").read_text(encoding="utf-8")
    assert json.loads(text, parse_constant=refuse) == report
    assert report["trial_list"][0]["val_loss"] is None
    assert report["epochs_trained"] == 3
    assert (folder / "report.html").read_text(encoding="utf-8") == render(report)
    assert (folder / "report.html").read_text(encoding="utf-8") == render(
        json.loads(text)
    )


def test_writing_again_gives_the_same_files(tmp_path: Path) -> None:
    folder = make_study(tmp_path / "again", falling(12))
    write(folder)
    names = ("report.json", "report.html")
    before = [(folder / name).read_bytes() for name in names]
    write(folder)
    assert [(folder / name).read_bytes() for name in names] == before


def test_a_failed_write_leaves_the_old_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_study(tmp_path / "full", falling(2))
    write(folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


# ------------------------------------------------------------------ importance


def frozen(n: int, loss: Any) -> tuple[list[Any], dict[int, float]]:
    """``n`` random trials, and their losses by ``loss(lr, momentum)``."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    losses: dict[int, float] = {}
    for i in range(n):
        trial = study.ask()
        lr = trial.suggest_float("lr", 1e-4, 0.1, log=True)
        optimizer = trial.suggest_categorical("optimizer", ["sgd", "adam"])
        gap = 0.0
        if optimizer == "sgd":
            gap = trial.suggest_float("one_minus_momentum", 0.01, 0.5, log=True)
        trial.suggest_int("width", 16, 128, log=True)
        losses[i] = loss(lr, 1 - gap)
        trial.report(losses[i], 1)
        study.tell(trial, state=TrialState.PRUNED)
    return study.trials, losses


SPACE = Space({"momentum": OneMinusLogUniform(0.5, 0.99)})


def test_importance_finds_what_matters_among_stopped_trials() -> None:
    shares, reason = importance(
        *frozen(60, lambda lr, m: abs(math.log10(lr) + 2)), SPACE
    )
    assert reason == ""
    assert shares[0][0] == "lr"
    assert {name for name, _ in shares} == {"lr", "optimizer", "momentum", "width"}
    assert sum(share for _, share in shares) == pytest.approx(1)


@pytest.mark.parametrize("n", [0, 1, 2, 9])
def test_importance_of_few_trials_is_a_reason(n: int) -> None:
    shares, reason = importance(*frozen(n, lambda lr, m: lr), SPACE)
    assert shares == []
    assert f"there are {n}" in reason


def test_importance_of_equal_trials_is_a_reason() -> None:
    shares, reason = importance(*frozen(20, lambda lr, m: 0.5), SPACE)
    assert (shares, reason) == ([], "all trials ended with the same loss")


@pytest.mark.parametrize("n", [10, 11, 19])
def test_importance_stands_a_rare_condition(n: int) -> None:
    shares, _ = importance(*frozen(n, lambda lr, m: lr * m), SPACE)
    assert sum(share for _, share in shares) == pytest.approx(1)


# ------------------------------------------------------------------------ page


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


def test_finished_is_what_the_study_says_while_the_result_is_true(
    tmp_path: Path,
) -> None:
    report = build(make_study(tmp_path / "done", [[0.4], [0.5]]))
    assert report["finished"]
    assert report["earlier"] is None
    assert "going on or was stopped" not in Page(render(report)).text

    # The same figures, but the search went on after them.
    report = build(make_study(tmp_path / "on", [[0.4], [0.5]], finished=False))
    assert not report["finished"]
    assert report["test"]["error"] == 0.1
    text = Page(render(report)).text
    assert "going on or was stopped: these are the figures of trial 0" in text

    report = build(make_study(tmp_path / "none", [[0.4]], final=False, finished=True))
    assert not report["finished"]


def test_a_study_with_a_running_trial_is_unfinished(tmp_path: Path) -> None:
    folder = make_study(tmp_path / "runs", [[0.4]])
    study = optuna.load_study(
        study_name="runs",
        storage=JournalStorage(JournalFileBackend(str(folder / "journal.log"))),
    )
    study.ask()
    assert not build(folder)["finished"]


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


def test_scales_turn_stored_values_into_those_people_read() -> None:
    table = {
        "lr": {"scale": "log", "low": 1e-4, "high": 0.1},
        "beta2": {"scale": "one-minus-log", "low": 0.9, "high": 0.9999},
        "optimizer": ["adam", "sgd"],
        "dropout": 0.0,
    }
    stored = {"lr": 0.01, "one_minus_beta2": 0.001, "optimizer": "sgd", "dropout": 1}
    found = scales(table).from_stored(stored)
    assert found == {"lr": 0.01, "beta2": 0.999, "optimizer": "sgd"}


def test_many_trials_make_a_page_of_bounded_size(tmp_path: Path) -> None:
    report = build(make_study(tmp_path / "some", falling(12)))
    one = report["trial_list"][0]
    report["trial_list"] = [
        one | {"number": i, "begun": i + 1, "val_loss": 1 + i / 7} for i in range(5000)
    ]
    page = render(report)
    assert "100 best and an even sample" in page
    assert len(page) < 400_000


# ---------------------------------------------------------------- command line


def test_the_command_makes_both_files_again(tmp_path: Path) -> None:
    folder = make_study(tmp_path / "toy", falling(2))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tunekit.report", str(folder)],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        cwd=Path(__file__).parents[1],
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "2 trials" in done.stdout
    assert (folder / "report.json").exists()
    assert (folder / "report.html").exists()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("study.toml", None),
        ("split.json", None),
        ("journal.log", None),
        ("journal.log", ""),
        ("journal.log", '{"op_code": 0}\n'),
        ("journal.log", "not json\nat all\n"),
        ("journal.log", '"text"\n'),
        ("journal.log", '{"op_code": 99, "worker_id": "x"}\n'),
        ("study.toml", "torn = "),
        ("split.json", '{"torn": '),
        ("split.json", "[1]"),
        ("final.json", "\x00\x01"),
        ("final.json", "{}"),
        ("final.json", '{"number": 0}'),
        ("study.toml", "[space]\nlr = { scale = 'cubic', low = 1, high = 2 }\n"),
        ("study.toml", "[space]\nlr = { low = 1 }\n"),
    ],
)
def test_what_is_no_study_gets_one_line(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    content: str | None,
) -> None:
    folder = make_study(tmp_path / "toy", falling(2))
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_text(content, encoding="utf-8")
    before = {path.name for path in folder.iterdir()}
    assert main([str(folder)]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("\n") == 1
    assert told.err.startswith("error: ")
    assert name in told.err
    assert {path.name for path in folder.iterdir()} == before


def test_a_folder_that_is_not_there_gets_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path / "absent")]) == 2
    assert "is no study folder" in capsys.readouterr().err
    assert not (tmp_path / "absent").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "the following arguments are required: folder"),
        (["n" * 300], "File name too long"),
        (["a", "--fodler"], 'unknown option "fodler"'),
        (["a", "b"], 'unexpected argument "b"'),
        (["a\x1b[2J\nb"], r"a\x1b[2J\nb is no study folder"),
    ],
)
def test_the_command_refuses_in_one_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert main(arguments) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("error: ")
    assert told.err.count("\n") == 1
    assert "\x1b" not in told.err
    assert words in told.err


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
def test_a_report_that_cannot_be_written_is_one_line(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = make_study(tmp_path / "toy", falling(2))

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert main([str(folder)]) == 2
    told = capsys.readouterr().err
    assert told == "error: cannot be written (No space left on device)\n"


def test_the_commands_words_fit_any_terminal(tmp_path: Path) -> None:
    folder = make_study(tmp_path / "данные", falling(2))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tunekit.report", str(folder)],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "cp1252"},
        timeout=240,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert rb"\u0434" in done.stdout


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_an_interrupt_ends_the_command_without_a_traceback(tmp_path: Path) -> None:
    # A file is a pipe that nobody writes into: the command waits for it.
    folder = make_study(tmp_path / "toy", falling(1))
    (folder / "split.json").unlink()
    os.mkfifo(folder / "split.json")
    process = subprocess.Popen(
        [sys.executable, "-m", "tunekit.report", str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    # Opening for writing returns once the command reads, thus listens to signals.
    with process, (folder / "split.json").open("w"):
        process.send_signal(signal.SIGINT)
        out, told = process.communicate(timeout=240)
    assert (process.returncode, out, told) == (130, "", "\nstopped\n")


def test_errors_are_of_the_two_kinds(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        build(tmp_path)
    folder = make_study(tmp_path / "toy", falling(1))
    (folder / "split.json").write_text("{", encoding="utf-8")
    with pytest.raises(DataError):
        build(folder)


# ------------------------------------------------------------------------ axes

SCALES = ["uniform", "int", "log", "int-log", "one-minus-log"]


@st.composite
def ranges(draw: st.DrawFn) -> tuple[str, float, float]:
    """A scale and two ends that it may have."""
    scale = draw(st.sampled_from(SCALES))
    if scale in ("int", "int-log"):
        least = draw(st.integers(1, 1000))
        return scale, least, least + draw(st.integers(1, 100_000))
    if scale == "one-minus-log":
        gap = 10 ** draw(st.floats(-6, -0.1))
        return scale, 1 - min(0.999, gap * 10 ** draw(st.floats(0.01, 4))), 1 - gap
    low = 10 ** draw(st.floats(-9, 3))
    return scale, low, low * 10 ** draw(st.floats(0.01, 8))


@given(ranges(), st.integers(2, 9))
def test_ticks_are_few_rising_and_inside(
    ends: tuple[str, float, float], most: int
) -> None:
    scale, low, high = ends
    found = ticks(low, high, scale, most)
    room = 1e-6 * (high - low)
    assert 1 <= len(found) <= most
    assert found == sorted(set(found))
    assert low - room <= found[0] <= found[-1] <= high + room
    if scale in ("int", "int-log"):
        assert all(value == int(value) for value in found)


@given(ranges(), st.floats(0, 1), st.floats(0, 1))
def test_places_keep_the_order(
    ends: tuple[str, float, float], a: float, b: float
) -> None:
    scale, low, high = ends
    axis = Axis(title="x", scale=scale, low=low, high=high)
    first, second = sorted((low + a * (high - low), low + b * (high - low)))
    assert 0 <= axis.place(first) <= axis.place(second) <= 1
    assert axis.place(low) == 0
    assert axis.place(high) == 1


@given(st.floats(-1e300, 1e300))
def test_numbers_keep_four_digits(value: float) -> None:
    assert float(number(value)) == pytest.approx(value, rel=1e-3)


@given(st.floats(-6, -0.31))
def test_values_near_one_keep_their_gap(exponent: float) -> None:
    value = 1 - 10**exponent
    shown = float(value_text(value, "one-minus-log"))
    assert 1 - shown == pytest.approx(10**exponent, rel=0.01)
