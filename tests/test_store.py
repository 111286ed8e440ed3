"""The study folder: made, refused, shared, and left behind by killed processes."""

from __future__ import annotations

import functools
import json
import math
import operator
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
from filelock import FileLock
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import Trial, TrialState
from safetensors.torch import load_file

from tunekit.config import Config
from tunekit.errors import ConfigError, ResumeError, StoppedError
from tunekit.files import UNFINISHED
from tunekit.interrupt import Interrupted, listening
from tunekit.store import DEFINING, Store, check_same, settings_of
from tunekit.store import checkpoints as checkpoints_module
from tunekit.store import folder as folder_module

DATA = {"fingerprint": "abc", "source": "t.csv"}
posix = pytest.mark.skipif(os.name == "nt", reason="signals are POSIX's")


def settings(**options: Any) -> dict[str, Any]:
    space = {"lr": {"scale": "log", "low": 1e-4, "high": 1e-1}, "width": 8}
    return {**Config(**options).as_settings(), "space": space}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "runs" / "s"
    Store.create(made, settings(), DATA)
    return made


def suggest(trial: Trial) -> None:
    trial.suggest_float("lr", 1e-4, 1e-1, log=True)
    trial.suggest_int("width", 8, 64)


def always(trials: Sequence[Any], step: Any) -> bool:
    return True


def never(trials: Sequence[Any], step: Any) -> bool:
    return False


def leases(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "leases").glob("trial-*"))


# --- made and opened ------------------------------------------------------------------


def test_a_folder_is_made_and_opened(folder: Path) -> None:
    assert Store.exists(folder)
    assert sorted(path.name for path in folder.iterdir()) == [
        "checkpoints",
        "leases",
        "split.json",
        "study.toml",
        "tb",
    ]
    assert json.loads((folder / "split.json").read_text()) == DATA
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
    real = folder_module.write_text

    def full(path: Path, *arguments: Any) -> None:
        if path.name == file:
            raise OSError(28, "No space left on device")
        real(path, *arguments)

    monkeypatch.setattr(folder_module, "write_text", full)
    monkeypatch.setattr(
        folder_module, "write_json", lambda path, value: full(path, json.dumps(value))
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


# --- the same study? ------------------------------------------------------------------


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
}


@pytest.mark.parametrize("name", DEFINING)
def test_another_search_is_refused(folder: Path, name: str) -> None:
    assert set(OTHER) == set(DEFINING)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    with pytest.raises(ResumeError) as caught:
        check_same(folder, {**settings(), name: OTHER[name]}, DATA)
    line = str(caught.value)
    assert "\n" not in line
    assert line.startswith(f'the study "s" was made with {name.replace("_", "-")} ')
    assert line.endswith("choose another name, such as --name s-2")
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


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
    with pytest.raises(ResumeError, match=r"--name s-4$"):
        check_same(folder, settings(seed=5), DATA)


@pytest.mark.parametrize("content", [None, "", "{", "[]", "3"])
def test_a_damaged_description_is_one_line(folder: Path, content: str | None) -> None:
    (folder / "split.json").unlink()
    if content is not None:
        (folder / "split.json").write_text(content)
    with pytest.raises(ResumeError, match="must be readable JSON") as caught:
        check_same(folder, settings(), DATA)
    assert "\n" not in str(caught.value)


# --- trials and leases ----------------------------------------------------------------


def test_a_trial_is_leased_until_it_ends(folder: Path) -> None:
    store = Store(folder)
    trial = store.next_trial(always, suggest)
    assert trial is not None
    assert trial.number == 0
    assert set(trial.params) == {"lr", "width"}
    assert leases(folder) == ["trial-00000.lock"]
    trial.report(0.5, 1)
    store.finish(trial, TrialState.COMPLETE, {"best_val_loss": 0.5}, 0.5)
    assert leases(folder) == []
    (frozen,) = Store(folder).trials()
    assert (frozen.state, frozen.value) == (TrialState.COMPLETE, 0.5)
    assert frozen.user_attrs == {"to_epoch": 30, "best_val_loss": 0.5}


@pytest.mark.parametrize("state", [TrialState.PRUNED, TrialState.FAIL])
def test_other_ends(folder: Path, state: TrialState) -> None:
    store = Store(folder)
    trial = store.next_trial(always, suggest)
    assert trial is not None
    store.finish(trial, state, {"error": "x"})
    assert store.trials()[0].state == state
    assert leases(folder) == []


def test_no_budget_no_trial(folder: Path) -> None:
    store = Store(folder)
    assert store.next_trial(never, suggest) is None
    assert store.trials() == []
    assert leases(folder) == []


def test_the_budget_sees_running_trials(folder: Path) -> None:
    store, seen = Store(folder), []
    for _ in range(3):
        store.next_trial(lambda trials, step: seen.append(len(trials)) or True, suggest)
    assert seen == [0, 1, 2]


def test_two_stores_of_one_process_do_not_share_trials(folder: Path) -> None:
    one, two = Store(folder), Store(folder)
    first, second = one.next_trial(always, suggest), two.next_trial(always, suggest)
    assert first is not None
    assert second is not None
    assert (first.number, second.number) == (0, 1)
    assert two.next_trial(never, suggest) is None
    one.release_all()
    assert leases(folder) == ["trial-00001.lock"]
    again = two.next_trial(never, suggest)
    assert again is not None
    assert again.number == 0
    assert again.params == first.params
    two.release_all()
    assert leases(folder) == []


def test_a_trial_taken_up_again_keeps_what_it_was_given(folder: Path) -> None:
    store = Store(folder, optuna.samplers.RandomSampler(seed=1))
    trial = store.next_trial(always, suggest)
    assert trial is not None
    trial.report(0.7, 1)
    store.release_all()
    other = Store(folder, optuna.samplers.RandomSampler(seed=2))
    again = other.next_trial(never, suggest)
    assert again is not None
    assert (again.number, again.params) == (0, trial.params)
    assert other.trials()[0].intermediate_values == {1: 0.7}
    other.finish(again, TrialState.COMPLETE, {}, 0.7)
    assert len(other.trials()) == 1


def test_a_half_suggested_trial_is_completed(folder: Path) -> None:
    store = Store(folder)

    def half(trial: Trial) -> None:
        trial.suggest_float("lr", 1e-4, 1e-1, log=True)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.next_trial(always, half)
    store.release_all()
    again = Store(folder).next_trial(never, suggest)
    assert again is not None
    assert set(again.params) == {"lr", "width"}


def test_release_is_no_end(folder: Path) -> None:
    store = Store(folder)
    store.next_trial(always, suggest)
    store.release_all()
    store.release_all()
    assert store.trials()[0].state == TrialState.RUNNING


@posix
def test_a_lease_is_gone_before_it_is_free(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its file must not be removed once another process may have locked it."""
    store = Store(folder)
    trial = store.next_trial(always, suggest)
    path = folder / "leases" / "trial-00000.lock"
    there: list[bool] = []
    real = FileLock.release

    def release(lock: FileLock, *arguments: Any, **named: Any) -> None:
        if Path(lock.lock_file) == path:
            there.append(path.exists())
        real(lock, *arguments, **named)

    monkeypatch.setattr(FileLock, "release", release)
    assert trial is not None
    store.release_all()
    assert there[:1] == [False]


# --- processes that are killed --------------------------------------------------------

PRELUDE = """
import os, signal, sys, time
from pathlib import Path
from tunekit.store import Store, check_same, settings_of
from optuna.trial import TrialState
folder = Path(sys.argv[1])
def suggest(trial):
    trial.suggest_float("lr", 1e-4, 1e-1, log=True)
    trial.suggest_int("width", 8, 64)
"""


def start(folder: Path, code: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", PRELUDE + textwrap.dedent(code), folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def said(process: subprocess.Popen[str]) -> list[str]:
    assert process.stdout is not None
    return process.stdout.readline().split()


HOLDS = """
store = Store(folder)
trial = store.next_trial(lambda trials, step: True, suggest)
trial.report(0.5, 1)
print(trial.number, trial.params["lr"], trial.params["width"], flush=True)
sys.stdin.read()
"""


@posix
def test_a_killed_owner_leaves_its_trial_to_the_next(folder: Path) -> None:
    process = start(folder, HOLDS)
    number, lr, width = said(process)
    store = Store(folder)
    # While its owner lives it is nobody else's.
    assert store.next_trial(never, suggest) is None
    second = store.next_trial(always, suggest)
    assert second is not None
    assert second.number == 1
    process.kill()
    process.communicate()
    again = store.next_trial(never, suggest)
    assert again is not None
    assert again.number == int(number) == 0
    assert again.params == {"lr": float(lr), "width": int(width)}
    assert store.trials()[0].intermediate_values == {1: 0.5}
    store.finish(again, TrialState.COMPLETE, {}, 0.5)
    store.finish(second, TrialState.COMPLETE, {}, 0.6)
    assert leases(folder) == []
    assert [t.state for t in store.trials()] == [TrialState.COMPLETE] * 2


@posix
@pytest.mark.parametrize("lock", ["journal.lock", "leases/asking.lock"])
def test_a_lock_dies_with_its_process(folder: Path, lock: str) -> None:
    Store(folder)
    process = start(
        folder,
        f"""
        store = Store(folder)
        lock = store._leases.asking
        if {lock!r} == "journal.lock":
            lock = store._storage._backend._lock._lock
        assert Path(lock.lock_file) == folder / {lock!r}
        lock.acquire()
        print("locked", flush=True)
        sys.stdin.read()
        """,
    )
    assert said(process) == ["locked"]
    process.send_signal(signal.SIGKILL)
    process.communicate()
    began = time.monotonic()
    store = Store(folder)
    trial = store.next_trial(always, suggest)
    assert trial is not None
    store.finish(trial, TrialState.COMPLETE, {}, 0.5)
    # Optuna's own lock would have held for half a minute.
    assert time.monotonic() - began < 20


@posix
def test_processes_together_share_each_trial_once_and_keep_the_budget(
    folder: Path,
) -> None:
    code = """
    sys.stdin.readline()
    store = Store(folder)
    numbers = []
    while True:
        trial = store.next_trial(lambda trials, step: len(trials) < 24, suggest)
        if trial is None:
            break
        numbers.append(trial.number)
        trial.report(1.0, 1)
        store.finish(trial, TrialState.COMPLETE, {"owner": os.getpid()}, 1.0)
    print(*numbers, flush=True)
    """
    processes = [start(folder, code) for _ in range(3)]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    taken = [[int(number) for number in said(process)] for process in processes]
    for process in processes:
        process.communicate(timeout=240)
        assert process.returncode == 0
    assert sorted(functools.reduce(operator.iadd, taken, [])) == [*range(24)]
    trials = Store(folder).trials()
    assert len(trials) == 24
    owners = {t.number: t.user_attrs["owner"] for t in trials}
    for process, numbers in zip(processes, taken, strict=True):
        assert all(owners[number] == process.pid for number in numbers)
    assert leases(folder) == []


@posix
def test_two_processes_never_take_up_one_abandoned_trial(folder: Path) -> None:
    store = Store(folder)
    for _ in range(8):
        store.next_trial(always, suggest)
    store.release_all()
    code = """
    store = Store(folder)
    numbers = []
    while (trial := store.next_trial(lambda trials, step: False, suggest)) is not None:
        numbers.append(trial.number)
        time.sleep(0.02)
    print(*numbers, flush=True)
    sys.stdin.read()
    """
    processes = [start(folder, code) for _ in range(2)]
    taken = [int(number) for process in processes for number in said(process)]
    for process in processes:
        process.communicate()
    assert sorted(taken) == [*range(8)]


@pytest.mark.parametrize("torn", [b'{"op_code": 5, "wor', b"{", b"\\xff", b'{"a": 1}'])
def test_a_torn_last_line_is_cut_off(folder: Path, torn: bytes) -> None:
    store = Store(folder)
    trial = store.next_trial(always, suggest)
    assert trial is not None
    trial.report(0.5, 1)
    store.release_all()
    journal = folder / "journal.log"
    whole = journal.read_bytes()
    with journal.open("ab") as file:
        file.write(torn)
    store = Store(folder)
    lines = journal.read_bytes().splitlines()
    # Opening adds a line of its own; every line can be read.
    assert lines[:-1] == whole.splitlines()
    assert all(json.loads(line)["worker_id"] for line in lines)
    again = store.next_trial(never, suggest)
    assert again is not None
    again.report(0.4, 2)
    store.finish(again, TrialState.COMPLETE, {}, 0.4)
    (frozen,) = Store(folder).trials()
    assert frozen.intermediate_values == {1: 0.5, 2: 0.4}


# --- weights --------------------------------------------------------------------------


def test_only_the_best_weights_are_kept_and_can_be_loaded(folder: Path) -> None:
    store = Store(folder)
    losses = [0.9, 0.3, 0.8, 0.1, 0.7, 0.2, 0.6, None, 0.95]
    for n, loss in enumerate(losses):
        trial = store.next_trial(always, suggest)
        assert trial is not None
        state = TrialState.COMPLETE if n % 2 else TrialState.PRUNED
        value = loss if n % 2 else None
        if loss is None:
            state, value = TrialState.FAIL, None
        store.finish(trial, state, {"best_val_loss": loss}, value)
        store.keep_weights(n, {"w": torch.full((2, 3), float(n))})
        ended = sorted((x, k) for k, x in enumerate(losses[: n + 1]) if x is not None)
        kept = sorted(k for _, k in ended[:5])
        files = sorted((folder / "checkpoints").iterdir())
        assert [f.name for f in files] == [f"trial-{k:05d}.safetensors" for k in kept]
    for number in (1, 3, 4, 5, 6):
        weights = load_file(folder / "checkpoints" / f"trial-{number:05d}.safetensors")
        assert weights["w"].tolist() == [[number] * 3] * 2


def test_weights_that_share_memory_or_are_views_are_kept(folder: Path) -> None:
    store = Store(folder)
    trial = store.next_trial(always, suggest)
    assert trial is not None
    store.finish(trial, TrialState.COMPLETE, {"best_val_loss": 1.0}, 1.0)
    whole = torch.arange(12.0).reshape(3, 4)
    store.keep_weights(0, {"a": whole, "b": whole.T.contiguous()})
    found = load_file(folder / "checkpoints" / "trial-00000.safetensors")
    assert torch.equal(found["b"], whole.T)


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


def test_a_line_torn_while_we_run_spoils_no_later_one(folder: Path) -> None:
    store = Store(folder)
    store.study.set_user_attr("before", 1)
    with (folder / "journal.log").open("ab") as journal:
        journal.write(b'{"op_code":2,"half')
    store.study.set_user_attr("after", 2)
    assert Store(folder).study.user_attrs == {"before": 1, "after": 2}


@pytest.mark.parametrize("error", [OSError(28, "No space left"), AssertionError("x")])
def test_storage_that_fails_stops_the_study_and_no_trial(
    folder: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    store = Store(folder)
    trial = store.next_trial(always, suggest)
    assert trial is not None

    def broken(*_: object, **__: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(trial.storage, "set_trial_intermediate_value", broken)
        with pytest.raises(StoppedError, match="must be writable") as caught:
            store.report(trial, 0.5, 1)
        assert "\n" not in str(caught.value)
        patch.setattr(store.study, "tell", broken)
        with pytest.raises(StoppedError):
            store.finish(trial, TrialState.COMPLETE, {}, 0.5)
        patch.setattr(checkpoints_module, "write_bytes", broken)
        trial.set_user_attr("best_val_loss", 0.5)
        with pytest.raises(StoppedError):
            store.keep_weights(0, {"w": torch.zeros(1)})
    assert store.trials()[0].state == TrialState.RUNNING
    store.report(trial, 0.5, 1)
    store.finish(trial, TrialState.COMPLETE, {}, 0.5)
    assert store.trials()[0].state == TrialState.COMPLETE


def test_a_place_that_something_occupies(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    Store.check_place(tmp_path / "new" / "s")
    with pytest.raises(ConfigError, match="choose another --out"):
        Store.check_place(tmp_path / "file" / "s")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


# --- written together -----------------------------------------------------------------


def contents(store: Store) -> list[tuple[Any, ...]]:
    """All that a trial is."""
    return [
        (
            t.number,
            t.state,
            t.values,
            t.params,
            t.intermediate_values,
            t.user_attrs,
            t.system_attrs,
            t.datetime_start,
            t.datetime_complete,
        )
        for t in store.trials()
    ]


@pytest.fixture
def syncs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for each time that the disk was waited for."""
    counted: list[int] = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (counted.append(fd), real(fd))[1])
    return counted


def test_a_block_is_one_write_and_reads_what_it_told(
    folder: Path, syncs: list[int]
) -> None:
    store = Store(folder, optuna.samplers.RandomSampler(seed=0))
    trials = [store.next_trial(always, suggest) for _ in range(30)]
    journal = folder / "journal.log"
    before = journal.read_bytes()
    syncs.clear()
    with store.together():
        for n, trial in enumerate(trials):
            assert trial is not None
            store.report(trial, n / 30, 1)
            trial.set_user_attr("pair", {1: (n, math.inf)})
            assert not trial.should_prune()
        store.finish(trials[0], TrialState.COMPLETE, {"best_val_loss": 0.0}, 0.0)
        new = store.next_trial(always, suggest)
        assert new is not None
        assert new.number == 30
        inside = contents(store)
        assert (syncs, journal.read_bytes()) == ([], before)
        # Another reader, and Optuna's own, know nothing of it yet.
        assert optuna_reads(folder) == 30
    assert len(syncs) == 1
    assert journal.read_bytes().startswith(before)
    assert inside == contents(store) == contents(Store(folder))
    assert inside[0][1] == TrialState.COMPLETE
    # As it is read back: keys are text, and pairs are lists.
    assert inside[7][5] == {"to_epoch": 30, "pair": {"1": [7, math.inf]}}
    assert set(inside[30][3]) == {"lr", "width"}
    assert len(leases(folder)) == 30
    assert optuna_reads(folder) == 31
    # Going on from here, one by one.
    store.report(new, 0.5, 1)
    assert contents(store) == contents(Store(folder))


def optuna_reads(folder: Path) -> int:
    """Trials, as read with Optuna's own means."""
    backend = JournalFileBackend(str(folder / "journal.log"))
    study = optuna.load_study(study_name="s", storage=JournalStorage(backend))
    return len(study.trials)


def test_an_empty_block_writes_nothing(folder: Path, syncs: list[int]) -> None:
    store = Store(folder)
    syncs.clear()
    with store.together():
        assert store.trials() == []
    assert syncs == []
    store.study.set_user_attr("a", 1)
    assert Store(folder).study.user_attrs == {"a": 1}


def test_an_inner_block_is_part_of_the_outer_one(
    folder: Path, syncs: list[int]
) -> None:
    store = Store(folder)
    syncs.clear()
    with store.together():
        with store.together():
            trial = store.next_trial(always, suggest)
            assert trial is not None
        with suppress(ValueError), store.together():
            store.report(trial, 0.5, 1)
            raise ValueError
        assert syncs == []
        store.report(trial, 0.4, 2)
    assert len(syncs) == 1
    assert Store(folder).trials()[0].intermediate_values == {1: 0.5, 2: 0.4}
    assert contents(store) == contents(Store(folder))


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_what_was_told_before_an_exception_is_kept(
    folder: Path, error: type[BaseException]
) -> None:
    store = Store(folder)
    trial = store.next_trial(always, suggest)
    assert trial is not None

    def block() -> None:
        with store.together():
            store.report(trial, 0.5, 1)
            raise error

    with pytest.raises(error):
        block()
    assert contents(store) == contents(Store(folder))
    assert Store(folder).trials()[0].intermediate_values == {1: 0.5}
    store.finish(trial, TrialState.COMPLETE, {}, 0.5)
    assert contents(store) == contents(Store(folder))


@posix
@pytest.mark.parametrize("signals", [1, 2])
def test_an_interruption_waits_for_the_block_or_leaves_it_written(
    folder: Path, signals: int
) -> None:
    store = Store(folder)
    trial = store.next_trial(always, suggest)
    assert trial is not None

    def block() -> None:
        with listening(), store.together():
            store.report(trial, 0.5, 1)
            for _ in range(signals):
                signal.raise_signal(signal.SIGINT)
            store.report(trial, 0.4, 2)

    with pytest.raises(Interrupted):
        block()
    expected = {1: 0.5, 2: 0.4} if signals == 1 else {1: 0.5}
    assert Store(folder).trials()[0].intermediate_values == expected
    assert contents(store) == contents(Store(folder))


def test_what_cannot_be_recorded_is_told_at_once_and_not_written(folder: Path) -> None:
    store = Store(folder)
    trial = store.next_trial(always, suggest)
    assert trial is not None
    with store.together():
        with pytest.raises(TypeError):
            trial.set_user_attr("a", object())
        store.finish(trial, TrialState.COMPLETE, {}, 0.5)
        with pytest.raises(UpdateFinishedTrialError):
            store.report(trial, 0.4, 2)
        trial = store.next_trial(always, suggest)
    assert contents(store) == contents(Store(folder))
    assert [t.number for t in Store(folder).trials()] == [0, 1]


def test_another_thread_may_write_and_read_during_a_block(folder: Path) -> None:
    store = Store(folder)
    seen: list[int] = []

    def other() -> None:
        store.study.set_user_attr("other", 1)
        seen.append(len(store.trials()))

    with store.together():
        store.next_trial(always, suggest)
        thread = threading.Thread(target=other, daemon=True)
        thread.start()
        thread.join(60)
        store.study.set_user_attr("mine", 2)
    assert seen == [1]
    assert Store(folder).study.user_attrs == {"other": 1, "mine": 2}


def test_a_torn_line_is_mended_before_a_block(folder: Path) -> None:
    store = Store(folder)
    with (folder / "journal.log").open("ab") as journal:
        journal.write(b'{"op_code":2,"half')
    with store.together():
        store.study.set_user_attr("a", 1)
        store.study.set_user_attr("b", 2)
        assert store.study.user_attrs == {"a": 1, "b": 2}
    assert Store(folder).study.user_attrs == {"a": 1, "b": 2}


@posix
def test_others_append_between_blocks_and_never_within(folder: Path) -> None:
    store = Store(folder)
    process = start(
        folder,
        """
        store = Store(folder)
        trial = store.next_trial(lambda trials, step: True, suggest)
        print("ready", flush=True)
        step = 0
        while not (folder / "enough").exists():
            step += 1
            trial.report(1 / step, step)
        print(step, flush=True)
        """,
    )
    assert said(process) == ["ready"]
    mine = [store.next_trial(always, suggest) for _ in range(3)]
    journal = folder / "journal.log"
    theirs: set[int] = set()
    step = 0
    while len(theirs) < 5 and step < 1000:
        step += 1
        with store.together():
            size = journal.stat().st_size
            theirs.add(len(store.trials()[0].intermediate_values))
            for trial in mine:
                assert trial is not None
                store.report(trial, 1 / step, step)
            time.sleep(0.01)
            grown = journal.stat().st_size - size
            changed = len(store.trials()[0].intermediate_values) - max(theirs)
        if grown or changed:
            break
        time.sleep(0.01)
    (folder / "enough").touch()
    assert (grown, changed, len(theirs)) == (0, 0, 5)
    last = int(said(process)[0])
    process.communicate(timeout=240)
    # Every line of both is there, and this store has read each of theirs once.
    expected = [last, step, step, step]
    assert [len(t.intermediate_values) for t in store.trials()] == expected
    assert contents(store) == contents(Store(folder))
    lines = journal.read_bytes().splitlines()
    assert sum(b'"step"' in line for line in lines) == sum(expected)


@posix
def test_blocks_and_single_writers_wait_for_each_other_without_end(
    folder: Path,
) -> None:
    code = """
    from contextlib import nullcontext
    together = sys.stdin.readline() == "together\\n"
    store = Store(folder)
    numbers, trial = [], None
    while True:
        with store.together() if together else nullcontext():
            if trial is not None:
                store.report(trial, 1.0, 1)
                store.finish(trial, TrialState.COMPLETE, {"owner": os.getpid()}, 1.0)
            trial = store.next_trial(lambda trials, step: len(trials) < 40, suggest)
        if trial is None:
            break
        numbers.append(trial.number)
    print(*numbers, flush=True)
    """
    processes = [start(folder, code) for _ in range(3)]
    for process, how in zip(processes, ["together", "alone", "together"], strict=True):
        assert process.stdin is not None
        process.stdin.write(f"{how}\n")
        process.stdin.flush()
    try:
        said_at_last = [p.communicate(timeout=240)[0] for p in processes]
    finally:  # such as processes that wait for each other
        for process in processes:
            process.kill()
    taken: list[int] = []
    owners = {t.number: t.user_attrs["owner"] for t in Store(folder).trials()}
    for process, out in zip(processes, said_at_last, strict=True):
        assert process.returncode == 0
        numbers = [int(number) for number in out.split()]
        assert {owners[number] for number in numbers} <= {process.pid}
        taken += numbers
    assert sorted(taken) == [*range(40)]
    assert leases(folder) == []


def test_a_block_that_cannot_be_written_ends_all_writing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(folder)
    trial = store.next_trial(always, suggest)
    assert trial is not None

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    def block() -> None:
        with store.together():
            store.report(trial, 0.5, 1)
            store.next_trial(always, suggest)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StoppedError, match="No space left") as caught:
            block()
        assert "\n" not in str(caught.value)
    # There is room again, but what this store has told may not be in the file.
    told = contents(store)
    journal = (folder / "journal.log").read_bytes()
    for write in (
        lambda: store.report(trial, 0.4, 2),
        lambda: store.finish(trial, TrialState.COMPLETE, {}, 0.4),
        lambda: store.next_trial(always, suggest),
        store.together().__enter__,
    ):
        with pytest.raises(StoppedError, match="No space left on device"):
            write()
    with pytest.raises(OSError, match="No space left on device"):
        store.study.set_user_attr("a", 1)
    assert (folder / "journal.log").read_bytes() == journal
    assert len(told) == 2
    # Both trials are anybody's, and what others do does not mix with what was told.
    assert leases(folder) == []
    other = Store(folder)
    again = other.next_trial(never, suggest)
    assert again is not None
    assert again.number == 0
    other.report(again, 0.3, 3)
    assert contents(store) == told
    assert contents(other) == contents(Store(folder))


@posix
def test_a_disk_that_fills_up_within_a_block_leaves_a_journal_to_go_on_with(
    folder: Path,
) -> None:
    process = start(
        folder,
        """
        import resource
        from tunekit.errors import StoppedError
        store = Store(folder)
        trial = store.next_trial(lambda trials, step: True, suggest)
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        size = (folder / "journal.log").stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 500, hard))
        try:
            with store.together():
                for step in range(1, 101):
                    store.report(trial, 1 / step, step)
        except StoppedError as error:
            print(error, flush=True)
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        try:
            store.report(trial, 0.5, 101)
        except StoppedError as error:
            print(error, flush=True)
        print(len(store.trials()[0].intermediate_values), flush=True)
        """,
    )
    out, _ = process.communicate(timeout=240)
    first, second, seen = out.splitlines()
    assert first == second
    assert "must be writable, got: File too large" in first
    assert int(seen) == 100
    # What fitted is there, and the torn line is gone.
    journal = folder / "journal.log"
    assert not journal.read_bytes().endswith(b"\n")
    store = Store(folder)
    trial = store.next_trial(never, suggest)
    assert trial is not None
    kept = store.trials()[0].intermediate_values
    assert kept == {step: 1 / step for step in range(1, len(kept) + 1)}
    assert 0 < len(kept) < 10
    store.finish(trial, TrialState.COMPLETE, {}, 0.5)
    assert contents(store) == contents(Store(folder))
    assert all(json.loads(line) for line in journal.read_bytes().splitlines())
