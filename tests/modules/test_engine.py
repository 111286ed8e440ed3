"""Modules of every kind, paused and promoted, in Trainers with every kind of option."""

from __future__ import annotations

import functools
import gc
import importlib
import multiprocessing
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import tunekit
from tunekit import LogUniform
from tunekit.errors import ConfigError
from tunekit.modules import ModuleEngine
from tunekit.trial import Fitted

from .conftest import loaders, net_of, train


def engine_of(package: str, *, workers: int = 0, **options: Any) -> ModuleEngine:
    methods = options.pop("methods", {})
    net = net_of(package, **methods)
    return ModuleEngine(
        lambda params: (net(params["lr"]), loaders(workers=workers)), **options
    )


def same(one: Fitted, other: Fitted) -> None:
    assert [m.val_loss for m in one.curve] == [m.val_loss for m in other.curve]
    assert one.best_epoch == other.best_epoch
    for name, value in one.weights.items():
        assert torch.equal(value, other.weights[name])


@pytest.mark.parametrize("workers", [0, 2])
def test_paused_anywhere_it_comes_to_the_same(package: str, workers: int) -> None:
    whole, told = train(engine_of(package, workers=workers))
    assert len(set(told)) == 5
    paused, again = train(engine_of(package, workers=workers), 1, 2, 4)
    assert again == told
    same(paused, whole)


def test_the_callers_random_streams_are_left_alone(package: str) -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    train(engine_of(package), epochs=1)
    assert torch.equal(torch.rand(3), expected)


def two_optimizers(self: Any) -> Any:
    first, _, last = self.layers
    return [
        torch.optim.Adam(first.parameters(), lr=self.hparams["lr"]),
        torch.optim.SGD(last.parameters(), lr=self.hparams["lr"], momentum=0.9),
    ]


def by_hand(self: Any, batch: Any, batch_idx: int) -> Tensor:
    one, other = self.optimizers()
    loss: Tensor = self.loss(batch)
    one.zero_grad()
    other.zero_grad()
    self.manual_backward(loss)
    one.step()
    if batch_idx % 2:
        other.step()
    return loss


def test_several_optimizers_by_hand(package: str) -> None:
    methods = {
        "configure_optimizers": two_optimizers,
        "training_step": by_hand,
        "automatic_optimization": property(lambda self: False),
    }
    whole, _ = train(engine_of(package, methods=methods))
    paused, _ = train(engine_of(package, methods=methods), 1, 3)
    same(paused, whole)
    # What its steps return is known where it logs nothing.
    _, told = train(engine_of(package, methods=methods, monitor="train_loss"))
    assert told[-1] < told[0]


def test_validation_several_times_an_epoch_counts_the_best(package: str) -> None:
    seen: list[float] = []

    def on_validation_epoch_end(self: Any) -> None:
        if not self.trainer.sanity_checking:
            seen.append(float(self.trainer.callback_metrics["val_loss"]))

    engine = engine_of(
        package,
        methods={"on_validation_epoch_end": on_validation_epoch_end},
        trainer={"val_check_interval": 0.25, "num_sanity_val_steps": 1},
    )
    fitted, told = train(engine, 2, epochs=3)
    assert len(seen) == 12
    assert told == [min(seen[i : i + 4]) for i in (0, 4, 8)]
    module = net_of(package)()
    module.load_state_dict(fitted.weights)
    with torch.no_grad():
        losses = [float(module.eval().loss(batch)) for batch in loaders()[1]]
    assert sum(losses) / 2 == pytest.approx(min(told), abs=1e-6)


def test_a_value_that_is_not_finite_ends_the_run(package: str) -> None:
    def validation_step(self: Any, batch: Any, batch_idx: int) -> None:
        self.log("val_loss", torch.tensor(float("nan") if self.current_epoch else 0.5))

    engine = engine_of(package, methods={"validation_step": validation_step})
    fitted, told = train(engine)
    assert fitted.diverged
    assert (len(told), fitted.best_epoch) == (2, 1)


# --- what a Trainer is given ---


def test_callbacks_are_the_trials_own_and_keep_their_state(package: str) -> None:
    parent: Any = importlib.import_module(package).Callback
    made: list[Any] = []

    class Count(parent):  # type: ignore[misc]
        def __init__(self, number: int) -> None:
            self.number, self.epochs = number, 0
            made.append(self)

        def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
            self.epochs += 1

        def state_dict(self) -> dict[str, Any]:
            return {"epochs": self.epochs}

        def load_state_dict(self, state: dict[str, Any]) -> None:
            self.epochs = state["epochs"]

    given = Count(-1)
    trainer = {"callbacks": [lambda trial: Count(trial.number), lambda trial: None]}
    train(engine_of(package, trainer=trainer), 1, 3)
    assert [(each.number, each.epochs) for each in made[1:]] == [(4, 1), (4, 3), (4, 5)]
    train(engine_of(package, trainer={"callbacks": given}), 2)
    assert given.epochs == 0


def test_early_stopping_of_ones_own_ends_a_trial(package: str) -> None:
    stopping = importlib.import_module(f"{package}.callbacks").EarlyStopping

    def validation_step(self: Any, batch: Any, batch_idx: int) -> None:
        self.log("val_loss", torch.tensor(1.0 + self.current_epoch))

    engine = engine_of(
        package,
        methods={"validation_step": validation_step},
        trainer={"callbacks": [stopping("val_loss", patience=2)]},
    )
    fitted, told = train(engine, 1, epochs=9)
    assert told == [1.0, 2.0, 3.0]
    assert fitted.best_epoch == 1


def test_a_trial_has_one_logger_however_often_it_is_promoted(
    package: str, tmp_path: Path
) -> None:
    logger = importlib.import_module(f"{package}.loggers").CSVLogger
    net = net_of(package)
    result = tunekit.tune(
        lambda p: net(p["lr"]),
        {"lr": LogUniform(1e-3, 1.0)},
        data=loaders(),
        max_epochs=9,
        budget_epochs=30,
        trainer={
            "logger": lambda trial: logger(tmp_path, "run", f"trial-{trial.number}"),
            "log_every_n_steps": 1,
        },
    )
    folders = sorted(path.name for path in (tmp_path / "run").iterdir())
    assert folders == sorted(f"trial-{n}" for n in result.trials["number"])
    # An object serves all, each with a run of its own.
    tunekit.tune(
        lambda p: net(p["lr"]),
        {"lr": LogUniform(1e-3, 1.0)},
        data=loaders(),
        max_epochs=3,
        n_trials=3,
        pruner="none",
        trainer={"logger": logger(tmp_path, "all"), "log_every_n_steps": 1},
    )
    assert len([*(tmp_path / "all").iterdir()]) == 3


def test_what_cannot_be_kept_is_one_line(package: str) -> None:
    def on_save_checkpoint(self: Any, checkpoint: dict[str, Any]) -> None:
        checkpoint["mine"] = {"of": [functools.partial(print)]}

    engine = engine_of(package, methods={"on_save_checkpoint": on_save_checkpoint})
    with pytest.raises(
        ConfigError, match=r"to pause a trial, .*\['mine'\]\['of'\]\[0\]"
    ):
        train(engine, 1)
    train(engine)  # which never pauses


# --- what is left ---


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs Linux's /proc")
def test_nothing_is_left_after_many_pruned_trials(package: str) -> None:
    def here() -> tuple[int, int]:
        gc.collect()
        files = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
        return files, len(multiprocessing.active_children())

    def search(n: int) -> Any:
        net = net_of(package)
        return tunekit.tune(
            lambda p: net(p["lr"]),
            {"lr": LogUniform(1e-3, 1.0)},
            data=loaders(workers=2),
            max_epochs=4,
            n_trials=n,
            sampler="random",
        )

    search(2)
    before = here()
    result = search(12)
    assert (result.trials["state"] == "pruned").sum() > 6
    assert here() == before
    assert before[1] == 0
