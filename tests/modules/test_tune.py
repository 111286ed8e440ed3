"""``tune`` with anybody's LightningModule: the whole way."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

import tunekit
from tunekit import LogUniform
from tunekit.errors import ConfigError

from .conftest import loaders, net_of

SPACE = {"lr": LogUniform(1e-4, 1.0)}


def values(result: Any) -> list[Any]:
    trials = result.study.get_trials()
    return [(t.number, t.state.name, t.params, t.intermediate_values) for t in trials]


def search(package: str, **options: Any) -> Any:
    net = net_of(package)
    given: dict[str, Any] = {"data": loaders(), "max_epochs": 9, "budget_epochs": 60}
    return tunekit.tune(lambda p: net(p["lr"]), SPACE, **{**given, **options})


def test_a_module_is_tuned_and_the_best_handed_back(
    package: str, tmp_path: Path
) -> None:
    result = search(package, out=tmp_path)
    assert result.best_value < 0.5
    assert set(result.trials["state"]) >= {"pruned", "complete"}
    assert result.trials["epochs"].sum() == 60
    module = result.best_module()
    assert not module.training
    assert module.hparams["lr"] == result.best_params["lr"]
    losses = [float(module.loss(batch).detach()) for batch in loaders()[1]]
    assert sum(losses) / len(losses) == pytest.approx(result.best_value, abs=1e-6)
    # Nothing but the study is left, and nothing of it is a pickle.
    assert sorted(path.name for path in tmp_path.iterdir()) == ["study"]
    kept = {path.suffix for path in (tmp_path / "study" / "checkpoints").iterdir()}
    assert kept == {".safetensors"}
    again = search(package, out=tmp_path)
    assert values(again) == values(result)
    assert torch.equal(again.best_module().layers[0].weight, module.layers[0].weight)


def test_memory_and_folder_come_to_the_same(package: str, tmp_path: Path) -> None:
    one, other = search(package), search(package, out=tmp_path)
    assert values(one) == values(other)
    weight, same = (r.best_module().layers[0].weight for r in (one, other))
    assert torch.equal(weight, same)


def test_a_promoted_run_goes_on_as_if_it_had_not_been_paused(package: str) -> None:
    """Dropout, shuffled batches, moments and a schedule go on where they were."""
    paused = search(package)
    straight = search(package, pruner="none", budget_epochs=90)
    curves = {t.params["lr"]: t.intermediate_values for t in straight.study.trials}
    longest = max(len(t.intermediate_values) for t in paused.study.trials)
    assert longest > 3
    compared = 0
    for trial in paused.study.trials:
        if trial.params["lr"] in curves and trial.number < 8:
            whole = curves[trial.params["lr"]]
            for epoch, value in trial.intermediate_values.items():
                assert whole[epoch] == value
                compared += 1
    assert compared > 10


def test_maximized_the_highest_score_wins(package: str) -> None:
    def validation_step(self: Any, batch: Any, batch_idx: int) -> None:
        hit = (self.layers(batch[0])[:, 0] > 0) == (batch[1] > 0.5)
        self.log("acc", hit.float().mean())

    net = net_of(package, validation_step=validation_step)
    result = tunekit.tune(
        lambda p: net(p["lr"]),
        SPACE,
        data=loaders(),
        monitor="acc",
        direction="maximize",
        max_epochs=5,
        budget_epochs=30,
    )
    assert result.best_value == max(result.trials["value"].dropna()) > 0.8
    module = result.best_module()
    hits = [(module.layers(x)[:, 0] > 0) == (y > 0.5) for x, y in loaders()[1]]
    assert float(torch.cat(hits).float().mean()) == result.best_value


def test_a_monitor_that_is_not_logged_is_one_line(package: str) -> None:
    with pytest.raises(
        ConfigError, match=r'monitor "loss" must be .* got train_loss, val_loss'
    ):
        search(package, monitor="loss")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"trainer": {"max_epochs": 3}}, "trainer must leave max_epochs to the search"),
        ({"trainer": 3}, "trainer must be a dict"),
        ({"in_flight": 2}, "in_flight must be 1 where modules are trained"),
    ],
)
def test_what_cannot_be_is_one_line(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told) as caught:
        search("pytorch_lightning", **options)
    assert "\n" not in str(caught.value)


class Given(NamedTuple):
    """Parameters that no journal could hold."""

    lr: float
    activation: Any = torch.relu


def test_the_best_is_made_of_what_the_space_gave_whatever_it_is(
    package: str, tmp_path: Path
) -> None:
    net = net_of(package)

    def made(given: Any) -> Any:
        assert given.activation is torch.relu
        return net(given.lr)

    def of_a_dict(given: dict[str, Any]) -> Any:
        assert given["widths"] == (8, 8)
        return made(given["options"])

    def asked(trial: Any) -> Given:
        return Given(trial.suggest_float("lr", 1e-4, 1.0, log=True))

    options: dict[str, Any] = {"data": loaders(), "max_epochs": 2, "n_trials": 2}
    result = tunekit.tune(made, asked, **options, out=tmp_path)
    assert result.best_module().hparams["lr"] == result.best_params["lr"]
    result = tunekit.tune(
        of_a_dict,
        lambda trial: {"widths": (8, 8), "options": asked(trial)},
        **options,
        out=tmp_path,
        name="dict",
    )
    assert result.best_params["widths"] == (8, 8)
    assert not result.best_module().training


@pytest.mark.parametrize("pair", [True, False])
def test_rows_that_are_in_no_batches_are_refused(package: str, pair: bool) -> None:
    train, valid = (loader.dataset for loader in loaders())
    with pytest.raises(ConfigError, match=r"must be in batches, got .* TensorDataset;"):
        search(package, data=(train, valid) if pair else train)
