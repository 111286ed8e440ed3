"""The main job as people start it: a process, its output, its exit code, its files.

Where its start matters, and its time or its end by a signal, it starts from nothing;
else it is forked.
"""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from forked import python

SMALL = ["--max-epochs", "3", "--final-seeds", "2", "--set", "width=8..16"]


def start(module: str, *arguments: str, cwd: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-m", module, *arguments],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "COLUMNS": "100"},
    )


def started(module: str, *arguments: str, cwd: Path) -> tuple[int, str, str]:
    """From nothing, to its end."""
    process = start(module, *arguments, cwd=cwd)
    out, err = process.communicate(timeout=240)
    return process.returncode, out, err


def call(module: str, *arguments: str, cwd: Path) -> tuple[int, str, str]:
    """Forked, to its end."""
    env = {**os.environ, "COLUMNS": "100"}
    done = python("-m", module, *arguments, cwd=cwd, env=env)
    return done.returncode, done.stdout, done.stderr


def refused(cwd: Path, *arguments: str) -> str:
    """The one line of a refusal; nothing may be written."""
    before = sorted(cwd.rglob("*"))
    code, out, err = call("tunekit.study", *arguments, cwd=cwd)
    assert code == 2, (code, out, err)
    assert err.count("\n") == 1, err
    assert "Traceback" not in err
    assert sorted(cwd.rglob("*")) == before
    return err


def table(path: Path, n: int = 60, **columns: object) -> Path:
    rng = np.random.default_rng(0)
    x = rng.normal(size=n)
    frame = pd.DataFrame({"x": x, "y": np.where(x > 0, "up", "down")})
    for name, values in columns.items():
        frame[name] = values
    frame.to_csv(path, index=False)
    return path


# --- what people see first ---


def timed(module: str, *arguments: str, cwd: Path) -> float:
    """Wall seconds of a call that must succeed: what this machine takes just now."""
    began = time.monotonic()
    code, _, err = started(module, *arguments, cwd=cwd)
    assert code == 0, err
    return time.monotonic() - began


def test_help_is_a_page_and_quick(tmp_path: Path) -> None:
    began = time.monotonic()
    code, out, err = started("tunekit.study", "--help", cwd=tmp_path)
    seconds = time.monotonic() - began
    assert (code, err) == (0, "")
    assert "--n-trials" in out
    assert "examples:" in out
    # Alone it takes a fifth of a second, four times what Python's own page of help
    # takes; what a search imports takes seconds. Generous against a busy machine.
    assert seconds < max(3, 20 * timed("json.tool", "--help", cwd=tmp_path))


def test_help_imports_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from tunekit.study import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'pandas', 'optuna', 'sklearn', 'tensorboard'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False)
    assert done.returncode == 0


def test_dry_run_shows_the_plan_and_writes_nothing(tmp_path: Path) -> None:
    code, out, err = call("tunekit.study", "--dry-run", cwd=tmp_path)
    assert (code, err) == (0, "")
    assert "1,797 rows" in out
    assert "momentum" in out
    assert "one-minus-log" in out
    assert "expected time" in out
    assert not [*tmp_path.iterdir()]


# --- the whole way ---


def test_a_study_on_the_embedded_table(tmp_path: Path) -> None:
    arguments = ["--n-trials", "3", *SMALL]
    code, out, err = started("tunekit.study", *arguments, cwd=tmp_path)
    assert (code, err) == (0, "")
    assert "test accuracy" in out
    assert "python -m tunekit.predict runs/digits" in out
    folder = tmp_path / "runs" / "digits"
    report = json.loads((folder / "report.json").read_text())
    assert report["trials"]["total"] == 3
    assert report["test"]["seeds"] == 2
    assert report["test"]["rows"] == 359
    assert set(report["baselines"]) == {
        "majority class",
        "softmax regression",
        "default recipe",
    }
    assert "<script" not in (folder / "report.html").read_text()
    assert (folder / "model" / "model.safetensors").exists()
    assert len([*(folder / "tb").glob("trial-*")]) == 3
    assert not [*(folder / "leases").glob("trial-*")]

    # The same command again: the result, at once, and how to search on.
    stamp = (folder / "report.json").stat().st_mtime_ns
    code, again, _ = call("tunekit.study", *arguments, cwd=tmp_path)
    assert code == 0
    assert "test accuracy" in again
    assert "--n-trials 6" in again
    assert (folder / "report.json").stat().st_mtime_ns == stamp

    # A larger budget continues; the trials so far are kept as they are.
    code, more, _ = call("tunekit.study", "--n-trials", "4", *SMALL, cwd=tmp_path)
    assert code == 0
    grown = json.loads((folder / "report.json").read_text())
    assert grown["trials"]["total"] == 4
    assert grown["trial_list"][:3] == report["trial_list"]
    assert "in_flight = 2\n" in (folder / "study.toml").read_text()
    assert "going on with the 3 trials" in more

    # Another space, seed or table under the same name is refused in one line.
    for other in (["--seed", "1"], ["--set", "lr=1e-3..1e-2"]):
        line = refused(tmp_path, "--n-trials", "4", *SMALL, *other)
        assert "choose another name, such as --name digits-2" in line
    csv = table(tmp_path / "other.csv")
    line = refused(
        tmp_path, "--data", str(csv), "--target", "y", "--name", "digits", *SMALL
    )
    assert "other data" in line


def test_prediction_reproduces_the_models_error_exactly(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    n = 300
    frame = pd.DataFrame(
        {
            "age": rng.normal(40, 12, n).round(1),
            "town": rng.choice(["Ulm", "Köln", "São Paulo", ""], n),
            "member": rng.choice(["true", "false"], n),
            "since": pd.date_range("2020-01-01", periods=n).astype(str),
        }
    )
    frame["class"] = np.where(
        frame["age"] + 10 * (frame["town"] == "Ulm") > 42, "01", "<b>é"
    )
    frame.loc[::17, "age"] = np.nan
    frame.to_csv(tmp_path / "people.csv", index=False)
    arguments = ["--data", "people.csv", "--target", "class", "--n-trials", "2"]
    code, _, err = call("tunekit.study", *arguments, *SMALL, cwd=tmp_path)
    assert code == 0, err
    folder = tmp_path / "runs" / "people"
    report = json.loads((folder / "report.json").read_text())
    raw = pd.read_csv(tmp_path / "people.csv", dtype=str, keep_default_na=False)
    rows = raw.iloc[json.loads((folder / "split.json").read_text())["test"]]
    rows.drop(columns="class").to_csv(tmp_path / "rows.csv", index=False)
    code, _, err = call(
        "tunekit.predict", "runs/people", "rows.csv", "-o", "out.csv", cwd=tmp_path
    )
    assert (code, err) == (0, "")
    out = pd.read_csv(tmp_path / "out.csv", dtype={"prediction": str})
    assert list(out) == ["prediction", "probability_01", "probability_<b>é"]
    wrong = out["prediction"].to_numpy() != rows["class"].to_numpy()
    assert wrong.mean() == report["model"]["error"]
    assert out.iloc[:, 1:].sum(axis=1).to_numpy() == pytest.approx(1.0)

    (tmp_path / "bad.csv").write_text(
        "age,town,member,since\nold,Ulm,true,2020-01-01\n"
    )
    code, out_text, err = call(
        "tunekit.predict", "runs/people", "bad.csv", cwd=tmp_path
    )
    assert (code, out_text) == (2, "")
    assert 'column "age"' in err
    assert '"old"' in err
    assert err.count("\n") == 1


@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX's")
def test_stopped_with_ctrl_c_and_started_again_nothing_differs(tmp_path: Path) -> None:
    arguments = ["--n-trials", "6", "--max-epochs", "40", "--final-seeds", "1"]
    arguments += ["--patience", "40", "--pruner", "none", "--set", "width=8..16"]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir(), broken.mkdir()
    seconds = timed("tunekit.study", *arguments, cwd=whole)

    journal = broken / "runs" / "digits" / "journal.log"
    for _ in range(2):
        before = lines_of(journal)
        process = start("tunekit.study", *arguments, cwd=broken)
        # Six trials of 16 lines or more, some attributes, then six lines a round.
        wait_for_lines(journal, before + (40 if before else 140), process)
        process.send_signal(signal.SIGINT)
        stopped = time.monotonic()
        _, err = process.communicate(timeout=240)
        # At once; on a slow machine still sooner than everything would take.
        assert time.monotonic() - stopped < max(10, seconds)
        assert process.returncode == 130, err
        assert "the same command goes on" in err
    before = lines_of(journal)
    process = start("tunekit.study", *arguments, cwd=broken)
    wait_for_lines(journal, before + 20, process)
    process.terminate()
    _, err = process.communicate(timeout=240)
    assert process.returncode == 143, err
    assert call("tunekit.study", *arguments, cwd=broken)[0] == 0

    first, second = (
        json.loads((at / "runs/digits/report.json").read_text())
        for at in (whole, broken)
    )
    assert second["trials"]["running"] == 0
    timeless = [[drop_times(t) for t in r["trial_list"]] for r in (first, second)]
    assert timeless[0] == timeless[1]
    assert first["test"] == second["test"]
    assert first["model"] == second["model"]


def lines_of(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def wait_for_lines(path: Path, n: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        if lines_of(path) >= n:
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    raise AssertionError(f"{path} never had {n} lines")


def drop_times(trial: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in trial.items() if name != "seconds"}


def test_two_workers_share_one_study(tmp_path: Path) -> None:
    arguments = ["--n-trials", "5", "--workers", "2", *SMALL, "--sampler", "random"]
    code, out, err = call("tunekit.study", *arguments, cwd=tmp_path)
    assert (code, err) == (0, ""), out
    report = json.loads((tmp_path / "runs/digits/report.json").read_text())
    assert report["trials"]["total"] == 5
    assert report["trials"]["running"] == 0
    numbers = [trial["number"] for trial in report["trial_list"]]
    assert numbers == [0, 1, 2, 3, 4]
    assert not [*(tmp_path / "runs/digits/leases").glob("trial-*")]


def test_a_budget_of_epochs_is_never_exceeded(tmp_path: Path) -> None:
    arguments = ["--budget-epochs", "7", *SMALL, "--pruner", "none"]
    code, _, err = call("tunekit.study", *arguments, cwd=tmp_path)
    assert (code, err) == (0, "")
    report = json.loads((tmp_path / "runs/digits/report.json").read_text())
    assert report["epochs_trained"] == 7


def test_a_time_limit_holds_for_the_whole_command(tmp_path: Path) -> None:
    arguments = ["--max-epochs", "4", "--set", "width=8..16"]
    # What starting, one trial and the end take depends on the machine; without a limit
    # that holds, the search would never end.
    start = timed("tunekit.study", *arguments, "--dry-run", cwd=tmp_path)
    limit = math.ceil(max(8, 3 * start))
    arguments += ["--timeout", f"{limit}s"]
    began = time.monotonic()
    code, _, err = started("tunekit.study", *arguments, cwd=tmp_path)
    seconds = time.monotonic() - began
    assert (code, err) == (0, "")
    report = json.loads((tmp_path / "runs/digits/report.json").read_text())
    assert report["trials"]["total"] >= 1
    assert seconds < limit + max(4, 2 * start)
    code, again, _ = call("tunekit.study", *arguments, cwd=tmp_path)
    assert code == 0
    assert f"--timeout {2 * limit}s" in again


def test_options_from_a_file_and_flags_win(tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_text(
        'n_trials = 9\nmax_epochs = 2\nfinal_seeds = 1\nsampler = "random"\n'
        "[space]\nwidth = 8\noptimizer = ['sgd', 'adam']\n"
        'lr = {scale = "log", low = 0.01, high = 0.1}\n'
    )
    code, _, err = call(
        "tunekit.study", "--config", "study.toml", "--n-trials", "2", cwd=tmp_path
    )
    assert (code, err) == (0, "")
    folder = tmp_path / "runs/digits"
    report = json.loads((folder / "report.json").read_text())
    assert report["trials"]["total"] == 2
    assert report["fixed"]["width"] == 8
    # What the study wrote down about itself is such a file, too.
    code, _, err = call(
        "tunekit.study", "--config", "runs/digits/study.toml", cwd=tmp_path
    )
    assert (code, err) == (0, "")


# --- bad input: exit code 2, one line, nothing written ---

CSV = {
    "empty.csv": (b"", "empty"),
    "binary.csv": (bytes(range(256)) * 20, "binary"),
    "utf16.csv": ("x,y\n1,a\n2,b\n".encode("utf-16"), "UTF-16"),
    "header.csv": (b"x,y\n", "row"),
    "one-class.csv": (b"x,y\n" + b"1,a\n2,a\n" * 20, "class"),
    "lonely.csv": (b"x,y\n" + b"1,a\n2,b\n" * 20 + b"3,rare\n", "rare"),
    "all-missing.csv": (b"x,y\n" + b",a\n,b\n" * 20, "x"),
    "nan-target.csv": (b"x,y\n" + b"1,a\n2,b\n" * 20 + b"3,\n4,NaN\n", "y"),
    "twins.csv": (b"x,x,y\n" + b"1,2,a\n2,1,b\n" * 20, "x"),
    "ragged.csv": (b"x,y\n1,a\n2,b,c\n" + b"1,a\n2,b\n" * 20, "line 3"),
}


@pytest.mark.parametrize("name", CSV)
def test_a_bad_table_gets_one_line(tmp_path: Path, name: str) -> None:
    content, word = CSV[name]
    (tmp_path / name).write_bytes(content)
    line = refused(tmp_path, "--data", name, "--target", "y")
    assert name in line or word in line
    assert word.lower() in line.lower()


def test_no_such_file(tmp_path: Path) -> None:
    assert "nowhere.csv" in refused(tmp_path, "--data", "nowhere.csv", "--target", "y")


def test_target_not_given_or_not_there(tmp_path: Path) -> None:
    table(tmp_path / "t.csv")
    assert "--target" in refused(tmp_path, "--data", "t.csv")
    line = refused(tmp_path, "--data", "t.csv", "--target", "Y")
    assert 'did you mean "y"' in line


def test_a_continuous_target(tmp_path: Path) -> None:
    table(tmp_path / "t.csv", price=np.linspace(0.1, 9.7, 60))
    line = refused(tmp_path, "--data", "t.csv", "--target", "price")
    assert "classification" in line


def test_fifty_thousand_categories(tmp_path: Path) -> None:
    n = 50_000
    table(tmp_path / "t.csv", n=n, name=[f"n{i}" for i in range(n)])
    line = refused(tmp_path, "--data", "t.csv", "--target", "y")
    assert "name" in line
    assert "--drop" in line


def test_parquet_without_pyarrow_names_the_extra(tmp_path: Path) -> None:
    table(tmp_path / "t.csv")
    pd.read_csv(tmp_path / "t.csv").to_parquet(tmp_path / "t.parquet")
    code = (
        "import sys; sys.modules['pyarrow'] = None\n"
        "from tunekit.study import main\n"
        "sys.exit(main(['--data', 't.parquet', '--target', 'y']))\n"
    )
    done = python("-c", code, cwd=tmp_path)
    assert done.returncode == 2
    assert 'pip install "optuna-tunekit[parquet]"' in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "runs").exists()


OPTIONS = {
    "unknown flag": (["--n-tirals", "3"], 'did you mean "n-trials"'),
    "no trials": (["--n-trials", "0"], "n-trials must be at least 1, got 0"),
    "negative epochs": (["--budget-epochs", "-5"], "budget-epochs must be at least 1"),
    "no time": (["--timeout", "0"], "timeout must be above 0"),
    "no epochs": (["--max-epochs", "0"], "max-epochs must be at least 1"),
    "wrong range": (
        ["--set", "lr=0.1..0.01"],
        'space "lr": low must be below high, got low=0.1, high=0.01',
    ),
    "unknown hyperparameter": (["--set", "learning_rate=1"], 'did you mean "lr"'),
    "escaping name": (["--name", "../x"], 'got "../x"'),
    "unknown sampler": (["--sampler", "tpee"], 'did you mean "tpe"'),
    "no such config": (["--config", "nowhere.toml"], "nowhere.toml"),
    "fewer rows than a batch": (
        ["--set", "batch_size=4096"],
        "batch_size",
    ),
    "a batch of one row": (["--set", "batch_size=1"], "batch_size"),
    "no such device": (["--accelerator", "tpu"], "accelerator"),
}
if not torch.cuda.is_available():
    OPTIONS |= {
        "no gpu": (["--accelerator", "gpu"], "needs a CUDA device"),
        "no gpu for workers": (["--accelerator=gpu", "--workers=2"], "a CUDA device"),
    }


@pytest.mark.parametrize("name", OPTIONS)
def test_a_bad_option_gets_one_line(tmp_path: Path, name: str) -> None:
    arguments, words = OPTIONS[name]
    assert words in refused(tmp_path, *arguments)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("n_trials = ", "must be TOML"),
        ("n_tirals = 3", 'did you mean "n_trials"'),
        ('n_trials = "many"', "whole number"),
        ("[space]\nlr = {low = 1}", 'space "lr"'),
        ("space = 3", "space"),
        ("split = [0.5, 0.5]", "split"),
    ],
)
def test_a_bad_file_of_options_gets_one_line(
    tmp_path: Path, text: str, words: str
) -> None:
    (tmp_path / "bad.toml").write_text(text)
    assert words in refused(tmp_path, "--config", "bad.toml")


def test_an_unwritable_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    line = refused(tmp_path, "--out", "file", "--n-trials", "2")
    assert "choose another --out" in line


def test_a_batch_tail_of_one_row_joins_the_batch_before(tmp_path: Path) -> None:
    # 55 rows leave 33 for training: batches of 16, 17.
    table(tmp_path / "t.csv", n=55)
    arguments = ["--data", "t.csv", "--target", "y", "--n-trials", "1", *SMALL]
    code, _, err = call(
        "tunekit.study", *arguments, "--set", "batch_size=16", cwd=tmp_path
    )
    assert (code, err) == (0, "")
    split = json.loads((tmp_path / "runs/t/split.json").read_text())
    assert len(split["train"]) % 16 == 1


def test_whoever_stops_reading_does_not_stop_the_study(tmp_path: Path) -> None:
    process = start("tunekit.study", "--n-trials", "1", *SMALL, cwd=tmp_path)
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait(timeout=240) == 0
    assert (tmp_path / "runs/digits/report.json").exists()


def test_a_dry_run_refuses_what_the_run_would(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "choose another --out" in refused(tmp_path, "--out", "file", "--dry-run")


def test_a_folder_of_somebody_elses_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "runs" / "app" / "model").mkdir(parents=True)
    (tmp_path / "runs" / "app" / "model" / "code.py").write_text("mine")
    assert "choose another --name" in refused(tmp_path, "--name", "app")


def test_a_time_limit_too_short_for_an_epoch_says_so(tmp_path: Path) -> None:
    # Shorter than our own imports alone take anywhere.
    code, _, err = call("tunekit.study", "--timeout", "0.01s", cwd=tmp_path)
    assert code == 3
    assert "--timeout 0.01s was spent" in err
    assert err.count("\n") == 1
