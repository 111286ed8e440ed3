"""Journals that were torn, or cannot be written."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from optuna.trial import TrialState

from tunekit.errors import StoppedError
from tunekit.store import Store
from tunekit.store import checkpoints as checkpoints_module
from tunekit.store.journal import Journal

from .conftest import always, never, suggest


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


def test_a_block_that_only_half_fits_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path)
    journal.append_logs([{"op_code": 2, "a": 1}])
    whole = (tmp_path / "journal.log").read_bytes()

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"), journal.together():
        journal.append_logs([{"op_code": 2, "b": 2}, {"op_code": 2, "c": 3}])
    assert (tmp_path / "journal.log").read_bytes() == whole
    with pytest.raises((OSError, StoppedError), match="No space"):
        Journal(tmp_path).append_logs([{"op_code": 2, "d": 4}])
    assert (tmp_path / "journal.log").read_bytes() == whole
