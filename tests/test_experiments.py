"""What experiments say in words and tables is what their reports hold."""

from __future__ import annotations

import importlib.util
import json
import re
import runpy
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

import pytest
from markupsafe import Markup

from tunekit.report.axes import Axis
from tunekit.report.figures import Frame, chart, line

EXPERIMENTS = Path(__file__).parents[1] / "experiments"
FOLDERS = sorted(path.parent for path in EXPERIMENTS.glob("*/results.py"))
LIVING = [folder for folder in FOLDERS if (folder / "study.toml").exists()]
"""Those that :mod:`lab` runs."""
QUICK = ("09", "10")
"""Those whose --quick takes the least; of the others all is imported and told again."""

Command = Callable[..., int]


@pytest.fixture(autouse=True)
def shared_by_experiments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(EXPERIMENTS)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs an experiment's command in this process, which has torch already."""

    def run(folder: Path, *words: str) -> int:
        monkeypatch.setattr(sys, "argv", ["run.py", *words])
        monkeypatch.setattr(sys, "path", [str(folder), *sys.path])
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            monkeypatch.setenv(name, "1")
        # Experiments have modules of the same names.
        others = {name: sys.modules.pop(name) for name in of_an_experiment()}
        try:
            with pytest.raises(SystemExit) as ended:
                runpy.run_path(str(folder / "run.py"), run_name="__main__")
        finally:
            for name in of_an_experiment():
                del sys.modules[name]
            sys.modules.update(others)
        assert isinstance(ended.value.code, int)
        return ended.value.code

    return run


def of_an_experiment() -> list[str]:
    """The modules from the folder of an experiment that are loaded."""
    found = {
        name: getattr(each, "__file__", None) for name, each in sys.modules.items()
    }
    return [
        name
        for name, path in found.items()
        if path and Path(path).parent.parent == EXPERIMENTS
    ]


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


def resolved_of(number: str) -> dict[str, Any]:
    import lab

    (folder,) = (folder for folder in LIVING if folder.name[:2] == number)
    return lab.resolved(folder)


def differs(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, set[str]]:
    """By group the defaults that two have not alike."""
    assert one.keys() == other.keys()
    return {
        group: {key for key in one[group] if one[group][key] != other[group][key]}
        for group in one
        if one[group] != other[group]
    }


def unnamed(picture: str) -> list[str]:
    """The panels of a picture that lack a title or the name of an axis."""
    every = ElementTree.fromstring(picture).iter()
    drawn = [each for each in every if each.tag.endswith("svg")]
    panels = [
        [text for text in each if text.tag.endswith("text")]
        for each in drawn
        if any(mark.get("class") == "axis" for mark in each)
    ]
    lacking = []
    for n, texts in enumerate(panels, 1):
        told = {
            (text.get("class"), "transform" in text.attrib): (text.text or "").strip()
            for text in texts
        }
        lacking += [
            f"panel {n}: {what}"
            for what, key in (
                ("title", ("title", False)),
                ("x", ("name middle", False)),
                ("y", ("name middle", True)),
            )
            if not told.get(key)
        ]
    return lacking if panels else ["no panel"]


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


@pytest.mark.parametrize("folder", LIVING, ids=lambda folder: folder.name)
def test_its_files_are_what_its_report_tells(
    folder: Path, command: Command, tmp_path: Path
) -> None:
    assert command(folder, "--retell", "--out", str(tmp_path)) == 0
    kept = {"report.json", "README.md", *(path.name for path in folder.glob("*.svg"))}
    assert {path.name for path in tmp_path.iterdir()} == kept
    for name in kept:
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes(), name


@pytest.mark.parametrize("folder", LIVING, ids=lambda folder: folder.name)
def test_its_pictures_say_what_they_show(folder: Path) -> None:
    for path in sorted(folder.glob("*.svg")):
        assert unnamed(path.read_text("utf-8")) == [], path.name


def test_a_panel_without_a_name_is_seen() -> None:
    def panel(title: str, x: str, y: str) -> Markup:
        frame = Frame(x=Axis(title=x), y=Axis(title=y))
        return chart(frame, title, [line(frame, [(0, 0), (1, 1)], "one")], [("a", "b")])

    from picture import alone, beside

    good = panel("loss", "epoch", "nats")
    for names, lacking in (
        (("", "epoch", "nats"), "title"),
        (("loss", "", "nats"), "x"),
        (("loss", "epoch", " "), "y"),
    ):
        both = alone(beside([good, panel(*names)], 2, 560, 310), "")
        assert unnamed(both) == [f"panel 2: {lacking}"]
    assert unnamed(alone(good, "")) == []
    assert unnamed(alone("<svg><path/></svg>", "")) == ["no panel"]


@pytest.mark.parametrize("number", QUICK)
def test_its_command_runs(number: str, command: Command, tmp_path: Path) -> None:
    (folder,) = (folder for folder in LIVING if folder.name[:2] == number)
    assert command(folder, "--quick", "--out", str(tmp_path)) == 0
    report = json.loads((tmp_path / "report.json").read_text("utf-8"))
    assert report["claims"]
    assert unnamed(next(tmp_path.glob("*.svg")).read_text("utf-8")) == []


def test_rules_of_babysitting_are_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    from tunekit.babysit import course, rescue

    watched = resolved_of("12")
    monkeypatch.setattr(course, "Rules", partial(course.Rules, patience=9))
    assert differs(watched, resolved_of("12")) == {"babysit": {"rules"}}
    monkeypatch.undo()
    monkeypatch.setattr(rescue, "_LUCK", 9.0)
    monkeypatch.syspath_prepend(EXPERIMENTS)
    assert differs(watched, resolved_of("12")) == {"babysit": {rescue.__name__}}


def test_constants_of_the_search_are_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    from tunekit.sampler import region

    searched, watched, drawn = map(resolved_of, ("07", "12", "11"))
    monkeypatch.setattr(region, "_SHARE", 0.5)
    for before, number in ((searched, "07"), (watched, "12")):
        assert differs(before, resolved_of(number)) == {"search": {region.__name__}}
    # What is drawn at random does not hang on it.
    assert resolved_of("11") == drawn


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
