"""The space as a function of the trial, as in Optuna: conditions are plain code.

Optuna's own ``trial.suggest_...`` and tunekit's scales mix. Takes about five seconds.
"""

from sklearn.datasets import load_digits
from sklearn.metrics import accuracy_score
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

import tunekit

x, y = load_digits(return_X_y=True)
x_train, x_valid, y_train, y_valid = train_test_split(x / 16, y, random_state=0)
momentum = tunekit.OneMinusLogUniform(0.5, 0.99)


def space(trial):
    depth = trial.suggest_int("depth", 1, 2)
    widths = [trial.suggest_int(f"width{i}", 8, 64, log=True) for i in range(depth)]
    params = {"hidden_layer_sizes": tuple(widths)}
    params["solver"] = trial.suggest_categorical("solver", ["sgd", "adam"])
    params["learning_rate_init"] = trial.suggest_float("lr", 1e-4, 1e-1, log=True)
    if params["solver"] == "sgd":
        params["momentum"] = momentum.suggest(trial, "momentum")
    return params


def make(params):
    model = MLPClassifier(**params, random_state=0)
    while True:
        model.partial_fit(x_train, y_train, classes=range(10))
        yield accuracy_score(y_valid, model.predict(x_valid))


result = tunekit.tune(make, space, direction="maximize", max_epochs=9, n_trials=15)
print(f"accuracy {result.best_value:.3f} with {result.best_params}")
