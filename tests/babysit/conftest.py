"""A small table, and the command on it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tunekit.babysit.command import main
from tunekit.babysit.folder import Folder

SMALL = ["--set", "width=8", "--set", "batch_size=32"]
Call = Callable[..., int]
Undisturbed = Callable[..., Path]


def csv(path: Path, n: int = 120, seed: int = 0) -> Path:
    """Two clouds that overlap, and a column that says nothing."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    x = rng.normal(size=(n, 4)) + y[:, None] * [1.2, 0.6, 0.0, 0.0]
    rows = [
        ",".join([*(f"{v:.5f}" for v in values), str(k)])
        for values, k in zip(x, y, strict=True)
    ]
    path.write_text("a,b,c,d,kind\n" + "\n".join(rows) + "\n")
    return path


@pytest.fixture
def table_csv(tmp_path: Path) -> Path:
    return csv(tmp_path / "rows.csv")


def calling(rows: Path, runs: Path) -> Call:
    """``python -m tunekit.babysit`` in this process; it gives its exit code."""

    def command(*more: str, name: str = "model") -> int:
        place = ["--out", str(runs), "--name", name]
        data = ["--data", str(rows), "--target", "kind"]
        return main([*data, *place, *SMALL, *more])

    return command


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def call(table_csv: Path, runs: Path) -> Call:
    return calling(table_csv, runs)


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """The folder of a model to which nothing happened, trained by some calls."""
    made: dict[tuple[tuple[str, ...], ...], Path] = {}

    def folder(*calls: Sequence[str]) -> Path:
        key = tuple(map(tuple, calls))
        if key not in made:
            place = tmp_path_factory.mktemp("undisturbed")
            for more in calls:
                assert calling(csv(place / "rows.csv"), place / "runs")(*more) == 0
            made[key] = place / "runs" / "model"
        return made[key]

    return folder


def history(folder: Path) -> list[dict[str, Any]]:
    return Folder(folder).history()


def rounds(folder: Path) -> list[dict[str, Any]]:
    return [line for line in history(folder) if "round" in line]


def course(folder: Path) -> dict[str, Any]:
    """Where the model stands, plain."""
    found: dict[str, Any] = json.loads((folder / "course.json").read_text())["course"]
    return found


def came_to(folder: Path) -> tuple[Any, ...]:
    """All that two models must have in common to be the same to the last bit."""
    states = {p.name: p.read_bytes() for p in (folder / "checkpoints").iterdir()}
    weights = (folder / "model" / "model.safetensors").read_bytes()
    report = json.loads((folder / "report.json").read_text())
    for name in ("seconds", "model", "versions"):
        report.pop(name)
    return history(folder), course(folder), weights, report, timeless(states)


def timeless(states: dict[str, bytes]) -> dict[str, Any]:
    """Checkpoints without the seconds that their epochs took."""
    from tunekit.states import from_bytes

    found = {}
    for name, data in states.items():
        state = from_bytes(data)
        tensors = {n: t.tolist() for n, t in sorted(state.tensors.items())}
        curve = [(m.train_loss, m.val_loss, m.val_score, m.lr) for m in state.curve]
        found[name] = (tensors, state.steps, curve)
    return found


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    """What was said of an error: one line, of the program's own."""
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("error: ")
    return lines[0]
