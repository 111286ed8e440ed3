"""What a trial hears of a training, and a user who asks for the wrong thing."""

from __future__ import annotations

import copy
import math
import pickle
import warnings
from pathlib import Path
from typing import Any

import optuna
import pytest

from trial_callback.own import PACKAGES, fit, own, rows, trainer
from tunekit import ConfigError, TrialCallback

PLACES = ("on_validation_epoch_end", "on_train_epoch_end")


def reports(study: optuna.Study) -> dict[int, float]:
    return study.get_trials()[-1].intermediate_values


def asked(**options: Any) -> tuple[optuna.Study, TrialCallback]:
    options = {"pruner": optuna.pruners.NopPruner(), **options}
    study = optuna.create_study(**options)
    return study, TrialCallback(study.ask(), "val_loss")


@pytest.mark.parametrize("where", PLACES)
def test_every_epoch_is_reported_once_from_one(package: str, where: str) -> None:
    study, callback = asked()
    fit(package, callback, [4, 3, 2, 1], where=where)
    assert reports(study) == {1: 4.0, 2: 3.0, 3: 2.0, 4: 1.0}
    assert callback.pruned is False
    callback.check_pruned()


def test_a_value_of_the_training_loop_is_heard(package: str) -> None:
    study = optuna.create_study(pruner=optuna.pruners.NopPruner())
    callback = TrialCallback(study.ask(), "train_loss")
    fit(package, callback, [1])
    values = list(reports(study).values())
    assert len(values) == 4
    assert values == sorted(values, reverse=True)


def test_of_several_validations_the_last_counts_and_sanity_never(package: str) -> None:
    study, callback = asked()
    curve = [99, 4, 3, 2, 1]
    fit(
        package,
        callback,
        curve,
        num_sanity_val_steps=1,
        val_check_interval=0.5,
        max_epochs=2,
    )
    assert reports(study) == {1: 3.0, 2: 1.0}


def test_an_epoch_without_validation_reports_nothing(package: str) -> None:
    study, callback = asked()
    fit(package, callback, [4, 4, 2], check_val_every_n_epoch=2, max_epochs=6)
    assert reports(study) == {2: 4.0, 4: 4.0, 6: 2.0}
    assert not callback.pruned


@pytest.mark.parametrize(
    ("direction", "worst"), [("minimize", math.inf), ("maximize", -math.inf)]
)
def test_what_is_not_finite_is_the_worst(direction: str, worst: float) -> None:
    study, callback = asked(direction=direction)
    fit(PACKAGES[0], callback, [1, math.nan, math.inf, -math.inf])
    assert reports(study) == {1: 1.0, 2: worst, 3: worst, 4: worst}


def test_a_wrong_name_ends_the_training_after_an_epoch_in_one_line(
    package: str,
) -> None:
    _, callback = asked()
    module = fit(package, callback, [4, 3, 2, 1], name="valid_loss")
    assert module.said == ["epoch 0", "teardown"]
    line = (
        'monitor "val_loss" must be logged, got only "train_loss", "valid_loss"; '
        "monitor one of these, or log it"
    )
    for ask in (callback.check_pruned, lambda: callback.pruned):
        with pytest.raises(ConfigError) as caught:
            ask()
        assert str(caught.value) == line


def test_a_name_that_is_awaited_until_a_validation() -> None:
    _, callback = asked()
    fit(PACKAGES[0], callback, [1], max_epochs=3, check_val_every_n_epoch=5)
    with pytest.raises(ConfigError, match='got only "train_loss"; monitor one'):
        callback.check_pruned()


def test_without_a_trainer_it_says_what_to_do() -> None:
    _, callback = asked()
    with pytest.raises(ConfigError, match="no epoch has ended; give the callback to"):
        callback.check_pruned()


def test_several_objectives_are_refused_in_one_line() -> None:
    study = optuna.create_study(directions=["minimize", "maximize"])
    with pytest.raises(ConfigError, match=r"^TrialCallback prunes by one value, got"):
        TrialCallback(study.ask())


def test_fixed_and_frozen_trials_train_to_the_end(package: str) -> None:
    study, callback = asked()
    study.tell(callback.trial, 1.0)
    for trial in (optuna.trial.FixedTrial({"lr": 0.1}), study.best_trial):
        callback = TrialCallback(trial)
        assert "epoch 3" in fit(package, callback, [math.nan]).said
        callback.check_pruned()


def test_checkpoints_are_as_without_it_and_training_goes_on_from_them(
    package: str, tmp_path: Path
) -> None:
    study, callback = asked()
    options = {"enable_checkpointing": True, "default_root_dir": tmp_path}
    first = trainer(package, callback, max_epochs=2, **options)
    first.fit(own(package)([4, 3]), rows(), rows())
    (kept,) = first.checkpoint_callbacks
    assert Path(kept.best_model_path).exists()
    again = TrialCallback(callback.trial)
    second = trainer(package, again, max_epochs=4)
    with warnings.catch_warnings():
        # The checkpoint has the state of its own writer, which is not there now.
        warnings.filterwarnings("ignore", message="Be aware that when using")
        second.fit(own(package)([2, 1]), rows(), rows(), ckpt_path=kept.best_model_path)
    assert reports(study) == {1: 4.0, 2: 3.0, 3: 2.0, 4: 1.0}


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda c: pickle.loads(pickle.dumps(c))]
)
def test_a_copy_reports_to_a_copy(package: str, copied: Any) -> None:
    study, callback = asked()
    twin = copied(callback)
    fit(package, twin, [2, 1])
    assert reports(study) == {}
    assert reports(twin.trial.study) == {1: 2.0, 2: 1.0, 3: 1.0, 4: 1.0}


def test_it_is_one_class_to_whoever_asks(package: str) -> None:
    _, callback = asked()

    class Mine(TrialCallback):
        pass

    assert isinstance(callback, TrialCallback)
    assert type(type(callback)(callback.trial)) is type(callback)
    mine = Mine(callback.trial)
    assert isinstance(mine, Mine)
    fit(package, mine, [1], where="on_train_epoch_end")
    assert not mine.pruned
