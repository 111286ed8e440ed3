"""How an experiment's command measures, checks and refuses, on one that is made up."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

EXPERIMENTS = Path(__file__).parents[1] / "experiments"
RESULTS = '''
"""One claim about all that was measured."""

import record
from claims import claim, claims_table

QUESTION = "Is it more?"


def fill(text, report):
    parts = record.parts_made(shown(report))
    return record.fill(text, {"made": parts, "claims": claims_table(report["claims"])})


def shown(report):
    return {"all": report}


def answer(report):
    return f"{report['claims'][0]['value']:.2f}"


def claims(report):
    return [claim("more", report["small"] + report["big"], above=0.5)]
'''
PAGE = "<!-- table: made -->\n<!-- end -->\n\n<!-- table: claims -->\n<!-- end -->\n"
LIST = "<!-- table: answer -->\n<!-- end -->\n"


class MadeUp:
    """An experiment in a folder of its own, and what its parts are to find."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.finds = {"small": [1.0, 1.1], "big": [1.2, 1.3]}
        self.measured: list[str] = []
        self.on_tables: Sequence[str] = ()

    def run(self, *words: str) -> int:
        """The exit code of its command."""
        import lab

        spec = importlib.util.spec_from_file_location("_", self.home / "results.py")
        assert spec is not None
        assert spec.loader is not None
        results = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(results)
        self.measured.clear()
        parts = {name: self._part(name) for name in self.finds}
        of = lab.Experiment(self.home, parts, results, self._drawn, self.on_tables)
        return lab.main(of, words)

    def report(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.text("report.json"))
        return found

    def text(self, name: str) -> str:
        return (self.home / name).read_text("utf-8")

    def _part(self, name: str) -> Callable[[Any], Any]:
        def found(asked: Any) -> list[float]:
            self.measured.append(name)
            return self.finds[name]

        return found

    def _drawn(self, report: Any) -> dict[str, str]:
        return {"sum.svg": f"<svg>{sum(report['small'] + report['big']):.3f}</svg>"}


@pytest.fixture
def made_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MadeUp:
    """One that was measured."""
    monkeypatch.syspath_prepend(EXPERIMENTS)
    import record

    # The list of all experiments is written, too: not that of the real ones.
    monkeypatch.setattr(record, "EXPERIMENTS", tmp_path)
    home = tmp_path / "01-made-up"
    home.mkdir()
    files = {"../README.md": LIST, "README.md": PAGE, "results.py": RESULTS}
    for name, text in {**files, "study.toml": "max_epochs = 3\n"}.items():
        (home / name).write_text(text)
    found = MadeUp(home)
    assert found.run() == 0
    return found


def test_what_was_measured_is_told_everywhere(made_up: MadeUp) -> None:
    report = made_up.report()
    assert (report["small"], report["big"]) == ([1.0, 1.1], [1.2, 1.3])
    assert report["resolved"]["max_epochs"] == 3
    assert report["claims"][0]["holds"] == "yes"
    assert "| more | 1.15 |" in made_up.text("README.md")
    assert "| all |" in made_up.text("README.md")
    assert made_up.text("sum.svg") == "<svg>4.600</svg>"
    assert "| Is it more? | 1.15 |" in made_up.text("../README.md")


def test_a_check_fails_where_a_verdict_has_changed(
    made_up: MadeUp, capsys: pytest.CaptureFixture[str]
) -> None:
    before = made_up.text("report.json")
    made_up.finds["big"] = [1.25, 1.3]
    assert made_up.run("--check") == 0
    told = capsys.readouterr().out.splitlines()[-1]
    assert told == "01-made-up: 1 claims as recorded; measured again: small, big"
    made_up.finds["big"] = [0.1, 1.2]
    assert made_up.run("--check") == 1
    told = capsys.readouterr().out.splitlines()[-1]
    assert told.startswith('01-made-up: "more" holds: not sure now, recorded yes')
    assert made_up.text("report.json") == before


def test_a_part_is_measured_again_and_the_rest_is_kept(made_up: MadeUp) -> None:
    made_up.finds = {"small": [9.0, 9.0], "big": [1.4, 1.5]}
    assert made_up.run("--part", "big") == 0
    report = made_up.report()
    assert made_up.measured == ["big"]
    assert (report["small"], report["big"]) == ([1.0, 1.1], [1.4, 1.5])
    assert [*report["again"]] == ["big"]
    assert made_up.text("sum.svg") == "<svg>5.000</svg>"


def test_no_part_is_measured_under_other_defaults_than_the_rest(
    made_up: MadeUp, capsys: pytest.CaptureFixture[str]
) -> None:
    (made_up.home / "study.toml").write_text("max_epochs = 4\n")
    before = made_up.text("report.json")
    for words in (["--part", "big"], ["--part", "big", "--check"]):
        assert made_up.run(*words) == 2
        told = capsys.readouterr().err
        assert told.startswith("error: --part keeps the other parts, which were")
        assert told.count("\n") == 1
    assert made_up.measured == []
    assert made_up.text("report.json") == before
    # All of them may be.
    assert made_up.run() == 0
    assert made_up.report()["resolved"]["max_epochs"] == 4


def test_what_is_recorded_on_real_tables_is_not_measured_without(
    made_up: MadeUp, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    made_up.on_tables = ("big",)
    before = made_up.text("report.json")
    for words in ([], ["--check"], ["--part", "big"], ["--out", str(made_up.home)]):
        assert made_up.run(*words) == 2, words
        told = capsys.readouterr().err
        assert told.startswith("error: big must be measured on the real tables that")
        assert told.count("\n") == 1
        assert made_up.measured == []
    assert made_up.text("report.json") == before
    # With them; elsewhere; and where the part is not asked for.
    elsewhere = str(tmp_path / "elsewhere")
    for words in (["--check", "--tables", "x"], ["--out", elsewhere]):
        assert made_up.run(*words) == 0, words
    assert made_up.text("report.json") == before
    assert made_up.run("--part", "small") == 0


def test_it_is_told_again_without_measuring(made_up: MadeUp, tmp_path: Path) -> None:
    names = ("report.json", "README.md", "sum.svg")
    before = [made_up.text(name) for name in names]
    made_up.measured.clear()
    assert made_up.run("--retell", "--out", str(tmp_path / "elsewhere")) == 0
    written = [(tmp_path / "elsewhere" / name).read_text() for name in names]
    assert written == before
    (made_up.home / "sum.svg").write_text("another")
    assert made_up.run("--retell") == 0
    assert [made_up.text(name) for name in names] == before
    assert made_up.measured == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--check"], "must have a report.json, got none; measure it first"),
        (["--retell"], "must have a report.json, got none; measure it first"),
        (["--part", "big"], "must have a report.json, got none; measure it first"),
        (["--quick", "--check"], "--quick measures what is of no use"),
        (["--quick", "--out", "HOME"], "--quick measures what is of no use"),
    ],
)
def test_what_cannot_be_told_is_one_line(
    made_up: MadeUp, words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if "got none" in told:
        (made_up.home / "report.json").unlink()
    capsys.readouterr()
    assert made_up.run(*(str(made_up.home) if w == "HOME" else w for w in words)) == 2
    err = capsys.readouterr().err
    assert told in err
    assert err.count("\n") == 1
    assert made_up.measured == []
