"""A training loop in plain PyTorch, as a generator that yields each epoch's loss.

Weak trials are closed early and the promising go on where they were; the loop itself
knows nothing of a search. Takes about five seconds.
"""

import torch
from sklearn.datasets import load_digits
from torch import nn

import tunekit

images, classes = load_digits(return_X_y=True)
x = torch.tensor(images / 16, dtype=torch.float32)
y = torch.tensor(classes)
x_train, y_train, x_valid, y_valid = x[:1200], y[:1200], x[1200:], y[1200:]

space = {
    "lr": tunekit.LogUniform(1e-3, 1.0),
    "momentum": tunekit.OneMinusLogUniform(0.5, 0.99),
    "width": tunekit.IntLogUniform(16, 128),
}


def make(params):
    width = params["width"]
    net = nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10))
    sgd = torch.optim.SGD(net.parameters(), params["lr"], params["momentum"])
    while True:  # tune ends it after max_epochs, or sooner
        for rows in torch.randperm(len(x_train)).split(64):
            loss = nn.functional.cross_entropy(net(x_train[rows]), y_train[rows])
            sgd.zero_grad()
            loss.backward()
            sgd.step()
        with torch.no_grad():
            valid_loss = nn.functional.cross_entropy(net(x_valid), y_valid).item()
        yield valid_loss


result = tunekit.tune(make, space, max_epochs=27, n_trials=16)
print(f"loss {result.best_value:.3f} with {result.best_params}")
print(result.trials.sort_values("value").head().to_string(index=False))
