"""A search whose trials report every epoch and are pruned: the sampler learns from all.

From the root of the registry, ``python package/samplers/coarse_to_fine/example.py``.
"""

from __future__ import annotations

import optuna
import optunahub


def objective(trial: optuna.Trial) -> float:
    """A curve that falls to where the hyperparameters say, one value an epoch."""
    lr = trial.suggest_float("lr", 1e-5, 1e-1, log=True)
    dropout = trial.suggest_float("dropout", 0.0, 0.5)
    loss = 1.0
    for epoch in range(1, 28):
        loss = (lr / 3e-3 - 1) ** 2 + dropout + 1.0 / epoch
        trial.report(loss, epoch)
        if trial.should_prune():
            raise optuna.TrialPruned
    return loss


module = optunahub.load_local_module(
    package="samplers/coarse_to_fine", registry_root="./package/"
)
study = optuna.create_study(
    sampler=module.CoarseToFineSampler(seed=0),
    pruner=optuna.pruners.HyperbandPruner(max_resource=27),
)
study.optimize(objective, n_trials=30)
print(study.best_params, study.best_value)
