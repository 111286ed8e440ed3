"""What can be asked of a babysat model, on the command line and in a file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tunekit.babysit import main
from tunekit.babysit.folder import Folder
from tunekit.babysit.options import Options
from tunekit.errors import TunekitError
from tunekit.study import main as study

from .conftest import Call, csv, history, one_line, rounds


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--interval", "0"], "interval must be at least 1, got 0"),
        (["--interval", "six"], "interval must be a whole number, got 'six'"),
        (["--burst", "-1"], "burst must be at least 1"),
        (["--nudges", "1.5"], "nudges must be a whole number"),
        (["--patience", "0"], "patience must be at least 1"),
        (["--budget-epochs", "0"], "budget-epochs must be at least 1"),
        (["--timeout", "soon"], "timeout"),
        (["--set", "lr"], "--set must be NAME=VALUE"),
        (["--set", "lr="], "--set must be NAME=VALUE"),
        (["--set", "lr=fast"], 'space "lr"'),
        (["--set", "lrr=0.1"], 'did you mean "lr"?'),
        (["--set", "activation=relu,gelu"], "one model has one value"),
        (["--set", "width=8..64"], "only what can change in a running model"),
        (["--set", "momentum=0.8..0.99"], "only what can change in a running model"),
        (["--set", "lr=1e-1..1e-4"], "low must be below high"),
        (["--set", "schedule=cosine"], 'space "schedule"'),
        (["--hold", "width"], "hold must name what can change"),
        (["--hold", "dropuot"], 'did you mean "dropout"?'),
        (["--intervall", "3"], 'did you mean "interval"?'),
        (["--n-trials", "3"], "n-trials"),
        (["--target", "nothing"], "nothing"),
        (["--data", "nowhere.csv"], "nowhere.csv"),
        (["--study", "nowhere"], "must be a study folder, got no study.toml"),
        (["--config", "nowhere.toml"], "nowhere.toml"),
        (["--accelerator", "abacus"], "accelerator"),
        (["--engine", "steam"], "engine"),
        (["--split", "90/10"], "split"),
        (["--name", "a/b"], "name"),
    ],
)
def test_whatever_is_wrong_is_one_line(
    call: Call,
    runs: Path,
    more: list[str],
    told: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert call(*more) == 2
    assert told in one_line(capsys)
    assert not runs.exists()


@pytest.mark.parametrize(
    "given",
    [
        {"interval": True},
        {"interval": None},
        {"n_trials": 3},
        {"space": {"lr": [0.1, 0.2]}},
        {"hold": ["nothing"]},
        {"budget_epochs": "many"},
    ],
)
def test_from_python_what_is_wrong_is_one_line(given: dict[str, object]) -> None:
    with pytest.raises(TunekitError) as caught:
        Options.from_mapping(given)
    assert "\n" not in str(caught.value)


def test_a_range_is_kept_to_and_a_value_begins_within_it(
    call: Call, runs: Path
) -> None:
    words = ["--set", "lr=1e-3..2.5e-3", "--set", "dropout=0.5", "--hold", "dropout"]
    assert call(*words, "--budget-epochs", "50", "--interval", "2") == 0
    branches = [
        b["settings"]
        for r in rounds(runs / "model")
        if r["doing"] != "cool"
        for b in r["branches"]
    ]
    assert branches[0]["lr"] == 2.5e-3
    assert all(1e-3 <= each["lr"] <= 2.5e-3 for each in branches)
    assert len({each["lr"] for each in branches}) > 1
    assert {each["dropout"] for each in branches} == {0.5}


def test_another_hold_holds_from_then_on(call: Call, runs: Path) -> None:
    assert call("--budget-epochs", "12", "--interval", "2") == 0
    held = ["--hold", "lr,dropout,weight_decay"]
    assert call("--budget-epochs", "40", "--interval", "2", *held) == 0
    lines = rounds(runs / "model")
    now = [line for line in lines if line["spent"] > 12]
    seen = [{b["settings"]["lr"] for b in line["branches"]} for line in now]
    assert len(set().union(*seen)) == 1
    before = [b["settings"]["lr"] for r in lines[: -len(now)] for b in r["branches"]]
    assert len(set(before)) > 1
    said = [line for line in history(runs / "model") if "edit" in line]
    assert [line["edit"] for line in said] == [
        {"hold": ["lr", "dropout", "weight_decay"]}
    ]
    assert said[0]["spent"] == 12
    # Once more with the same: nothing is asked for anew.
    assert call("--budget-epochs", "42", "--interval", "2", *held) == 0
    assert [line for line in history(runs / "model") if "edit" in line] == said


def test_a_file_says_the_same_as_the_command_line(
    table_csv: Path, tmp_path: Path
) -> None:
    (tmp_path / "watch.toml").write_text(
        f'data = "{table_csv.as_posix()}"\ntarget = "kind"\ninterval = 4\n'
        f'out = "{(tmp_path / "runs").as_posix()}"\nname = "filed"\n'
        'budget_epochs = 7\nhold = ["lr"]\n'
        '[space]\nwidth = 8\nlr = 0.01\ndropout = "0.1..0.3"\n'
    )
    assert main(["--config", str(tmp_path / "watch.toml"), "--patience", "3"]) == 0
    found = Folder(tmp_path / "runs" / "filed").settings()
    assert (found["interval"], found["patience"], found["hold"]) == (4, 3, ["lr"])
    assert (found["recipe"]["width"], found["recipe"]["lr"]) == (8, 0.01)
    assert found["ranges"]["dropout"] == [0.1, 0.3]
    assert rounds(tmp_path / "runs" / "filed")[-1]["spent"] == 7


def test_a_file_with_a_wrong_key_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "watch.toml").write_text("intervall = 4\n")
    assert main(["--config", str(tmp_path / "watch.toml")]) == 2
    assert 'unknown option "intervall"; did you mean "interval"?' in one_line(capsys)


def test_a_study_s_winner_is_trained_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows, out = csv(tmp_path / "rows.csv"), ["--out", str(tmp_path / "runs")]
    data = [
        "--data",
        str(rows),
        "--target",
        "kind",
        "--seed",
        "3",
        "--split",
        "50/25/25",
    ]
    small = ["--n-trials", "2", "--max-epochs", "3", "--final-seeds", "1"]
    assert study([*data, *small, *out, "--set", "width=8..16", "--name", "many"]) == 0
    folder = tmp_path / "runs" / "many"
    winner = json.loads((folder / "model" / "model.json").read_text())["recipe"]
    one = ["--study", str(folder), *out, "--budget-epochs", "5"]
    assert main(one) == 0
    found = Folder(tmp_path / "runs" / "rows-babysat").settings()
    assert found["recipe"] == {**winner, "schedule": "constant"}
    assert (found["seed"], found["target"], found["data"]) == (3, "kind", str(rows))
    same = [
        json.loads((tmp_path / "runs" / name / "split.json").read_text())
        for name in ("many", "rows-babysat")
    ]
    assert same[0]["validation"] == same[1]["validation"]
    first = rounds(tmp_path / "runs" / "rows-babysat")[0]["branches"][0]
    assert first["settings"]["lr"] == winner["lr"]
    # What is said beside it goes before.
    capsys.readouterr()
    assert main([*one, "--set", "lr=0.02", "--name", "said"]) == 0
    assert Folder(tmp_path / "runs" / "said").settings()["recipe"]["lr"] == 0.02
    (folder / "model" / "model.json").write_text("{}")
    assert main([*one, "--name", "damaged"]) == 2
    assert str(folder) in one_line(capsys)


def test_the_defaults_are_those_of_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    options = Options.from_mapping({})
    with pytest.raises(SystemExit):
        main(["--help"])
    said = " ".join(capsys.readouterr().out.split())
    for words, value in (
        ("epochs between two nudges", options.interval),
        ("epochs a nudge is tried for", options.burst),
        ("nudges tried beside what is", options.nudges),
        ("intervals without gain until it is flat", options.patience),
    ):
        assert f"{words} [{value}]" in said
    assert options.config.name == "digits-babysat"
