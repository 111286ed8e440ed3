"""A module's folder: gone on with after a kill, a wrong call or another budget."""

from __future__ import annotations

import importlib
import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.optim import lr_scheduler as schedules

from tunekit.babysit import rounds
from tunekit.babysit.folder import Folder
from tunekit.errors import ConfigError, ResumeError, StoppedError
from tunekit.trial import State

from .nets import PACKAGES, START, Schedule, maker
from .test_modules import Killed, watched


def one_cycle(optimizer: Any) -> Any:
    lr = optimizer.param_groups[0]["lr"]
    made = schedules.OneCycleLR(optimizer, max_lr=lr, total_steps=60)
    return {"scheduler": made, "interval": "step"}


def on_plateau(optimizer: Any) -> Any:
    made = schedules.ReduceLROnPlateau(optimizer, factor=0.5, patience=0)
    return {"scheduler": made, "monitor": "val_loss"}


@pytest.mark.parametrize(
    "schedule", [None, one_cycle, on_plateau], ids=["none", "one cycle", "plateau"]
)
def test_paused_at_every_epoch_and_killed_within_rounds_it_is_the_same(
    schedule: Schedule | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {"make": maker(PACKAGES[0], schedule=schedule)}
    options |= {"budget_epochs": 9, "burst": 2, "interval": 4, "nudges": 1}
    whole = watched(**options)
    monkeypatch.setattr(rounds, "_KEEP_SECONDS", 0.0)
    real, count, killed = Folder.save, itertools.count(1), []

    def save(folder: Folder, name: str, state: State, whose: str) -> None:
        real(folder, name, state, whose)
        if next(count) in (1, 4, 7, 9):
            killed.append(name)
            raise Killed

    monkeypatch.setattr(Folder, "save", save)
    while True:
        try:
            found = watched(**options, out=tmp_path, name="mine")
        except Killed:
            continue
        break
    # Between two epochs of a round, and between two of its branches.
    assert len(killed) == 4
    assert {name[-5:] == "-half" for name in killed} == {True, False}
    assert found.history == whole.history
    weights = found.best_module().state_dict()
    for name, value in whole.best_module().state_dict().items():
        assert torch.equal(value, weights[name])


def by_the_horizon(optimizer: Any) -> Any:
    return schedules.CosineAnnealingLR(optimizer, T_max=optimizer.horizon)


def linear(optimizer: Any) -> Any:
    """No checkpoint holds the horizon that it goes by."""
    horizon = optimizer.horizon
    return schedules.LambdaLR(optimizer, lambda epoch: 1 - epoch / (2 * horizon))


@pytest.mark.parametrize("budgets", [(4, 12), (6, 3)])
def test_a_replay_goes_by_the_budgets_that_there_were(
    budgets: tuple[int, int], tmp_path: Path
) -> None:
    """A schedule of the module's own may go by the Trainer's ``max_epochs``."""
    make = maker(PACKAGES[0], schedule=by_the_horizon)
    place: dict[str, Any] = {"out": tmp_path, "name": "mine", "make": make}
    place["start"] = {**START, "lr": 0.01}
    for budget in budgets:
        found = watched(**place, budget_epochs=budget)
    assert found.epochs == max(budgets)
    had = {budget for budget in budgets if budget >= budgets[0]}
    assert {each.horizon for each in found.schedule} == had
    curve = found.replay(seed=0)
    assert curve[found.best_epoch - 1] == found.best_value == min(curve)


def test_what_is_half_done_is_not_gone_on_with_under_another_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rounds, "_KEEP_SECONDS", 0.0)
    make = maker(PACKAGES[0], schedule=linear)
    place: dict[str, Any] = {"out": tmp_path, "name": "mine", "make": make}
    place |= {"nudges": 0, "burst": 2, "interval": 4}
    real = Folder.save

    def save(folder: Folder, name: str, state: State, whose: str) -> None:
        real(folder, name, state, whose)
        if name == "000002-0-half":
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(Folder, "save", save)
        with pytest.raises(Killed):
            watched(**place, budget_epochs=6)
    found = watched(**place, budget_epochs=8)
    assert found.replay(seed=0)[found.best_epoch - 1] == found.best_value


def test_where_nothing_was_trained_a_corrected_call_goes_on(tmp_path: Path) -> None:
    place: dict[str, Any] = {"out": tmp_path, "name": "mine", "budget_epochs": 4}
    wrong: dict[str, Any] = {"monitor": "val_los", "start": {**START, "lr": 0.02}}
    with pytest.raises(ConfigError, match='monitor "val_los" must be logged'):
        watched(**place, **wrong)
    found = watched(**place)
    assert found.history == watched(budget_epochs=4).history
    steer = (tmp_path / "mine" / "steer.toml").read_text()
    assert "# lr = 0.05\n" in steer
    with pytest.raises(ResumeError, match="begun with monitor val_loss, now val_los"):
        watched(**place, monitor="val_los")


def test_what_is_half_done_of_a_wrong_call_is_not_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rounds, "_KEEP_SECONDS", 0.0)
    place: dict[str, Any] = {"out": tmp_path, "name": "mine", "budget_epochs": 4}

    def killed(*given: Any) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(Folder, "commit", killed)
        with pytest.raises(Killed):
            watched(**place, seed=1)
    assert [*(tmp_path / "mine" / "checkpoints").iterdir()]
    assert watched(**place, seed=0).history == watched(budget_epochs=4).history


def test_before_the_first_round_it_says_what_ended_it(tmp_path: Path) -> None:
    place: dict[str, Any] = {"out": tmp_path, "name": "mine", "budget_epochs": 4}
    with pytest.raises(StoppedError, match="got no time for it; give the same call a"):
        watched(**place, timeout=0.001)
    steer = tmp_path / "mine" / "steer.toml"
    before = steer.read_text()
    steer.write_text("stop = true\n")
    with pytest.raises(StoppedError, match="got stop = true in steer"):
        watched(**place)
    steer.write_text(before)
    found = watched(**place)
    branches = [line for line in found.history if "round" in line]
    assert branches == watched(budget_epochs=4).history


@pytest.mark.parametrize(("nudges", "most"), [(2, 4), (0, 1)])
def test_checkpoints_of_ones_own_do_not_fill_the_disk(
    nudges: int, most: int, tmp_path: Path
) -> None:
    own = importlib.import_module(f"{PACKAGES[0]}.callbacks").ModelCheckpoint
    given = {"callbacks": [own(monitor="val_loss", save_top_k=1)]}
    place: dict[str, Any] = {"out": tmp_path, "name": "mine", "nudges": nudges}
    found = watched(**place, trainer=given, budget_epochs=20)
    files = [*(tmp_path / "mine" / "trials").rglob("*.ckpt")]
    assert 1 <= len(files) <= most
    if not nudges:
        # It is the best epoch's, as it would be with a Trainer of one's own.
        assert f"epoch={found.best_epoch - 1}-" in files[0].name


def test_a_table_s_model_is_no_module_s_even_untrained(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "mine")
    folder.create({"seed": 0, "recipe": {"lr": 0.1}, "ranges": {}}, None)
    half = folder.path / "checkpoints" / "000001-0-half.safetensors"
    half.write_bytes(b"of its first round")
    with pytest.raises(ResumeError, match='the model "mine" was begun with'):
        watched(out=tmp_path, name="mine", budget_epochs=4)
    assert half.exists()
