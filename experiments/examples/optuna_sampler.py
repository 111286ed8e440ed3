"""One part alone: ``CoarseToFineSampler`` in a plain Optuna study.

It passes Optuna's own suite for samplers, and is any other sampler's replacement.
Takes about five seconds.
"""

import optuna
from sklearn.datasets import load_wine
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import tunekit

x, y = load_wine(return_X_y=True)


def objective(trial):
    kernel = trial.suggest_categorical("kernel", ["linear", "rbf"])
    params = {"C": trial.suggest_float("C", 1e-3, 1e3, log=True)}
    if kernel == "rbf":
        params["gamma"] = trial.suggest_float("gamma", 1e-5, 1e1, log=True)
    model = make_pipeline(StandardScaler(), SVC(kernel=kernel, **params))
    return cross_val_score(model, x, y).mean()


optuna.logging.set_verbosity(optuna.logging.WARNING)
sampler = tunekit.CoarseToFineSampler(seed=0)
study = optuna.create_study(direction="maximize", sampler=sampler)
study.optimize(objective, n_trials=25)
print(f"accuracy {study.best_value:.3f} with {study.best_params}")
