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
LIVING = [folder for folder in FOLDERS if (folder / "study.toml").exists()]
"""Those that :mod:`lab` runs."""


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


def test_experiments_are_numbered() -> None:
    numbers = [re.fullmatch(r"(\d\d)-[a-z0-9-]+", folder.name) for folder in FOLDERS]
    assert [int(found[1]) for found in numbers if found] == [
        *range(1, 1 + len(FOLDERS))
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


@pytest.mark.parametrize("folder", LIVING, ids=lambda folder: folder.name)
def test_a_verdict_was_measured_under_todays_defaults(folder: Path) -> None:
    import lab

    # Where this fails a default has changed: run the experiment's command with --check,
    # which says whether its verdict has changed, too, and then without.
    assert report_of(folder)["resolved"] == lab.resolved(folder)


@pytest.mark.parametrize("folder", LIVING, ids=lambda folder: folder.name)
def test_claims_follow_from_what_was_measured(folder: Path) -> None:
    from claims import differences

    report = report_of(folder)
    anew = results_of(folder).claims(report)
    assert [each.as_dict() for each in anew] == report["claims"]
    assert anew
    assert not differences(report["claims"], anew)


@pytest.mark.parametrize("folder", LIVING, ids=lambda folder: folder.name)
def test_its_page_has_question_command_verdict_and_pictures(folder: Path) -> None:
    text = (folder / "README.md").read_text("utf-8")
    for part in ("**Question.**", "## Verdict", "## Set-up"):
        assert part in text
    assert f"python experiments/{folder.name}/run.py" in text
    pictures = sorted(path.name for path in folder.glob("*.svg"))
    assert pictures
    assert sorted(re.findall(r"!\[[^\]]+\]\(([^)]+\.svg)\)", text)) == pictures
    for name in pictures:
        picture = (folder / name).read_text("utf-8")
        for part in ('class="title', 'class="name'):
            assert part in picture, name


def test_a_claim_holds_where_its_whole_interval_does() -> None:
    from claims import claim, differences, ratio_claim

    sure = claim("more", [1.0, 1.2, 1.1], above=0.5)
    assert sure.holds
    assert (sure.value, sure.samples) == (pytest.approx(1.1), 3)
    # Student's quantile for two degrees of freedom, 4.303, times 0.1 / sqrt(3).
    assert sure.high - sure.value == pytest.approx(4.303 * 0.1 / 3**0.5, rel=1e-3)
    assert not claim("more", [1.0, 0.1], above=0.5).holds
    ratio = ratio_claim("less", [0.5, 0.25, 0.5], below=0.9)
    assert ratio.value == pytest.approx(0.0625 ** (1 / 3))
    assert not ratio_claim("less", [0.5, 2.0], below=1.0).holds
    assert ratio_claim("more", [2.0, 2.2, 2.1], above=1.0).holds

    recorded = [sure.as_dict()]
    assert differences(recorded, [sure]) == []
    weak = claim("more", [1.0, 0.1], above=0.5)
    assert "does not hold now" in differences(recorded, [weak])[0]
    assert (
        "now" in differences(recorded, [claim("more", [9.0, 9.1, 9.2], above=0.5)])[0]
    )
    assert "not measured" in differences(recorded, [])[0]
    assert "not in the report" in differences([], [sure])[0]


def test_the_best_of_some_draws_is_the_mean_over_all_choices_of_them() -> None:
    import itertools
    import math

    from chances import of_the_best, share_within

    losses, test_losses = [0.4, 0.1, 0.8, 0.2], [0.5, 0.3, 0.7, 0.2]
    for n in (1, 2, 4):
        best = [min(c) for c in itertools.combinations(losses, n)]
        mean = math.exp(sum(map(math.log, best)) / len(best))
        assert of_the_best(losses, n) == pytest.approx(mean)
        # Who is best goes by the losses, whatever is told of it.
        told = [test_losses[losses.index(each)] for each in best]
        mean = math.exp(sum(map(math.log, told)) / len(told))
        assert of_the_best(losses, n, told=test_losses) == pytest.approx(mean)
    with pytest.raises(ValueError, match="n must be 1 to 4, got 5"):
        of_the_best(losses, 5)
    assert share_within(losses, 0.2) == 0.5
