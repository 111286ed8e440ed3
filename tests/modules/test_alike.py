"""Wherever a run is paused, whatever was trained before: it comes to the same."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset, random_split

from tunekit.errors import ConfigError
from tunekit.modules import ModuleEngine
from tunekit.trial import Fitted, Run, Verdict

from .conftest import loaders, net_of, rows, train

Made = tuple[dict[str, Any], dict[str, Any]]
"""Methods of the module, and options of its Trainer."""


def one_cycle(self: Any) -> Any:
    made = torch.optim.SGD(self.parameters(), lr=0.1)
    steps = self.trainer.estimated_stepping_batches
    schedule = torch.optim.lr_scheduler.OneCycleLR(made, 0.5, total_steps=steps)
    return [made], [{"scheduler": schedule, "interval": "step"}]


def plateau(self: Any) -> Any:
    made = torch.optim.SGD(self.parameters(), lr=0.5)
    schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(made, patience=0)
    return {
        "optimizer": made,
        "lr_scheduler": {"scheduler": schedule, "monitor": "val_loss"},
    }


def draws(self: Any) -> None:
    self.drawn = float(torch.rand(()))


def tells_draw(self: Any, batch: Any, batch_idx: int) -> None:
    self.log("val_loss", self.drawn)


def spoils(self: Any) -> None:
    with torch.no_grad():
        for weight in self.parameters():
            weight.zero_()


def drawn_loader(self: Any) -> Any:
    x = torch.randn(64, 4)
    return DataLoader(TensorDataset(x, (x[:, 0] > 0).float()), 16, shuffle=True)


def averaging(package: str) -> Made:
    found = importlib.import_module(f"{package}.callbacks")
    return {}, {"callbacks": [found.EMAWeightAveraging(decay=0.9)]}


CASES: dict[str, Callable[[str], Made]] = {
    "one cycle of estimated steps": lambda p: ({"configure_optimizers": one_cycle}, {}),
    "plateau": lambda p: ({"configure_optimizers": plateau}, {}),
    "draws as an epoch starts": lambda p: (
        {"on_train_epoch_start": draws, "validation_step": tells_draw},
        {},
    ),
    "weights changed at the end": lambda p: ({"on_train_end": spoils}, {}),
    "loaders that draw their rows": lambda p: (
        {"train_dataloader": drawn_loader, "val_dataloader": drawn_loader},
        {},
    ),
    "averaged weights": averaging,
    "accumulated gradients": lambda p: (
        {},
        {"accumulate_grad_batches": 3, "val_check_interval": 0.5},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_pause_changes_nothing(package: str, case: str) -> None:
    def engine() -> ModuleEngine:
        methods, options = CASES[case](package)
        net = net_of(package, **methods)
        own = "train_dataloader" in methods
        data = None if own else loaders()
        return ModuleEngine(lambda p: net(p["lr"]), data=data, trainer=options)

    whole, told = train(engine(), epochs=4)
    paused, again = train(engine(), 1, 2, epochs=4)
    assert again == told
    assert len(set(told)) > 2
    for name, value in whole.weights.items():
        assert torch.equal(value, paused.weights[name])
    if case == "averaged weights":
        # What is kept are the weights that were judged.
        module = net_of(package)()
        module.load_state_dict(whole.weights)
        with torch.no_grad():
            losses = [float(module.eval().loss(batch)) for batch in loaders()[1]]
        assert sum(losses) / 2 == pytest.approx(min(told), abs=1e-6)


def test_stopped_at_a_rung_by_a_callback_it_has_ended(package: str) -> None:
    stopping = importlib.import_module(f"{package}.callbacks").EarlyStopping

    def validation_step(self: Any, batch: Any, batch_idx: int) -> None:
        self.log("val_loss", torch.tensor(1.0 + self.current_epoch))

    net = net_of(package, validation_step=validation_step)
    options = {"callbacks": [stopping("val_loss", patience=2)]}
    engine = ModuleEngine(lambda p: net(), data=loaders(), trainer=options)
    run = Run(params={"lr": 0.1}, max_epochs=9, patience=9, seed=0, key="trial-1")
    found = engine.train_until(
        run, lambda epoch, metrics: Verdict.PAUSE if epoch == 3 else Verdict.GO_ON
    )
    assert isinstance(found, Fitted)
    assert len(found.curve) == 3


def curve(engine: ModuleEngine, key: str) -> list[float]:
    run = Run(params={"lr": 0.1}, max_epochs=2, patience=2, seed=3, key=key)
    return [m.val_loss for m in engine.train(run, lambda epoch, metrics: True).curve]


def test_every_trial_sees_the_same_split(package: str) -> None:
    parent: Any = importlib.import_module(package).LightningDataModule
    splits: list[list[int]] = []

    class Split(parent):  # type: ignore[misc]
        def setup(self, stage: str) -> None:
            self.train, self.val = random_split(rows(64), [48, 16])
            splits.append([*self.val.indices])

        def train_dataloader(self) -> Any:
            return DataLoader(self.train, 16, shuffle=True)

        def val_dataloader(self) -> Any:
            return DataLoader(self.val, 16)

    net, data = net_of(package), Split()
    engine = ModuleEngine(lambda p: net(p["lr"]), data=data)
    assert curve(engine, "trial-0") != curve(engine, "trial-1")
    assert splits[0] == splits[1]
    assert data.trainer is None


def test_a_loader_of_its_own_order_is_alike_for_whoever_comes(package: str) -> None:
    train_rows = DataLoader(
        rows(), 16, shuffle=True, generator=torch.Generator().manual_seed(1)
    )
    net = net_of(package)
    engine = ModuleEngine(lambda p: net(p["lr"]), data=(train_rows, loaders()[1]))
    assert curve(engine, "trial-5") == curve(engine, "trial-5")


def test_the_value_of_an_epoch_is_its_mean_where_steps_log_it_too(package: str) -> None:
    means: list[float] = []

    def training_step(self: Any, batch: Any, batch_idx: int) -> Any:
        loss = self.loss(batch)
        self.log("train_loss", loss, on_step=True, on_epoch=True)
        return loss

    def on_train_epoch_end(self: Any) -> None:
        means.append(float(self.trainer.callback_metrics["train_loss_epoch"]))

    net = net_of(
        package, training_step=training_step, on_train_epoch_end=on_train_epoch_end
    )
    engine = ModuleEngine(lambda p: net(), data=loaders(), monitor="train_loss")
    assert curve(engine, "trial-0") == pytest.approx(means)


def test_no_batches_is_one_line(package: str) -> None:
    data = DataLoader(rows(), 128, drop_last=True), DataLoader(rows(32, 1), 16)
    net = net_of(package)
    with pytest.raises(ValueError, match="one batch an epoch at least"):
        train(ModuleEngine(lambda p: net(), data=data))


def iter_of() -> Any:
    yield from ()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"acelerator": "cpu"}, 'no argument "acelerator"; did you mean "accelerator"'),
        ({"callbacks": [dict]}, r"got the class dict; write dict\(\.\.\.\)"),
        ({"check_val_every_n_epoch": 2}, "check_val_every_n_epoch 1"),
        ({"fast_dev_run": True}, "leave fast_dev_run to the search"),
        ({"callbacks": [iter_of()]}, "must be copied for each trial"),
    ],
)
def test_options_that_cannot_be_are_one_line(
    package: str, options: dict[str, Any], told: str
) -> None:
    net = net_of(package)
    with pytest.raises(ConfigError, match=told) as caught:
        train(ModuleEngine(lambda p: net(), data=loaders(), trainer=options))
    assert "\n" not in str(caught.value)
