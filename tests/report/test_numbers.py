"""Every number of a report comes from the folder."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from tunekit.report import build, render, write
from tunekit.report.searched import scales

from .conftest import NAN, Page, falling, make_study


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
    (error,) = report["errors"]
    assert (error["number"], error["error"]) == (3, "RuntimeError: plain")
    assert error["traceback"] == "Traceback:\n  in f\nplain"
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
