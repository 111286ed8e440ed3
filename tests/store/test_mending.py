"""Journals cut, flipped and overwritten: mended on opening, or refused in one line."""

from __future__ import annotations

import json
import math
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from tunekit import LogUniform, OneMinusLogUniform, ResumeError, tune
from tunekit.lines import opened
from tunekit.report import build
from tunekit.store import Store
from tunekit.warm import earlier

from .conftest import always, posix, said, start, suggest

SPACE = {"lr": LogUniform(1e-3, 1.0), "momentum": OneMinusLogUniform(0.5, 0.99)}
Damage = Callable[[list[bytes]], bytes]


def make(params: dict[str, Any]) -> Iterator[float]:
    away = abs(math.log10(params["lr"]) + 1.5) + params["momentum"]
    yield from (away + 1 / epoch for epoch in range(1, 5))


def search(out: Path, **options: Any) -> optuna.Study:
    # Draws that depend on a trial's number alone, so that a lost one is drawn again.
    given = {"max_epochs": 4, "n_trials": 6, "sampler": "random", **options}
    return tune(make, SPACE, out=out, name="s", **given).study


def values(study: optuna.Study) -> list[Any]:
    return [(t.state, t.params, t.intermediate_values) for t in study.trials]


def by_optuna(out: Path) -> list[Any]:
    """As anybody reads it who knows Optuna alone."""
    backend = JournalFileBackend(str(out / "s" / "journal.log"))
    return values(optuna.load_study(study_name="s", storage=JournalStorage(backend)))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole")
    search(out)
    return out


def where(lines: list[bytes], what: bytes, which: int = 0) -> int:
    return [i for i, line in enumerate(lines) if what in line][which]


def spoilt(what: bytes, which: int = 0) -> Damage:
    """A line of which nothing can be read."""

    def damage(lines: list[bytes]) -> bytes:
        i = where(lines, what, which)
        lines[i] = b"#" * (len(lines[i]) - 1) + b"\n"
        return b"".join(lines)

    return damage


def digit(lines: list[bytes]) -> bytes:
    i = where(lines, b'"intermediate_value"', 4)
    at = lines[i].index(b'"intermediate_value":') + 24
    lines[i] = lines[i][:at] + bytes([lines[i][at] ^ 1]) + lines[i][at + 1 :]
    return b"".join(lines)


def nuls(lines: list[bytes]) -> bytes:
    content = b"".join(lines)
    middle = len(content) // 2
    return content[:middle] + bytes(1024) + content[middle + 1024 :]


DAMAGES: dict[str, Damage] = {
    "a digit of a loss": digit,
    "no making of a trial": spoilt(b'"op_code":4', 3),
    "no report": spoilt(b'"intermediate_value"', 5),
    "no last report": spoilt(b'"intermediate_value"', -1),
    "no hyperparameter": spoilt(b'"param_name"', 4),
    "no end of a trial": spoilt(b'"op_code":6', 2),
    "no first line": spoilt(b'"op_code":0'),
    "the first line gone": lambda lines: b"".join(lines[1:]),
    "a line twice": lambda lines: b"".join(lines[:30] + lines[29:]),
    "zeros in the middle": nuls,
    "zeros alone": lambda lines: bytes(len(b"".join(lines))),
    "no end of line": lambda lines: b"".join(lines).replace(b"\n", b" "),
    "nothing": lambda lines: b"",
}


def damaged(whole: Path, tmp_path: Path, damage: Damage, copy: bool) -> Path:
    out = tmp_path / "damaged"
    shutil.copytree(whole, out)
    journal = out / "s" / "journal.log"
    lines = journal.read_bytes().splitlines(keepends=True)
    if not copy:
        (out / "s" / "journal.copy").unlink()
    journal.write_bytes(damage(lines))
    return out


@pytest.mark.parametrize("copy", [True, False])
@pytest.mark.parametrize("what", DAMAGES)
def test_whatever_is_damaged_the_same_command_ends_with_the_same_values(
    whole: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    what: str,
    copy: bool,
) -> None:
    out = damaged(whole, tmp_path, DAMAGES[what], copy)
    was = (out / "s" / "journal.log").read_bytes()
    found = values(search(out))
    assert found == values(search(whole))
    assert by_optuna(out) == found
    lines = [line for line in caplog.messages if "damaged" in line]
    if copy:
        assert len(lines) == 1
        assert "\n" not in lines[0]
    if lines:
        assert (out / "s" / "journal-damaged-1.log").read_bytes() == was
        assert "journal-damaged-1.log" in lines[0]
    caplog.clear()
    assert values(search(out)) == found  # mended once and for all
    assert not caplog.messages


@pytest.mark.parametrize("copy", [True, False])
def test_cut_anywhere(whole: Path, tmp_path: Path, copy: bool) -> None:
    draw = random.Random(1)
    for n in range(20):

        def cut(lines: list[bytes]) -> bytes:
            content = b"".join(lines)
            return content[: draw.randrange(len(content))]

        out = damaged(whole, tmp_path / str(n), cut, copy)
        assert values(search(out)) == values(search(whole))


@pytest.mark.parametrize("copy", [True, False])
def test_flipped_anywhere(whole: Path, tmp_path: Path, copy: bool) -> None:
    draw = random.Random(2)
    for n in range(20):

        def flip(lines: list[bytes]) -> bytes:
            content = bytearray(b"".join(lines))
            content[draw.randrange(len(content))] ^= draw.randrange(1, 256)
            return bytes(content)

        out = damaged(whole, tmp_path / str(n), flip, copy)
        assert values(search(out)) == values(search(whole))


def test_damage_to_both_in_different_places_costs_nothing(
    whole: Path, tmp_path: Path
) -> None:
    out = damaged(whole, tmp_path, digit, copy=True)
    copy = out / "s" / "journal.copy"
    content = copy.read_bytes()
    copy.write_bytes(content[:300] + bytes(900) + content[1200:])
    study = Store(out / "s").study
    assert values(study) == values(search(whole))
    assert copy.read_bytes().startswith(content)
    assert copy.read_bytes() == (out / "s" / "journal.log").read_bytes()


@pytest.mark.parametrize("what", [b'"op_code":4', b'"intermediate_value"', b'"param_'])
def test_a_line_that_is_gone_is_seen_by_the_copy(
    whole: Path, tmp_path: Path, what: bytes
) -> None:
    def gone(lines: list[bytes]) -> bytes:
        i = where(lines, what, 3)
        return b"".join(lines[:i] + lines[i + 1 :])

    out = damaged(whole, tmp_path, gone, copy=True)
    assert values(Store(out / "s").study) == values(search(whole))


def test_a_report_reads_a_damaged_journal_and_writes_nothing(
    whole: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out = damaged(whole, tmp_path, nuls, copy=True)
    before = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
    assert build(out / "s")["history"] == build(whole / "s")["history"]
    assert len(caplog.messages) == 1
    assert earlier(out / "s") == earlier(whole / "s")
    assert {p: p.read_bytes() for p in out.rglob("*") if p.is_file()} == before


def test_a_wider_space_mends_first(whole: Path, tmp_path: Path) -> None:
    out = damaged(whole, tmp_path, nuls, copy=True)
    wide = {**SPACE, "lr": LogUniform(1e-4, 1.0)}
    study = tune(
        make,
        wide,
        max_epochs=4,
        n_trials=6,
        sampler="random",
        out=out,
        name="s",
        extend=True,
    ).study
    assert values(study) == values(search(whole))
    assert by_optuna(out) == values(study)


def test_lines_that_do_not_fit_are_refused_in_one_line(folder: Path) -> None:
    store = Store(folder)
    trial = store.next_trial(always, suggest)
    assert trial is not None
    store.release_all()
    journal = folder / "journal.log"
    # As they were before lines had checksums: damage within a text is no damage.
    lines = [opened(line) for line in journal.read_bytes().splitlines(keepends=True)]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    journal.write_text(text.replace("FloatDistribution", "FloatDistributiom"))
    (folder / "journal.copy").unlink()
    with pytest.raises(ResumeError, match="that Optuna can read, got: ") as caught:
        Store(folder)
    assert "\n" not in str(caught.value)


@posix
def test_nobody_mends_while_another_process_trains(folder: Path) -> None:
    process = start(
        folder,
        """
        store = Store(folder)
        trial = store.next_trial(lambda trials, step: True, suggest)
        print("training", flush=True)
        sys.stdin.read()
        """,
    )
    assert said(process) == ["training"]
    journal = folder / "journal.log"
    content = journal.read_bytes()
    journal.write_bytes(content[:40] + b"?" + content[41:])
    with pytest.raises(ResumeError, match="a process that trains; stop that") as caught:
        Store(folder)
    assert "\n" not in str(caught.value)
    process.kill()
    process.communicate()
    assert len(Store(folder).trials()) == 1
    assert journal.read_bytes().startswith(content)


def test_a_copy_that_is_behind_is_completed(folder: Path) -> None:
    store = Store(folder)
    copy, journal = folder / "journal.copy", folder / "journal.log"
    copy.write_bytes(copy.read_bytes()[:20])
    trial = store.next_trial(always, suggest)
    assert trial is not None
    assert copy.read_bytes() == journal.read_bytes()
    copy.unlink()
    Store(folder)
    assert copy.read_bytes() == journal.read_bytes()


def test_a_copy_that_is_damaged_is_made_anew_in_silence(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Store(folder)
    copy, journal = folder / "journal.copy", folder / "journal.log"
    content = journal.read_bytes()
    copy.write_bytes(bytes(len(content)))
    Store(folder)
    assert copy.read_bytes() == journal.read_bytes()
    assert journal.read_bytes().startswith(content)
    assert not caplog.messages
