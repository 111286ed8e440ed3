"""A scikit-learn estimator with ``partial_fit``, one call an epoch.

Takes about five seconds.
"""

from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split

import tunekit

x, y = load_digits(return_X_y=True)
x_train, x_valid, y_train, y_valid = train_test_split(x / 16, y, random_state=0)

space = {
    "eta0": tunekit.LogUniform(1e-4, 10.0),
    "alpha": tunekit.LogUniform(1e-7, 1e-1),
    "learning_rate": tunekit.Categorical(["constant", "invscaling"]),
    "average": tunekit.Categorical([False, True]),
}


def make(params):
    model = SGDClassifier(loss="log_loss", random_state=0, **params)
    while True:
        model.partial_fit(x_train, y_train, classes=range(10))
        yield log_loss(y_valid, model.predict_proba(x_valid))


result = tunekit.tune(make, space, max_epochs=27, n_trials=20)
print(f"log loss {result.best_value:.3f} with {result.best_params}")
print(f"{result.trials['epochs'].sum()} epochs in all, of {20 * 27} without pausing")
