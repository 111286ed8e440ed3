"""The folder to submit to OptunaHub: laid out as asked, and it runs as it stands."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import optuna
import pytest
import yaml

import tunekit

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "optunahub/package/samplers/coarse_to_fine"
README = (PACKAGE / "README.md").read_text("utf-8")
LOADER = '''
import importlib.util, sys
from pathlib import Path

def load_local_module(package, *, registry_root):
    """As optunahub does: a package by its path, under its own name."""
    folder = Path(registry_root) / package
    spec = importlib.util.spec_from_file_location(folder.name, folder / "__init__.py")
    module = sys.modules[folder.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

def load_module(package):
    return load_local_module(package, registry_root="package")
'''


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
    spec = importlib.util.spec_from_file_location("hub", PACKAGE / "__init__.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.__all__ == ["CoarseToFineSampler"]
    assert module.CoarseToFineSampler is tunekit.CoarseToFineSampler


def test_the_arguments_told_are_the_arguments_there_are() -> None:
    import inspect

    signature = inspect.signature(tunekit.CoarseToFineSampler)
    told = re.search(r"`CoarseToFineSampler\((.*)\)`", README)
    assert told is not None
    given = ", ".join(f"{p.name}={p.default}" for p in signature.parameters.values())
    assert told[1] == f"*, {given}"
    assert re.findall(r"^  - `(\w+)`:", README, re.MULTILINE) == [*signature.parameters]


@pytest.mark.parametrize("which", ["example.py", "README.md"])
def test_the_example_runs(tmp_path: Path, which: str) -> None:
    if which == "README.md":
        (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    else:
        code = (PACKAGE / which).read_text("utf-8")
    (tmp_path / "optunahub.py").write_text(LOADER)
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-B", "-c", code],
        cwd=ROOT / "optunahub",
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert re.match(r"\{'lr': 0\.00\d+, 'dropout': 0\.\d+\} \d", done.stdout)


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
