"""A study in a folder: what a crash or Ctrl-C stops, the same call goes on with.

Then a larger budget goes on with the same study. Takes about five seconds.
"""

import signal

import tunekit

epochs_trained = 0


def make(params):
    global epochs_trained
    x = 4.0
    while True:
        x -= params["lr"] * 2 * x
        epochs_trained += 1
        if epochs_trained == 30:
            signal.raise_signal(signal.SIGINT)  # Ctrl-C
        yield x * x


def search(**budget):
    space = {"lr": tunekit.LogUniform(1e-4, 1.0)}
    return tunekit.tune(make, space, max_epochs=20, out="runs", name="kept", **budget)


try:
    search(budget_epochs=60)
except KeyboardInterrupt:
    print(f"stopped in epoch {epochs_trained}")
result = search(budget_epochs=60)
print(f"value {result.best_value:.3g} after {result.trials['epochs'].sum()} epochs")
result = search(budget_epochs=120)  # and now goes on with what it had
print(f"value {result.best_value:.3g} after {result.trials['epochs'].sum()} epochs")
