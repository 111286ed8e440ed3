"""A model of a table, watched to the end of its budget, gone on with, and refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tunekit.babysit import babysit_table, main
from tunekit.data import load
from tunekit.predict import Predictor
from tunekit.study import main as study

from .conftest import Call, came_to, course, csv, history, one_line, rounds

EPOCHS = "30"


def records(folder: Path) -> list[tuple[int, dict[str, float]]]:
    """Step and values of every event of the one file in a folder."""
    (path,) = folder.iterdir()
    return records_of(path)


def records_of(path: Path) -> list[tuple[int, dict[str, float]]]:
    """The same of a file."""
    from tensorboard.backend.event_processing.event_file_loader import (
        LegacyEventFileLoader,
    )
    from tensorboard.util.tensor_util import make_ndarray

    found = []
    for event in LegacyEventFileLoader(str(path)).Load():
        values = {v.tag: float(make_ndarray(v.tensor)) for v in event.summary.value}
        if values:
            found.append((event.step, values))
    return found


def test_a_model_is_watched_to_the_end_of_its_budget(
    call: Call, runs: Path, table_csv: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("--budget-epochs", EPOCHS) == 0
    out, err = capsys.readouterr()
    assert err == ""
    folder = runs / "model"
    report = json.loads((folder / "report.json").read_text())
    best = report["best"]
    assert f"lowest validation loss {best['value']:.4f}" in out
    assert report["epochs_trained"] == 30
    # One source: the numbers of the report are those of the history.
    lines = rounds(folder)
    assert [line["round"] for line in lines] == [*range(1, len(lines) + 1)]
    values = [b["val"] for line in lines for b in line["branches"]]
    assert sum(map(len, values)) == 30 == lines[-1]["spent"]
    kept = {b["to"]: b["val"] for line in lines for b in line["branches"]}
    last = kept[course(folder)["best_at"]]
    assert best["value"] == min(last)
    # The very epoch, of all on the way to it.
    way = sum(s["epochs"] for s in report["schedule"])
    assert best["epoch"] == way - len(last) + last.index(min(last)) + 1
    assert report["ended"]
    assert "still being trained" not in (folder / "report.html").read_text()
    assert report["test"]["rows"] == 24
    page = (folder / "report.html").read_text()
    assert page.count("<svg") == 5
    assert "steer.toml" in page or "--replay" in page
    # The model's own validation loss, computed from what was saved.
    table = load(table_csv, target="kind", split=(0.6, 0.2, 0.2), seed=0)
    predictor = Predictor.load(folder)
    valid = pd.read_csv(table_csv).iloc[table.split["validation"]]
    probabilities = predictor.predict_proba(valid.drop(columns="kind"))
    right = probabilities[np.arange(len(valid)), table.y_valid]
    assert -np.log(right).mean() == pytest.approx(best["value"], rel=1e-5)


def test_tensorboard_reads_the_line_the_best_and_what_was_tried(
    call: Call, runs: Path
) -> None:
    assert call("--budget-epochs", EPOCHS) == 0
    tb, lines = runs / "model" / "tb", rounds(runs / "model")
    line = records(tb / "line")
    knobs = {f"hyperparameter/{name}" for name in lines[0]["branches"][0]["settings"]}
    assert all(
        set(values) == {"loss/train", "loss/val", "score/val"} | knobs
        for _, values in line
    )
    assert not any(each["doing"] == "rescue" for each in lines)
    drawn = [value for each in lines for value in each["branches"][each["kept"]]["val"]]
    assert [v["loss/val"] for _, v in line] == pytest.approx(drawn, rel=1e-6)
    steps = [step for step, _ in line]
    assert steps == sorted(set(steps))
    assert steps[-1] == 30
    best = [values["loss/val"] for _, values in records(tb / "best")]
    assert best == sorted(best, reverse=True)
    assert best == pytest.approx([each["best"] for each in lines], rel=1e-6)
    given_up = sum(len(e["branches"]) - 1 for e in lines)
    assert len(records(tb / "tried")) == given_up > 0


def test_what_is_looked_at_meanwhile_goes_on_where_a_process_ended(
    call: Call, runs: Path
) -> None:
    assert call("--budget-epochs", "12") == 0
    best = runs / "model" / "tb" / "best"
    (first,) = best.iterdir()
    kept = first.read_bytes()
    assert call("--budget-epochs", EPOCHS) == 0
    # Nothing that is open elsewhere is written anew, and nothing is drawn twice.
    assert first.read_bytes() == kept
    before, after = sorted(best.iterdir())
    assert before == first
    found = [step for path in (before, after) for step, _ in records_of(path)]
    assert found == sorted(set(found))
    assert found == [line["spent"] for line in rounds(runs / "model")]
    # What a kill kept from being drawn is drawn by the next process.
    after.unlink()
    assert call("--budget-epochs", EPOCHS) == 0
    before, after = sorted(best.iterdir())
    found = [step for path in (before, after) for step, _ in records_of(path)]
    assert found == [line["spent"] for line in rounds(runs / "model")]


def test_the_same_command_says_the_same_and_a_larger_budget_goes_on(
    call: Call, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("--budget-epochs", "20") == 0
    first = capsys.readouterr().out.splitlines()
    before = came_to(runs / "model")
    assert call("--budget-epochs", "20") == 0
    second = capsys.readouterr().out.splitlines()
    assert second[-4:] == first[-4:]
    assert "going on after 20 epochs" in second
    assert came_to(runs / "model") == before
    # A smaller one is spent already.
    assert call("--budget-epochs", "5") == 0
    assert came_to(runs / "model") == before
    assert call("--budget-epochs", "32") == 0
    lines = history(runs / "model")
    assert lines[: len(before[0])] == before[0]
    assert lines[-1]["spent"] == 32
    assert lines[-1]["best"] <= before[0][-1]["best"]


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--set", "lr=0.02"], "begun with recipe lr=0.003, now lr=0.02"),
        (["--set", "lr=1e-4..1e-2"], "begun with ranges lr="),
        (["--interval", "3"], "begun with interval 6, now 3"),
        (["--split", "50/25/25"], "begun with split"),
        (["--seed", "1"], "begun with seed 0, now 1"),
    ],
)
def test_what_was_begun_otherwise_is_refused_with_another_name(
    call: Call,
    runs: Path,
    more: list[str],
    told: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert call("--budget-epochs", "3") == 0
    before = came_to(runs / "model")
    capsys.readouterr()
    assert call("--budget-epochs", "9", *more) == 2
    line = one_line(capsys)
    assert told in line
    assert "--name model-2" in line
    assert came_to(runs / "model") == before


def test_other_rows_in_the_same_file_are_refused(
    call: Call, table_csv: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("--budget-epochs", "3") == 0
    csv(table_csv, seed=1)
    capsys.readouterr()
    assert call("--budget-epochs", "9") == 2
    line = one_line(capsys)
    assert "other data" in line
    assert "--name model-2" in line


def test_a_folder_of_something_else_is_refused(
    call: Call, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (runs / "model").mkdir(parents=True)
    (runs / "model" / "thesis.tex").write_text("mine")
    assert call("--budget-epochs", "3") == 2
    assert "other files (thesis.tex)" in one_line(capsys)
    assert [p.name for p in (runs / "model").iterdir()] == ["thesis.tex"]


def test_a_study_and_a_babysat_model_do_not_share_a_folder(
    call: Call, table_csv: Path, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ["--data", str(table_csv), "--target", "kind", "--out", str(runs)]
    small = ["--n-trials", "1", "--max-epochs", "2", "--final-seeds", "1"]
    assert study([*data, *small, "--set", "width=8", "--name", "model"]) == 0
    capsys.readouterr()
    assert call("--budget-epochs", "3") == 2
    assert "must be new or a babysat model" in one_line(capsys)
    assert call("--budget-epochs", "3", name="other") == 0
    capsys.readouterr()
    assert study([*data, *small, "--name", "other"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_from_python_it_is_the_same_model(
    call: Call, table_csv: Path, runs: Path
) -> None:
    assert call("--budget-epochs", "9") == 0
    report = babysit_table(
        data=table_csv,
        target="kind",
        space={"width": 8, "batch_size": 32},
        budget_epochs=9,
        out=runs,
        name="python",
    )
    assert came_to(runs / "python") == came_to(runs / "model")
    assert report["best"] == came_to(runs / "model")[3]["best"]


def test_without_a_budget_it_ends_at_its_time(call: Call, runs: Path) -> None:
    assert call("--timeout", "5s") == 0
    first = rounds(runs / "model")
    assert first[-1]["doing"] == "cool"
    assert call("--timeout", "4s") == 0
    assert len(rounds(runs / "model")) > len(first)


def test_what_never_comes_to_a_number_ends_with_a_line(
    call: Call, capsys: pytest.CaptureFixture[str]
) -> None:
    huge = ["optimizer=sgd", "lr=1000", "weight_decay=1.0", "batch_size=4"]
    begun = [word for each in huge for word in ("--set", each)]
    held = ["--hold", "lr,momentum,weight_decay"]
    assert call(*begun, *held, "--budget-epochs", "200") == 3
    assert "begin with a lower learning rate" in one_line(capsys)


def test_help_names_the_files(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    for word in ("steer.toml", "tb", "--replay", "--budget-epochs", "--study"):
        assert word in said
