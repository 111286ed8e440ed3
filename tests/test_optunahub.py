"""The folder to submit to OptunaHub: laid out as asked, and it runs as it stands."""

from __future__ import annotations

import importlib.util
import inspect
import re
import sys
import tomllib
import types
from functools import partial
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml

import tunekit

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "optunahub/package/samplers/coarse_to_fine"
README = (PACKAGE / "README.md").read_text("utf-8")


def load_local_module(package: str, *, registry_root: str) -> Any:
    """A package by its path, as optunahub loads it."""
    path = Path(registry_root) / package / "__init__.py"
    spec = importlib.util.spec_from_file_location("loaded_by_path", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def table(text: str) -> list[str]:
    return re.findall(r"<!-- table: alone -->\n(.*?)<!-- end -->", text, re.DOTALL)


def test_the_front_matter_is_what_the_registry_asks_for() -> None:
    _, matter, _ = README.split("---\n", 2)
    fields = yaml.safe_load(matter)
    assert set(fields) == {
        "author",
        "title",
        "description",
        "tags",
        "optuna_versions",
        "license",
    }
    assert fields["tags"][0] == "sampler"
    assert fields["license"] == "MIT License"
    assert all(isinstance(v, str) and v for v in fields["optuna_versions"])
    assert all(isinstance(tag, str) for tag in fields["tags"])
    assert isinstance(fields["description"], str)


def test_the_sections_are_there_in_their_order() -> None:
    assert re.findall(r"^##+ (.*)$", README, re.MULTILINE) == [
        "Abstract",
        "APIs",
        "Installation",
        "Example",
        "Others",
        "Benchmark",
        "References",
    ]


def test_the_figures_are_those_of_the_experiment() -> None:
    experiment = ROOT / "experiments/02-search-per-epoch/README.md"
    (figures,) = table(README)
    assert [figures] == table(experiment.read_text("utf-8"))


def test_the_license_is_that_of_the_project() -> None:
    assert (PACKAGE / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


def test_the_package_loads_by_its_path_and_holds_the_sampler_itself() -> None:
    root = str(PACKAGE.parents[1])
    module = load_local_module("samplers/coarse_to_fine", registry_root=root)
    assert module.__all__ == ["CoarseToFineSampler"]
    assert module.CoarseToFineSampler is tunekit.CoarseToFineSampler


def test_the_arguments_told_are_the_arguments_there_are() -> None:
    signature = inspect.signature(tunekit.CoarseToFineSampler)
    told = re.search(r"`CoarseToFineSampler\((.*)\)`", README)
    assert told is not None
    given = ", ".join(f"{p.name}={p.default}" for p in signature.parameters.values())
    assert told[1] == f"*, {given}"
    assert re.findall(r"^  - `(\w+)`:", README, re.MULTILINE) == [*signature.parameters]


@pytest.mark.parametrize("which", ["example.py", "README.md"])
def test_the_example_runs(
    which: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if which == "README.md":
        (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    else:
        code = (PACKAGE / which).read_text("utf-8")
    hub: Any = types.ModuleType("optunahub")
    hub.load_local_module = load_local_module
    hub.load_module = partial(load_local_module, registry_root="package")
    monkeypatch.setitem(sys.modules, "optunahub", hub)
    monkeypatch.chdir(PACKAGE.parents[2])
    exec(compile(code, which, "exec"), {"__name__": "__main__"})
    printed = capsys.readouterr().out
    assert re.match(r"\{'lr': 0\.00\d+, 'dropout': 0\.\d+\} \d", printed)


def test_it_says_which_optuna_it_was_tried_with() -> None:
    major = optuna.__version__.split(".")[0]
    _, matter, _ = README.split("---\n", 2)
    versions = yaml.safe_load(matter)["optuna_versions"]
    assert any(version.split(".")[0] == major for version in versions)


def test_it_is_in_neither_distribution() -> None:
    build = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    targets = build["tool"]["hatch"]["build"]["targets"]
    assert targets["wheel"] == {"packages": ["tunekit"]}
    assert not any("optunahub" in name for name in targets["sdist"]["include"])
    name = build["project"]["name"]
    assert (PACKAGE / "requirements.txt").read_text("utf-8").split() == [name]
