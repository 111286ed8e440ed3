"""Who holds a lease where locks may not be seen, and what is counted of deaths."""

from __future__ import annotations

import json
import os
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tunekit.store import Store, leases
from tunekit.store.leases import Leases
from tunekit.store.owners import SILENT_SECONDS, Owner

from .conftest import always, never, posix, said, start, suggest

HERE = Owner.here()
ELSEWHERE = replace(HERE, host="another", boot="other", pid=7)


def written(folder: Path, owner: Owner, age: float = 0.0) -> Path:
    """An owner's file beside a lock that is granted, last touched so long ago."""
    path = folder / "owner-00000.json"
    owner.write(path)
    then = time.time() - age
    os.utime(path, (then, then))
    return path


@pytest.mark.parametrize(
    ("owner", "age", "free"),
    [
        (ELSEWHERE, 0.0, False),
        (ELSEWHERE, SILENT_SECONDS - 60, False),
        (ELSEWHERE, SILENT_SECONDS + 60, True),
        # A container of this machine, whose locks are seen here.
        (replace(ELSEWHERE, boot=HERE.boot), 0.0, bool(HERE.boot)),
        # This host, before it was started anew; and since.
        (replace(ELSEWHERE, host=HERE.host), 0.0, True),
        (replace(HERE, pid=1), 0.0, True),
        # A system without boot ids.
        (replace(ELSEWHERE, boot=""), 0.0, False),
    ],
)
def test_a_lock_that_is_granted_though_another_names_itself(
    tmp_path: Path, owner: Owner, age: float, free: bool
) -> None:
    path = written(tmp_path, owner, age)
    mine = Leases(tmp_path)
    assert mine.take(0) is free
    if free:
        assert Owner.read(path) == HERE
        mine.release(0)
        assert sorted(p.name for p in tmp_path.iterdir()) == []
    else:
        # It is left as it was, and taken as soon as that host falls silent.
        assert Owner.read(path) == owner
        written(tmp_path, owner, SILENT_SECONDS + 1)
        assert mine.take(0)


def test_no_two_hosts_train_one_trial(folder: Path) -> None:
    store = Store(folder)
    assert store.next_trial(always, suggest) is not None
    store.release_all()
    written(folder / "leases", ELSEWHERE)
    second = store.next_trial(always, suggest)
    assert second is not None
    assert second.number == 1
    written(folder / "leases", ELSEWHERE, SILENT_SECONDS + 1)
    first = store.next_trial(never, suggest)
    assert first is not None
    assert first.number == 0


def test_what_is_held_is_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "_BEAT_SECONDS", 0.05)
    monkeypatch.setattr(leases._Heart, "_thread", None)
    mine = Leases(tmp_path)
    assert mine.take(0)
    path = tmp_path / "owner-00000.json"
    os.utime(path, (1.0, 1.0))
    until = time.monotonic() + 20
    while path.stat().st_mtime == 1.0 and time.monotonic() < until:
        time.sleep(0.02)
    assert path.stat().st_mtime > 1.0
    monkeypatch.setattr(leases, "_BEAT_SECONDS", 3600.0)
    mine.release(0)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"host": 3}', '{"pid": "1"}', '{"else": 1}', "\0"]
)
def test_a_file_that_names_nobody(tmp_path: Path, text: str) -> None:
    path = tmp_path / "owner-00000.json"
    path.write_text(text)
    assert Owner.read(path) is None
    assert Leases(tmp_path).take(0)


def died(before: Owner, epochs: int, **changes: Any) -> Owner:
    return HERE.after(replace(before, **changes), epochs)


def test_deaths_count_at_one_epoch_and_of_whom_began_it() -> None:
    first = HERE.after(None, 2)
    assert (first.epochs, first.deaths) == (2, 0)
    assert died(first, 2).deaths == 0  # killed before it came to anything new
    once = died(first, 2, doing="company")
    assert (once.deaths, once.company, once.suspected) == (1, 1, False)
    assert once.doing == ""
    twice = died(once, 2, doing="company")
    assert (twice.suspected, twice.doomed) == (True, False)
    assert died(twice, 3, doing="company").deaths == 1
    alone = died(twice, 2, doing="alone")
    # What was killed in company may have been killed by chance.
    assert (alone.deaths, alone.doomed) == (3, False)
    alone = died(alone, 2, doing="alone")
    assert (alone.deaths, alone.doomed) == (4, False)
    assert died(alone, 2, doing="alone").doomed
    assert not died(alone, 2).doomed
    restarted = died(alone, 2, doing="alone", boot="another")
    assert restarted.deaths == alone.deaths


def test_what_is_known_survives_a_polite_stop_but_not_an_end(tmp_path: Path) -> None:
    path = written(tmp_path, replace(HERE, epochs=2, doing="company", company=1))
    mine = Leases(tmp_path)
    assert mine.take(0, 2)
    assert mine.owner(0).company == 2
    mine.begin([0])
    assert json.loads(path.read_text())["doing"] == "alone"
    mine.release_all()
    assert mine.take(0, 2)
    assert (mine.owner(0).company, mine.owner(0).alone) == (2, 0)
    mine.release_all()
    assert mine.take(0)  # by somebody who does not count its epochs
    assert (mine.owner(0).epochs, mine.owner(0).company) == (2, 2)
    mine.release(0, settled=True)
    assert not path.exists()


STOPPED = """
import tunekit.interrupt as interrupt
store = Store(folder)
trial = store.next_trial(lambda trials, step: True, suggest)
store.begin_epoch([trial.number])
sys.argv = ["-m"]
interrupt.is_command(str(folder))
print(os.getpid(), flush=True)
with interrupt.listening(), interrupt.shield():
    time.sleep(60)
    time.sleep(60)
"""


@posix
@pytest.mark.parametrize(
    ("how", "deaths"), [("killed", 1), ("ended by us", 0), ("Ctrl-C twice", 0)]
)
def test_a_person_who_ends_a_process_is_no_trials_fault(
    folder: Path, how: str, deaths: int
) -> None:
    store = Store(folder)
    process = start(folder, STOPPED)
    (pid,) = map(int, said(process))
    if how == "Ctrl-C twice":
        until = time.monotonic() + 50
        while process.poll() is None and time.monotonic() < until:
            process.send_signal(signal.SIGINT)
            time.sleep(0.05)
        assert process.wait(60) == 130
    else:
        process.kill()
        process.wait(60)
        if how == "ended by us":
            store.forgive([pid, 10**9])
    process.communicate()
    trial = store.next_trial(never, suggest)
    assert trial is not None
    assert store._leases.owner(trial.number).deaths == deaths
