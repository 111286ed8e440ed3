"""What experiments say in words and tables is what their reports hold."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType

import pytest

EXPERIMENTS = Path(__file__).parents[1] / "experiments"
FOLDERS = sorted(path.parent for path in EXPERIMENTS.glob("*/results.py"))


@pytest.fixture(autouse=True)
def shared_by_experiments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(EXPERIMENTS)


def results_of(folder: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("results", folder / "results.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def report_of(folder: Path) -> dict[str, object]:
    path = folder / "report.json"
    return json.loads(path.read_text("utf-8")) if path.exists() else {}


def test_there_are_experiments() -> None:
    assert [folder.name for folder in FOLDERS] == [
        "01-many-trials-as-one-network",
        "02-search-per-epoch",
        "03-nothing-is-lost",
        "04-anybodys-module",
    ]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_tables_are_those_of_the_report(folder: Path) -> None:
    report, results = report_of(folder), results_of(folder)
    text = (folder / "README.md").read_text("utf-8")
    assert results.fill(text, report) == text
    # And a table that says something else would be seen.
    begin = text.index("-->\n") + 4
    assert results.fill(text[:begin] + "x" + text[begin:], report) == text


def test_the_list_of_experiments_is_that_of_their_reports() -> None:
    import record

    text = (EXPERIMENTS / "README.md").read_text("utf-8")
    assert record.fill(text, {"answer": record.index()}) == text
    for folder in FOLDERS:
        assert results_of(folder).answer(report_of(folder)) in text


def test_the_figures_in_readme_are_those_of_the_report() -> None:
    report = json.loads((FOLDERS[0] / "report.json").read_text("utf-8"))
    readme = (EXPERIMENTS.parent / "README.md").read_text("utf-8")
    found = re.search(
        r"on two cores ([\d.]+) times faster than Optuna with Lightning\s+"
        r"where networks are small, ([\d.]+) times by default, and ([\d.]+) times",
        readme,
    )
    assert found is not None
    for text, load in zip(found.groups(), results_of(FOLDERS[0]).RACES, strict=True):
        ratio = report[load]["ratios"]["idiomatic"]["median"]
        digits = len(text.partition(".")[2])
        assert f"{ratio:.{digits}f}" == text, load
