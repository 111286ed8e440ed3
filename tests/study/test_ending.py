"""A finished study whose files were lost or damaged, and two commands at its end."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from rich.console import Console

import tunekit
from tunekit.budget import best_of
from tunekit.config import Config
from tunekit.errors import DataError
from tunekit.predict import Predictor
from tunekit.report.__main__ import main as report_main
from tunekit.store import Store
from tunekit.study.ending import one_judge, unjudged

OPTIONS: dict[str, Any] = {
    "n_trials": 3,
    "max_epochs": 3,
    "final_seeds": 2,
    "space": {"width": 8, "n_layers": 1, "batch_size": 64},
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished study."""
    out = tmp_path_factory.mktemp("whole")
    return tunekit.run(
        Config(**OPTIONS, out=str(out)), console=Console(file=StringIO())
    ).folder


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(whole, tmp_path / "runs" / "digits"))


def again(folder: Path) -> tuple[tunekit.Result, str]:
    """The same command once more, and what it says."""
    console = Console(file=StringIO(), width=200)
    result = tunekit.run(Config(**OPTIONS, out=str(folder.parent)), console=console)
    assert isinstance(console.file, StringIO)
    return result, console.file.getvalue()


def made(folder: Path) -> dict[str, bytes]:
    """What the end of a study makes, apart from times and the folder's own path."""
    names = [Path("final.json"), *[p.relative_to(folder) for p in model(folder)]]
    return {str(name): (folder / name).read_bytes() for name in sorted(names)}


def model(folder: Path) -> list[Path]:
    return [*(folder / "model").iterdir()]


def flip(path: Path, seed: int = 0) -> None:
    content = bytearray(path.read_bytes())
    content[random.Random(seed).randrange(len(content))] ^= 1
    path.write_bytes(content)


DAMAGE: list[tuple[str, Callable[[Path], object]]] = [
    ("final.json is missing", lambda f: (f / "final.json").unlink()),
    ("final.json is damaged", lambda f: flip(f / "final.json")),
    ("final.json is damaged", lambda f: (f / "final.json").write_bytes(b"")),
    ("model/ is missing", lambda f: shutil.rmtree(f / "model")),
    ("model/ is damaged", lambda f: flip(f / "model/model.safetensors")),
    ("model/ is damaged", lambda f: flip(f / "model/model.json")),
    ("model/ is damaged", lambda f: (f / "model/checksums.json").unlink()),
]


@pytest.mark.parametrize(("said", "harm"), DAMAGE)
def test_what_the_end_made_is_made_again(
    whole: Path, folder: Path, said: str, harm: Callable[[Path], object]
) -> None:
    harm(folder)
    trials = Store(whole).trials()
    result, told = again(folder)
    assert f"  {said}: made again from the trials that are recorded\n" in told
    assert made(folder) == made(whole)
    assert [t.intermediate_values for t in Store(folder).trials()] == [
        t.intermediate_values for t in trials
    ]
    assert Predictor.load(folder).info["trial"] == result.report["best"]["number"]
    assert "made again" not in again(folder)[1]


def test_a_model_of_another_study_is_seen(folder: Path) -> None:
    best = best_of(Store(folder).trials())
    assert unjudged(folder, best) == ""
    described = json.loads((folder / "model/model.json").read_text())
    described["info"]["trial"] += 1
    content = json.dumps(described).encode()
    (folder / "model/model.json").write_bytes(content)
    sums = json.loads((folder / "model/checksums.json").read_text())
    sums["model.json"] = hashlib.sha256(content).hexdigest()
    (folder / "model/checksums.json").write_text(json.dumps(sums))
    assert unjudged(folder, best) == "model/ is of another trial"


@pytest.mark.parametrize("name", ["report.json", "report.html"])
@pytest.mark.parametrize("how", ["flipped", "cut", "gone"])
def test_a_damaged_report_is_written_again(folder: Path, name: str, how: str) -> None:
    (folder / "report.json").unlink()
    again(folder)  # now by the path of this copy
    path = folder / name
    was = path.read_bytes()
    if how == "flipped":
        flip(path, seed=len(was))
    elif how == "cut":
        path.write_bytes(was[: len(was) // 2])
    else:
        path.unlink()
    _, told = again(folder)
    assert "  the report is missing or damaged: made again\n" in told
    assert path.read_bytes() == was
    assert "made again" not in again(folder)[1]


def test_a_folder_that_was_moved_needs_nothing(folder: Path, tmp_path: Path) -> None:
    moved = folder.rename(tmp_path / "digits")
    stamp = (moved / "report.json").stat().st_mtime_ns
    _, told = again(moved)
    assert "made again" not in told
    assert (moved / "report.json").stat().st_mtime_ns == stamp


def test_no_flip_in_final_json_gets_into_a_report(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / "final.json"
    was = path.read_bytes()
    content = tunekit.report.build(folder)
    draw = random.Random(1)
    said = []
    for _ in range(40):
        damaged = bytearray(was)
        damaged[draw.randrange(len(was))] ^= 1 << draw.randrange(8)
        path.write_bytes(damaged)
        try:
            assert tunekit.report.build(folder) == content
        except DataError as error:
            said.append(str(error))
    assert len(said) > 20
    assert all("final.json cannot be read" in line for line in said)
    assert not any("\n" in line for line in said)
    assert report_main([str(folder)]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "run the same tunekit.study command again" in err


def test_one_at_a_time_and_the_other_is_told(tmp_path: Path) -> None:
    lock = FileLock(tmp_path / "leases" / "ending.lock")
    (tmp_path / "leases").mkdir()
    (tmp_path / ".model-left").mkdir()
    with one_judge(tmp_path, print):  # the only model there may be
        assert (tmp_path / ".model-left").exists()
    (tmp_path / "model").mkdir()
    lock.acquire()
    said: list[str] = []

    def say(text: str) -> None:
        said.append(text)
        assert (tmp_path / ".model-left").exists()
        lock.release()

    with one_judge(tmp_path, say):
        assert said == ["another command judges the winner: waiting for it"]
        assert not (tmp_path / ".model-left").exists()
    with one_judge(tmp_path, say):
        assert len(said) == 1


def test_who_waited_shows_what_the_other_has_made(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "final.json").unlink()
    other: list[tunekit.Result] = []

    def meanwhile(at: Path, say: Any) -> Any:
        monkeypatch.undo()
        other.append(again(at)[0])  # the other command, from its start to its end
        return one_judge(at, say)

    monkeypatch.setattr("tunekit.study.job.one_judge", meanwhile)
    result, told = again(folder)
    assert "training the winner" not in told
    assert result.report == other[0].report
    assert unjudged(folder, best_of(Store(folder).trials())) == ""


@pytest.mark.slow
def test_two_commands_at_once(tmp_path: Path) -> None:
    arguments = ["--n-trials", "10", "--max-epochs", "8", "--final-seeds", "2"]
    arguments += ["--set", "width=8..16", "--set", "n_layers=1"]
    both = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "tunekit.study", *arguments],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    said = [each.communicate(timeout=240) for each in both]
    assert [each.returncode for each in both] == [0, 0], said
    folder = tmp_path / "runs" / "digits"
    # Who has nothing left to do trains no winner that another has trained.
    assert sum(out.count("training the winner anew") > 0 for out, _ in said) == 1
    closing = [out[out.index("best of 10 trials") :] for out, _ in said]
    assert closing[0] == closing[1]
    logs = [json.loads(li) for li in (folder / "journal.log").read_text().splitlines()]
    epochs = Counter(
        (log["trial_id"], log["step"]) for log in logs if "intermediate_value" in log
    )
    assert set(epochs.values()) == {1}
    assert [t.number for t in Store(folder).trials()] == [*range(10)]
    assert unjudged(folder, best_of(Store(folder).trials())) == ""
    assert not [*folder.glob(".*")]
