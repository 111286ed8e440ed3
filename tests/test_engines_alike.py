"""Whoever reads a study folder cannot tell which engine wrote it, but for its name."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tunekit import Config, run

ENGINES = ("lightning", "vectorized")
CLOCKS = {"seconds", "datetime_start", "datetime_complete", "worker_id", "crc32"}
"""What differs with the clock: values, and the checksum over them."""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same study, trained by each engine."""
    root = tmp_path_factory.mktemp("alike")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(160, 3))
    frame = pd.DataFrame(x, columns=["a", "b", "c"])
    frame["kind"] = np.where(x[:, 0] + 0.5 * x[:, 1] > 0, "up", "down")
    frame.to_csv(root / "rows.csv", index=False)
    found = {}
    for engine in ENGINES:
        config = Config(
            data=str(root / "rows.csv"),
            target="kind",
            engine=engine,
            sampler="random",
            pruner="none",
            n_trials=4,
            max_epochs=3,
            in_flight=1,
            final_seeds=1,
            out=str(root / engine),
            name="alike",
        )
        found[engine] = run(config).folder
    return found


def names(folder: Path) -> list[str]:
    """Files of a folder; what is random in a name is left out."""
    found = (path.relative_to(folder).as_posix() for path in folder.rglob("*"))
    return sorted(re.sub(r"tfevents.*", "tfevents", name) for name in found)


def lines(folder: Path) -> list[dict[str, Any]]:
    """The journal, without clocks and without the attribute that names the engine."""
    found = []
    for text in (folder / "journal.log").read_text("utf-8").splitlines():
        line = json.loads(text)
        for kind in ("user_attr", "system_attr"):
            if set(line.get(kind, {})) == {"engine"}:
                line[kind] = {"engine": "some"}
            if set(line.get(kind, {})) == {"seconds"}:
                line[kind] = {"seconds": 0.0}
        found.append({k: v for k, v in line.items() if k not in CLOCKS})
    return found


def numbers(value: Any) -> Any:
    """A line's numbers; all else must be equal."""
    if isinstance(value, dict):
        return [n for key in sorted(value) for n in numbers(value[key])]
    if isinstance(value, list):
        return [n for each in value for n in numbers(each)]
    return [float(value)] if isinstance(value, int | float) else []


def words(value: Any) -> Any:
    """All but its numbers."""
    if isinstance(value, dict):
        return {key: words(each) for key, each in value.items()}
    if isinstance(value, list):
        return [words(each) for each in value]
    return "number" if isinstance(value, int | float) else value


def test_the_same_files(folders: dict[str, Path]) -> None:
    one, other = (names(folders[engine]) for engine in ENGINES)
    assert one == other
    assert len(one) > 10


def test_the_same_journal_up_to_rounding(folders: dict[str, Path]) -> None:
    one, other = (lines(folders[engine]) for engine in ENGINES)
    assert len(one) > 50
    assert words(one) == words(other)
    assert numbers(one) == pytest.approx(numbers(other), rel=2e-2, abs=1e-4)


def test_the_engine_is_named(folders: dict[str, Path]) -> None:
    for engine in ENGINES:
        text = (folders[engine] / "journal.log").read_text("utf-8")
        assert f'"engine": "{engine}"' in text or f'"engine":"{engine}"' in text
        report = json.loads((folders[engine] / "report.json").read_text("utf-8"))
        assert report["engine"] == engine


def test_the_same_report_up_to_rounding(folders: dict[str, Path]) -> None:
    one, other = (
        json.loads((folders[engine] / "report.json").read_text("utf-8"))
        for engine in ENGINES
    )
    assert set(one) == set(other)
    assert one["trials"] == other["trials"]
    assert one["epochs_trained"] == other["epochs_trained"]
    assert one["best"]["params"] == other["best"]["params"]
    assert one["test"]["loss"] == pytest.approx(other["test"]["loss"], rel=2e-2)
