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


def results_of(folder: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("results", folder / "results.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_there_are_experiments() -> None:
    assert [folder.name for folder in FOLDERS][:1] == ["01-many-trials-as-one-network"]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_tables_are_those_of_the_report(folder: Path) -> None:
    path = folder / "report.json"
    report = json.loads(path.read_text("utf-8")) if path.exists() else {}
    results = results_of(folder)
    for readme in (folder / "README.md", EXPERIMENTS / "README.md"):
        text = readme.read_text("utf-8")
        assert results.fill(text, report) == text, readme
        # And a table that says something else would be seen.
        begin = text.index("-->\n") + 4
        assert results.fill(text[:begin] + "x" + text[begin:], report) == text


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
