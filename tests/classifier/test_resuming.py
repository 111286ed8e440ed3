"""A classifier with ``out``: its study goes on, is returned again, or is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tunekit import Predictor, ResumeError
from tunekit.classifier import job

from .conftest import small

People = tuple[pd.DataFrame, pd.Series]


def told(model: Any) -> list[Any]:
    return [
        (t.number, t.state, t.params, t.intermediate_values)
        for t in model.result_.study.trials
    ]


def test_a_study_that_has_ended_is_returned_without_training(
    people: People, tmp_path: Path, monkeypatch: Any
) -> None:
    kept: dict[str, Any] = {"out": tmp_path, "name": "people"}
    first = small(**kept).fit(*people)
    assert first.result_.folder == tmp_path / "people"
    monkeypatch.setattr(job, "work", None)
    monkeypatch.setattr(job, "Trainer", None)
    again = small(**kept).fit(*people)
    assert told(again) == told(first)
    assert np.array_equal(
        again.predict_proba(people[0]), first.predict_proba(people[0])
    )
    # Its model is one that the command line predicts with.
    loaded = Predictor.load(tmp_path / "people")
    assert np.array_equal(
        loaded.predict_proba(people[0]), first.predict_proba(people[0])
    )
    assert loaded.classes_.tolist() == ["no", "yes"]


def test_its_report_says_that_no_rows_tested_it(people: People, tmp_path: Path) -> None:
    small(out=tmp_path, name="people").fit(*people)
    found = json.loads((tmp_path / "people" / "report.json").read_text("utf-8"))
    assert found["finished"]
    assert (found["test"], found["data"]["split"]["test"]) == (None, 0)
    assert found["engine"] == "vectorized"
    assert found["seconds"] > 0
    page = (tmp_path / "people" / "report.html").read_text("utf-8")
    assert "Of 3 configurations, trial" in page
    assert "on rows of your own" in page
    assert "unfinished" not in page
    (tmp_path / "people" / "report.html").unlink()
    small(out=tmp_path, name="people").fit(*people)
    assert (tmp_path / "people" / "report.html").read_text("utf-8") == page


def test_on_disk_and_in_memory_the_same_is_found(
    people: People, tmp_path: Path
) -> None:
    kept, plain = small(out=tmp_path).fit(*people), small().fit(*people)
    assert told(kept) == told(plain)
    assert kept.result_.history == plain.result_.history
    assert np.array_equal(kept.predict_proba(people[0]), plain.predict_proba(people[0]))


def test_ctrl_c_loses_nothing(people: People, tmp_path: Path, monkeypatch: Any) -> None:
    whole = small(n_trials=6).fit(*people)
    real = job.Setup.engine

    def engine(setup: Any) -> Any:
        made, tell = real(setup), []
        train_all = made.train_all

        def stopped(feed: Any, slots: int) -> None:
            epochs = feed.epochs

            def hear(heard: Any) -> Any:
                tell.append(heard)
                if len(tell) == 5:
                    raise KeyboardInterrupt
                return epochs(heard)

            feed.epochs = hear
            train_all(feed, slots)

        made.train_all = stopped
        return made

    with monkeypatch.context() as patch:
        patch.setattr(job.Setup, "engine", engine)
        with pytest.raises(KeyboardInterrupt):
            small(n_trials=6, out=tmp_path).fit(*people)
    goes_on = small(n_trials=6, out=tmp_path).fit(*people)
    assert told(goes_on) == told(whole)
    assert np.array_equal(
        goes_on.predict_proba(people[0]), whole.predict_proba(people[0])
    )


def test_a_larger_budget_searches_on(people: People, tmp_path: Path) -> None:
    first = small(out=tmp_path).fit(*people)
    more = small(n_trials=5, out=tmp_path).fit(*people)
    assert len(first.result_.trials) == 3
    assert len(more.result_.trials) == 5
    assert more.result_.best_value <= first.result_.best_value


def test_another_metric_chooses_anew_without_a_search(
    people: People, tmp_path: Path, monkeypatch: Any
) -> None:
    first = small(out=tmp_path).fit(*people)
    monkeypatch.setattr(job, "work", None)
    again = small(out=tmp_path, metric="accuracy").fit(*people)
    assert told(again) == told(first)
    assert again.result_.model["metric"] == "accuracy"


def test_without_a_seed_a_study_goes_on_with_its_own(
    people: People, tmp_path: Path
) -> None:
    first = small(out=tmp_path, random_state=None).fit(*people)
    again = small(out=tmp_path, random_state=None).fit(*people)
    assert told(again) == told(first)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"random_state": 1}, "other data|seed 0, now 1"),
        ({"valid_share": 0.3}, "split 0.8/0.2, now 0.7/0.3"),
        ({"space": {"dropout": 0}}, "another space \\(dropout"),
        ({"max_epochs": 13}, "max-epochs 12, now 13"),
    ],
    ids=str,
)
def test_another_study_is_refused(
    people: People, tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    small(n_trials=1, out=tmp_path).fit(*people)
    with pytest.raises(ResumeError, match=words) as refused:
        small(n_trials=1, out=tmp_path, **change).fit(*people)
    assert str(refused.value).endswith('such as name="classifier-2"')


def test_other_rows_are_refused(people: People, tmp_path: Path) -> None:
    frame, answer = people
    small(n_trials=1, out=tmp_path).fit(frame, answer)
    model = small(n_trials=1, out=tmp_path)
    for rows in (frame.assign(age=frame["age"] + 1), frame.drop(columns="size")):
        with pytest.raises(ResumeError, match="other data"):
            model.fit(rows, answer)
    with pytest.raises(ResumeError, match="other data"):
        model.fit(frame, answer.iloc[::-1].to_numpy())
