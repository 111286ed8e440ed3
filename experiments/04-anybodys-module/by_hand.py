"""The search as a careful user of Optuna and Lightning writes it today.

    python by_hand.py FOLDER N_TRIALS N_WORKERS

The same command goes on with what was stopped. The Trainer logs as it does by default;
the best epoch of every trial is kept, and the best trial's handed back as ``model``.
"""

import sys
from pathlib import Path

import optuna
import pytorch_lightning as pl
from net import Net, loaders
from optuna.trial import TrialState
from pytorch_lightning.callbacks import ModelCheckpoint

folder, n_trials, n_workers = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])


class PruningCallback(pl.Callback):
    # What Optuna's integration package does, which would be one more to install.
    def __init__(self, trial, monitor):
        self.trial = trial
        self.monitor = monitor

    def on_validation_end(self, trainer, pl_module):
        if trainer.sanity_checking:
            return
        value = trainer.callback_metrics[self.monitor].item()
        self.trial.report(value, step=trainer.current_epoch)
        if self.trial.should_prune():
            raise optuna.TrialPruned


def objective(trial):
    module = Net(
        lr=trial.suggest_float("lr", 1e-4, 1e-1, log=True),
        width=trial.suggest_int("width", 16, 256, log=True),
        dropout=trial.suggest_float("dropout", 0.0, 0.5),
    )
    train, valid = loaders(n_workers)
    checkpoint = ModelCheckpoint(monitor="val_loss")
    trainer = pl.Trainer(
        max_epochs=9,
        accelerator="cpu",
        default_root_dir=folder,
        enable_progress_bar=False,
        callbacks=[checkpoint, PruningCallback(trial, "val_loss")],
    )
    trainer.fit(module, train, valid)
    trial.set_user_attr("checkpoint", checkpoint.best_model_path)
    return checkpoint.best_model_score.item()


study = optuna.create_study(
    study_name="study",
    storage=f"sqlite:///{folder / 'study.db'}",
    load_if_exists=True,
    pruner=optuna.pruners.MedianPruner(),
)
done = study.get_trials(states=(TrialState.COMPLETE, TrialState.PRUNED))
study.optimize(objective, n_trials=max(0, n_trials - len(done)))
best_value = study.best_value
model = Net.load_from_checkpoint(study.best_trial.user_attrs["checkpoint"]).eval()
print(best_value, study.best_params)
