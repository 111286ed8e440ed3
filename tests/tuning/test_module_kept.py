"""What is kept of modules that were searched, and what is refused of them later."""

from __future__ import annotations

import itertools
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from tunekit import LogUniform, ResumeError, StoppedError, tune

SPACE = {"lr": LogUniform(1e-3, 1.0)}


class Net(pl.LightningModule):
    """A line through points; its value is its ``lr``, or what a test makes of it."""

    def __init__(self, lr: float) -> None:
        super().__init__()
        self.lr, self.net = lr, nn.Linear(2, 1)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return (self.net(batch[0]) - 1).square().mean()

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val_loss", self.lr)

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), 0.01)


def search(make: Any = Net, **options: Any) -> Any:
    rows = DataLoader(TensorDataset(torch.ones(8, 2)), batch_size=4)
    given: dict[str, Any] = {
        "data": (rows, rows),
        "max_epochs": 2,
        "n_trials": 2,
        "sampler": "random",
        "pruner": "none",
    }
    return tune(lambda p: make(p["lr"]), SPACE, **{**given, **options})


def test_a_folder_of_modules_takes_no_iterables_nor_the_other_way_round(
    tmp_path: Path,
) -> None:
    search(out=tmp_path, name="modules")
    with pytest.raises(ResumeError, match="with LightningModules, now iterables of"):
        search(lambda lr: [lr], data=None, out=tmp_path, name="modules", n_trials=3)
    assert len(search(out=tmp_path, name="modules", n_trials=3).trials) == 3
    search(lambda lr: [lr], data=None, out=tmp_path, name="loops")
    with pytest.raises(ResumeError, match="with iterables of floats, now Lightning"):
        search(out=tmp_path, name="loops", n_trials=3)


class Slow(Net):
    """The best of all, but it takes too long."""

    def on_train_epoch_start(self) -> None:
        if self.current_epoch > 0:
            time.sleep(0.6)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val_loss", -1.0 - self.current_epoch)


class Fails(Net):
    """By far the best while it lasts."""

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        if self.current_epoch == 1:
            raise RuntimeError("of my own")
        self.log("val_loss", -1.0)


def one_of(kind: type[Net]) -> Any:
    """Makes the second trial's modules of a kind, and all others as they are."""
    seen: list[float] = []

    def make(lr: float) -> Net:
        if lr not in seen:
            seen.append(lr)
        return kind(lr) if seen.index(lr) == 1 else Net(lr)

    return make


@pytest.mark.parametrize("where", ["memory", "folder"])
def test_the_best_that_was_late_hands_back_its_weights(
    where: str, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"max_epochs": 3, "n_trials": 3, "trial_timeout": 0.5}
    if where == "folder":
        options["out"] = tmp_path
    # Outside the main thread nothing is broken off in the middle of an epoch.
    with ThreadPoolExecutor(1) as thread:
        result = thread.submit(search, one_of(Slow), **options).result()
    assert (result.best_number, result.best_value) == (1, -2.0)
    assert result.trials["state"][1] == "fail"
    assert not result.best_module().training


def test_one_that_failed_after_it_was_promoted_hands_back_what_it_had() -> None:
    result = search(
        one_of(Fails), max_epochs=9, n_trials=4, budget_epochs=14, pruner="promote"
    )
    assert (result.best_number, result.best_value) == (1, -1.0)
    assert "fail" in set(result.trials["state"])
    assert not result.best_module().training


class Late(Net):
    """Builds its layers when a Trainer asks for them."""

    def __init__(self, lr: float) -> None:
        super().__init__(lr)
        del self.net

    def configure_model(self) -> None:
        if not hasattr(self, "net"):
            self.net = nn.Linear(2, 1)


class Later(Net):
    """Builds its layers when its data are there."""

    def __init__(self, lr: float) -> None:
        super().__init__(lr)
        del self.net

    def setup(self, stage: str) -> None:
        self.net = nn.Linear(2, 1)


class Extra(Net):
    """Has a state of its own beside its tensors."""

    def get_extra_state(self) -> Any:
        return {"seen": 1}

    def set_extra_state(self, state: Any) -> None:
        pytest.fail("nothing was kept")


@pytest.mark.parametrize("kind", [Net, Late, Extra])
def test_the_best_module_leaves_the_callers_streams_as_they_were(
    kind: type[Net],
) -> None:
    result = search(kind, n_trials=1)
    before = torch.get_rng_state()
    module = result.best_module()
    assert torch.equal(torch.get_rng_state(), before)
    weights = result.weights(0)
    assert torch.equal(module.net.weight, weights["net.weight"])


def test_layers_that_are_not_built_are_named_in_one_line() -> None:
    result = search(Later, n_trials=1)
    with pytest.raises(StoppedError, match=r"layers for net.bias, net.weight; ") as got:
        result.best_module()
    assert "\n" not in str(got.value)


def test_layers_of_another_shape_are_one_line() -> None:
    made = itertools.count()

    class Grows(Net):
        def __init__(self, lr: float) -> None:
            super().__init__(lr)
            if next(made):
                self.net = nn.Linear(3, 1)

    result = search(Grows, n_trials=1)
    with pytest.raises(StoppedError, match=r"size mismatch for net\.weight") as got:
        result.best_module()
    assert "\n" not in str(got.value)
