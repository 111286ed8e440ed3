"""The pieces of the experiment on search per epoch, on curves that are made up."""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tunekit import LogUniform, OneMinusLogUniform

EXPERIMENTS = Path(__file__).parents[1] / "experiments"
FOLDER = EXPERIMENTS / "02-search-per-epoch"
HORIZON, BUDGET = 9, 70
MADE = {"date": "2026-01-01", "machine": "one", "versions": {}, "commit": None}

FAMILY = '''
class Task:
    """Two tasks: the loss falls to how far lr is from 0.1."""

    def __init__(self, name):
        self.least = {"easy": 0.0, "hard": 1.0}[name]
        self.space = {"lr": (1e-3, 1.0), "beta1": (0.5, 0.99)}

    @staticmethod
    def names():
        return ["easy", "hard"]

    def __call__(self, params):
        far = abs(params["lr"] - 0.1) + self.least
        return [far + 1 / (epoch + 1) for epoch in range(50)]

    def regret_at(self, history, budgets):
        return [min([v for e, v in history if e <= b], default=9.0) for b in budgets]
'''


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A module of the experiment."""
    monkeypatch.syspath_prepend(EXPERIMENTS)
    monkeypatch.syspath_prepend(FOLDER)
    for path in FOLDER.glob("*.py"):
        # Another experiment may have a module of the same name.
        monkeypatch.delitem(sys.modules, path.stem, raising=False)
    return importlib.import_module


@pytest.fixture
def family(tmp_path: Path) -> Path:
    folder = tmp_path / "family"
    folder.mkdir()
    (folder / "taskset.py").write_text(FAMILY)
    return folder


def searches() -> list[str]:
    return [
        "tunekit",
        "random+plain-promote",
        "random",
        "tpe",
        "tpe+median",
        "tpe+hyperband",
        "tpe+halving",
        "random+halving",
        "coarse-to-fine",
    ]


def test_every_search_but_the_slow_one_is_tested(load: Any) -> None:
    names = [*load("searches").SEARCHES]
    assert sorted(names) == sorted([*searches(), "gp"])


@pytest.mark.parametrize("search", searches())
def test_a_history_is_what_was_seen_within_the_budget(search: str, load: Any) -> None:
    seen: list[float] = []

    def curve(params: Mapping[str, Any]) -> Iterator[float]:
        assert 0.5 <= params["beta1"] <= 0.99
        for epoch in range(HORIZON):
            # Noise, so that the lowest value is not the last.
            noise = 0.3 * ((7919 * (len(seen) + 1)) % 101) / 101
            seen.append(abs(params["lr"] - 0.1) + 1 / (epoch + 1) + noise)
            yield seen[-1]

    space = {"lr": LogUniform(1e-3, 1.0), "beta1": OneMinusLogUniform(0.5, 0.99)}
    problem = load("curves").Problem(space, curve, lambda history, budgets: [])
    history = load("searches").SEARCHES[search](problem, HORIZON, BUDGET, 3)
    assert len(seen) == BUDGET
    lowest = [min(seen[:n]) for n in range(1, BUDGET + 1)]
    improved = [n for n in range(BUDGET) if n == 0 or lowest[n] < lowest[n - 1]]
    assert history == [(n + 1, lowest[n]) for n in improved]


def test_a_finished_run_is_kept_and_another_question_asked_anew(
    load: Any, family: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs = load("regrets").jobs("taskset", family, ["random", "tpe"], 1, 1)
    do_all = load("finished").do_all
    runs = tmp_path / "runs"
    first = do_all(jobs, runs, 2)
    assert [each["asked"]["instance"] for each in first] == ["easy"] * 2 + ["hard"] * 2
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "4 runs, 0 known"
    assert len(said) == 5
    kept = runs / "taskset" / "random" / "easy-0.json"
    changed = json.loads(kept.read_text())
    changed["regret"][-1] = -5.0
    kept.write_text(json.dumps(changed))
    assert do_all(jobs, runs, 2)[0]["regret"][-1] == -5.0
    assert capsys.readouterr().out == "4 runs, 4 known\n"
    changed["asked"]["decided"] = "otherwise"
    kept.write_text(json.dumps(changed))
    assert [job.kept(runs) is None for job in jobs] == [True, False, False, False]


def test_slow_searches_come_last_with_fewer_seeds(load: Any, family: Path) -> None:
    jobs = load("regrets").jobs("taskset", family, ["gp", "tpe"], 3, 1, 1)
    names = [job.name for job in jobs]
    assert names == [
        *(f"taskset/tpe/easy-{seed}" for seed in range(3)),
        "taskset/gp/easy-0",
    ]


def test_a_benchmark_that_cannot_be_read_is_refused(
    load: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    curves = load("curves")
    with pytest.raises(
        SystemExit, match=r"--taskset must be a folder with taskset\.py"
    ):
        curves.instances("taskset", tmp_path)
    (tmp_path / "lcbench.py").touch()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit, match="needs onnxruntime"):
        curves.instances("lcbench", tmp_path)


def regret(value: float, search: str, instance: str, seed: int, n: int) -> Any:
    asked = {"search": search, "instance": instance, "seed": seed}
    return {"asked": asked, "seconds": 2.0, "regret": [value] * n}


def test_regrets_are_averaged_over_problems_and_seeds(load: Any) -> None:
    regrets = load("regrets")
    n = len(regrets.SPAN)
    found = regrets.summary(
        [
            regret(0.1, "tunekit", "easy", 0, n),
            regret(0.3, "tunekit", "hard", 0, n),
            regret(0.8, "tunekit", "hard", 3, n),
            regret(0.5, "tpe", "easy", 0, n),
        ]
    )
    ours = found["searches"]["tunekit"]
    assert ours["runs"] == 3
    assert ours["mean"] == [0.4] * n
    assert ours["error"] == [pytest.approx(0.2082, abs=1e-4)] * n
    assert ours["by_instance"] == {"easy": [0.1] * 5, "hard": [0.55] * 5}
    assert ours["first_seeds"] == [0.2] * 5
    assert found["searches"]["tpe"]["error"] == [0.0] * n


def test_training_is_compared_within_a_table_and_seed(load: Any) -> None:
    training = load("training")

    def lowest(search: str, seed: int, *values: float) -> Any:
        asked = {"search": search, "instance": "car", "seed": seed}
        return {"asked": asked, "lowest": values}

    found = training.summary(
        [
            lowest("tunekit", 0, 2.0, 1.0),
            lowest("gp", 0, 2.0, 1.5),
            lowest("tunekit", 1, 30.0, 20.0),
            lowest("gp", 1, 20.0, 10.0),
            lowest("gp", 2, 1.0, 1.0),  # the other one is not there yet
        ]
    )["searches"]
    assert found["tunekit"]["runs"] == found["gp"]["runs"] == 2
    assert found["tunekit"]["mean"] == [1.5, 0.5]
    assert found["gp"]["mean"] == [1.0, 0.25]
    assert found["tunekit"]["rank"] == [1.75, 1.5]
    assert found["gp"]["rank"] == [1.25, 1.5]


def test_the_verdict_follows_from_the_figures(load: Any) -> None:
    results, regrets = load("results"), load("regrets")
    n = len(regrets.SPAN)
    lines = [
        regret(0.10, "tunekit", "easy", 0, n),
        regret(0.40, "random", "easy", 0, n),
        regret(0.30, "tpe", "easy", 0, n),
    ]
    late = regrets.SPAN.index(1000)
    lines[2]["regret"][late] = 0.01
    report = {"lcbench": {"made": MADE, **regrets.summary(lines)}}
    assert results.verdict(report) == (
        "- **LCBench**: aims reached after 50, 100, 200, 500 epochs; ahead of every "
        "other search after 50, 100, 200, 500 epochs."
    )
    aims = results.tables(report)["lcbench-aims"].splitlines()
    assert aims[2] == "| 50 | 0.100 | 0.36 | reached | 0.300 (tpe) |"
    assert aims[6] == "| 1000 | 0.100 | 0.07 | missed | 0.010 (tpe) |"


def test_a_picture_has_a_line_and_a_name_for_each_search(load: Any) -> None:
    regrets = load("regrets")
    n = len(regrets.SPAN)
    part = regrets.summary(
        [regret(0.1, "tunekit", "easy", 0, n), regret(0.0, "tpe", "easy", 0, n)]
    )
    svg = load("pictures").spending_svg(part, "a < b", "mean regret", 0.004)
    assert svg.count("<polyline") == 2
    assert "tpe (1 runs)" in svg
    assert "a &lt; b" in svg
    assert svg.startswith('<svg xmlns="http://www.w3.org/2000/svg" ')


def test_what_deciding_costs_is_measured(load: Any) -> None:
    found = load("asking").measure(n_trials=40, recorded=(10,))
    assert [*found["asks"]] == ["10, full fits", "10, rungs"]
    assert all(each["median"] > 0 for each in found["asks"].values())
    assert [*found["toys"]] == ["memory", "journal"]
    for each in found["toys"].values():
        assert 0 < each["all"] < 1000
        assert each["first"] > 0 < each["last"]
