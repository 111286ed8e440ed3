"""Whether a folder holds the same study."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tunekit.errors import ResumeError
from tunekit.files import unsealed, write_toml
from tunekit.store import DEFINING, check_same, settings_of

from .conftest import DATA, settings


def test_the_same_is_not_refused(folder: Path) -> None:
    check_same(folder, settings(), DATA)
    budget = settings(n_trials=500, workers=4, timeout="5m", final_seeds=1)
    check_same(folder, budget, {**DATA, "source": "moved/t.csv"})


OTHER = {
    "target": "z",
    "drop": ["z"],
    "split": "70/20/10",
    "max_epochs": 31,
    "patience": 11,
    "sampler": "random",
    "pruner": "none",
    "seed": 1,
    "direction": "maximize",
    "enqueue": ["{}"],
    "warm_start": "runs/other",
    "monitor": "acc",
}


@pytest.mark.parametrize("name", DEFINING)
def test_another_search_is_refused(folder: Path, name: str) -> None:
    assert set(OTHER) == set(DEFINING)
    # Only one that has a monitor can have another.
    made = {"monitor": "val_loss", **settings()}
    write_toml(folder / "study.toml", made)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    with pytest.raises(ResumeError) as caught:
        check_same(folder, {**made, name: OTHER[name]}, DATA)
    line = str(caught.value)
    assert "\n" not in line
    assert line.startswith(f'the study "s" was made with {name.replace("_", "-")} ')
    assert line.endswith('choose another name, such as name="s-2"')
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_a_folder_that_says_nothing_of_a_monitor_goes_on(folder: Path) -> None:
    check_same(folder, {**settings(), "monitor": "val_loss"}, DATA)


def test_the_old_and_the_new_value_are_named(folder: Path) -> None:
    with pytest.raises(ResumeError, match=r"max-epochs 30, now 31;"):
        check_same(folder, settings(max_epochs=31), DATA)
    with pytest.raises(ResumeError, match=r"split 0.6/0.2/0.2, now 0.7/0.2/0.1;"):
        check_same(folder, settings(split="70/20/10"), DATA)
    with pytest.raises(ResumeError, match="target not set, now z;"):
        check_same(folder, settings(target="z"), DATA)


@pytest.mark.parametrize(
    "space",
    [
        {"lr": {"scale": "log", "low": 1e-4, "high": 1e-2}, "width": 8},
        {"lr": {"scale": "log", "low": 1e-4, "high": 1e-1}, "width": 9},
        {"lr": {"scale": "log", "low": 1e-4, "high": 1e-1}},
        {
            "lr": {"scale": "log", "low": 1e-4, "high": 1e-1},
            "width": 8,
            "dropout": 0.1,
        },
        {"lr": {"scale": "uniform", "low": 1e-4, "high": 1e-1}, "width": 8},
        {"lr": [1e-4, 1e-1], "width": 8},
    ],
)
def test_another_space_is_refused(folder: Path, space: dict[str, Any]) -> None:
    with pytest.raises(ResumeError, match="another space") as caught:
        check_same(folder, {**settings(), "space": space}, DATA)
    assert "\n" not in str(caught.value)


def test_other_data_is_refused_before_all_else(folder: Path) -> None:
    other = {"fingerprint": "abd", "source": "u.csv"}
    with pytest.raises(ResumeError, match=r"other data \(t.csv, now u.csv\)"):
        check_same(folder, settings(seed=5), other)


def test_the_name_that_is_offered_is_free(folder: Path) -> None:
    (folder.parent / "s-2").mkdir()
    (folder.parent / "s-3").write_text("")
    with pytest.raises(ResumeError, match=r'name="s-4"$'):
        check_same(folder, settings(seed=5), DATA)


@pytest.mark.parametrize("content", [None, "", "{", "[]", "3"])
def test_a_damaged_description_is_one_line(folder: Path, content: str | None) -> None:
    (folder / "split.json").unlink()
    if content is not None:
        (folder / "split.json").write_text(content)
    with pytest.raises(ResumeError, match="must be as it was written") as caught:
        check_same(folder, settings(), DATA)
    assert "\n" not in str(caught.value)


def test_no_flip_in_split_json_is_taken_for_what_was_read(folder: Path) -> None:
    path = folder / "split.json"
    was = path.read_bytes()
    for at in range(len(was)):
        for bit in (0, 1, 4, 7):
            content = bytearray(was)
            content[at] ^= 1 << bit
            path.write_bytes(content)
            try:
                found = unsealed(json.loads(path.read_text("utf-8")))
            except ValueError:
                with pytest.raises(ResumeError, match="must be as it was written"):
                    check_same(folder, settings(), DATA)
            else:
                # The checksum's own name: there is none then, as in earlier versions.
                assert {**found, **DATA} == found


def test_no_flip_in_study_toml_is_taken_for_a_setting(folder: Path) -> None:
    path = folder / "study.toml"
    was, wanted = path.read_bytes(), settings_of(folder)
    for at in range(len(was)):
        for bit in (0, 1, 4, 7):
            content = bytearray(was)
            content[at] ^= 1 << bit
            path.write_bytes(content)
            with suppress(ResumeError):
                assert settings_of(folder) == wanted, at
    path.write_bytes(was[was.index(b"\n") + 1 :])  # as an earlier version wrote it
    assert settings_of(folder) == wanted


def test_no_cut_of_study_toml_is_taken_for_settings(folder: Path) -> None:
    path = folder / "study.toml"
    was = path.read_bytes()
    for at in range(len(was)):
        path.write_bytes(was[:at])
        with pytest.raises(ResumeError, match="must be readable TOML"):
            settings_of(folder)


def test_who_edits_study_toml_is_told_how(folder: Path) -> None:
    path = folder / "study.toml"
    seal, rest = path.read_text("utf-8").split("\n", 1)
    edited = rest.replace("workers = 1", "workers = 3")
    path.write_text(f"{seal}\n{edited}", "utf-8")
    with pytest.raises(ResumeError, match="if you edited it, delete line 1"):
        settings_of(folder)
    path.write_text(edited, "utf-8")
    assert settings_of(folder)["workers"] == 3
