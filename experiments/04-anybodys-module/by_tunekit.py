"""The same search with tunekit.

    python by_tunekit.py FOLDER N_TRIALS N_WORKERS

The same command goes on with what was stopped.
"""

import sys
from pathlib import Path

from net import Net, loaders

import tunekit
from tunekit import IntLogUniform, LogUniform, Uniform

folder, n_trials, n_workers = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])

space = {
    "lr": LogUniform(1e-4, 1e-1),
    "width": IntLogUniform(16, 256),
    "dropout": Uniform(0.0, 0.5),
}
result = tunekit.tune(
    lambda params: Net(**params),
    space,
    data=loaders(n_workers),
    max_epochs=9,
    n_trials=n_trials,
    trainer={"accelerator": "cpu"},
    out=folder,
)
best_value = result.best_value
model = result.best_module()
print(best_value, result.best_params)
