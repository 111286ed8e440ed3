"""Study folders: made, refused, made again after a kill."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import optuna
import pytest

from tunekit.errors import ConfigError, ResumeError
from tunekit.files import UNFINISHED, unsealed, write_text
from tunekit.store import Store, settings_of
from tunekit.store import folder as folder_module

from .conftest import DATA, settings


def test_a_folder_is_made_and_opened(folder: Path) -> None:
    assert Store.exists(folder)
    assert sorted(path.name for path in folder.iterdir()) == [
        "checkpoints",
        "leases",
        "split.json",
        "study.toml",
        "tb",
    ]
    assert unsealed(json.loads((folder / "split.json").read_text())) == DATA
    store = Store(folder)
    assert store.settings == settings_of(folder) == settings()
    assert store.study.study_name == "s"
    assert store.study.direction == optuna.study.StudyDirection.MINIMIZE
    assert store.trials() == []
    assert [t.number for t in Store(folder).trials()] == []


def test_a_folder_is_no_study_until_its_settings_stand(tmp_path: Path) -> None:
    assert not Store.exists(tmp_path)
    with pytest.raises(ResumeError, match="must be a study folder"):
        Store(tmp_path)
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("content", [b"a = ", b"\xff\xfe"])
def test_torn_settings(folder: Path, content: bytes) -> None:
    (folder / "study.toml").write_bytes(content)
    with pytest.raises(ResumeError, match="must be readable TOML") as caught:
        Store(folder)
    assert "\n" not in str(caught.value)


def test_settings_may_be_extended(folder: Path) -> None:
    store = Store(folder)
    store.extend(settings(n_trials=99))
    assert store.settings["n_trials"] == 99
    assert settings_of(folder)["n_trials"] == 99


def test_making_is_quiet(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = optuna.logging.get_verbosity()
    Store(folder)
    assert capfd.readouterr() == ("", "")
    assert optuna.logging.get_verbosity() == before


def test_what_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "journal.log").write_text("someone's")
    with pytest.raises(ConfigError, match="choose another --name"):
        Store.create(tmp_path, settings(), DATA)
    assert [*tmp_path.iterdir()] == [tmp_path / "journal.log"]


# --- places that cannot be written ----------------------------------------------------


def unwritable(tmp_path: Path, case: str) -> Path:
    (tmp_path / "file").write_text("mine")
    return {
        "a file on the way": tmp_path / "file" / "s",
        "a file deep on the way": tmp_path / "new" / ".." / "file" / "x" / "s",
        "a file in its place": tmp_path / "file",
        "a name too long": tmp_path / "new" / "newer" / ("x" * 300),
        "a name too long at once": tmp_path / ("x" * 300),
        "no such device": Path("/proc/nowhere/s"),
    }[case]


@pytest.mark.parametrize(
    "case",
    [
        "a file on the way",
        "a file deep on the way",
        "a file in its place",
        "a name too long",
        "a name too long at once",
        "no such device",
    ],
)
def test_unwritable_places_are_one_line_and_nothing_is_left(
    tmp_path: Path, case: str
) -> None:
    folder = unwritable(tmp_path, case)
    assert not Store.exists(folder)
    with pytest.raises(ConfigError) as caught:
        Store.create(folder, settings(), DATA)
    assert "\n" not in str(caught.value)
    assert "choose another --out" in str(caught.value)
    assert [*tmp_path.rglob("*")] == [tmp_path / "file"]
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("file", ["split.json", "study.toml"])
def test_a_full_disk_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    real = write_text

    def full(path: Path, *arguments: Any) -> None:
        if path.name == file:
            raise OSError(28, "No space left on device")
        real(path, *arguments)

    monkeypatch.setattr(
        folder_module, "write_toml", lambda path, value: full(path, str(value))
    )
    monkeypatch.setattr(
        folder_module, "write_sealed", lambda path, value: full(path, json.dumps(value))
    )
    with pytest.raises(ConfigError, match="No space left on device"):
        Store.create(tmp_path / "a" / "b" / "s", settings(), DATA)
    assert not [*tmp_path.iterdir()]
    # A folder that was there before stays, with what it holds.
    (tmp_path / "a").mkdir()
    for mine in ("mine", "split.json"):
        (tmp_path / "a" / mine).write_text("")
    before = sorted(tmp_path.rglob("*"))
    for folder in (tmp_path / "a" / "s", tmp_path / "a"):
        with pytest.raises(ConfigError):
            Store.create(folder, settings(), DATA)
        assert sorted(tmp_path.rglob("*")) == before


def test_a_making_that_was_killed_is_made_again(tmp_path: Path) -> None:
    """Killed within a write, it leaves a file without its last name."""
    folder = tmp_path / "s"

    code = (
        "import json, os, sys\nfrom pathlib import Path\n"
        "from tunekit.store import Store\n"
        "os.fsync = lambda file: os._exit(9)\n"
        "Store.create(Path(sys.argv[1]), *map(json.loads, sys.argv[2:]))"
    )
    told = [str(folder), json.dumps(settings()), json.dumps(DATA)]
    done = subprocess.run([sys.executable, "-c", code, *told], check=False)
    assert done.returncode == 9
    assert [path for path in folder.iterdir() if path.name.startswith(UNFINISHED)]
    Store.create(folder, settings(), DATA)
    assert Store.exists(folder)


def test_a_folder_with_other_files_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    app = tmp_path / "runs" / "app"
    (app / "model").mkdir(parents=True)
    (app / "model" / "code.py").write_text("mine")
    with pytest.raises(ConfigError, match="other files"):
        Store.create(app, settings(), DATA)
    assert [p.name for p in app.rglob("*")] == ["model", "code.py"]


def test_a_making_that_was_cut_short_is_made_again(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    for part in ("leases", "tb"):
        (folder / part).mkdir(parents=True)
    (folder / "split.json").write_text("{")
    Store.create(folder, settings(), DATA)
    assert Store(folder).trials() == []


def test_a_place_that_something_occupies(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    Store.check_place(tmp_path / "new" / "s")
    with pytest.raises(ConfigError, match="choose another --out"):
        Store.check_place(tmp_path / "file" / "s")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
