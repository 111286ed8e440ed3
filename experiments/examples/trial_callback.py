"""One part alone: ``TrialCallback`` prunes in an objective and a study of one's own.

Any storage, sampler and pruner of Optuna will do. Takes about ten seconds. Optuna
shows momentum by its gap to one, as ``one_minus_momentum``, which is what it searches.
"""

import optuna
import pytorch_lightning as pl

from tunekit import LitMLP, LogUniform, OneMinusLogUniform, TableData, TrialCallback

data = TableData(batch_size=64)  # the digits; any LightningDataModule or loaders


def objective(trial):
    module = LitMLP(  # or any LightningModule
        data.n_features,
        data.n_classes,
        optimizer="sgd",
        lr=LogUniform(1e-4, 1.0).suggest(trial, "lr"),
        momentum=OneMinusLogUniform(0.5, 0.99).suggest(trial, "momentum"),
        width=trial.suggest_int("width", 16, 128, log=True),
    )
    pruning = TrialCallback(trial, monitor="val_loss")
    trainer = pl.Trainer(
        max_epochs=8,
        callbacks=[pruning],
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
    )
    trainer.fit(module, data)
    pruning.check_pruned()
    return trainer.callback_metrics["val_loss"].item()


optuna.logging.set_verbosity(optuna.logging.WARNING)
sampler = optuna.samplers.TPESampler(seed=0)
study = optuna.create_study(sampler=sampler, pruner=optuna.pruners.MedianPruner())
study.optimize(objective, n_trials=12)
pruned = [trial for trial in study.trials if trial.state.name == "PRUNED"]
print(f"loss {study.best_value:.3f} with {study.best_params}")
print(f"{len(pruned)} of {len(study.trials)} trials pruned")
