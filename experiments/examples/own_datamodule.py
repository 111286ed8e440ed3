"""Hyperparameters that change the data: ``make`` returns a pair, (module, data).

Takes about ten seconds.
"""

import pytorch_lightning as pl
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import tunekit


class Digits(pl.LightningDataModule):
    """Digits with noise on the training images, which is as good as more of them."""

    def __init__(self, batch_size, noise):
        super().__init__()
        self.batch_size, self.noise = batch_size, noise

    def setup(self, stage):
        images, classes = load_digits(return_X_y=True)
        x, y = torch.tensor(images / 16).float(), torch.tensor(classes)
        self.train, self.valid = (x[:1200], y[:1200]), (x[1200:], y[1200:])

    def train_dataloader(self):
        x, y = self.train
        noisy = TensorDataset(x + self.noise * torch.randn_like(x), y)
        return DataLoader(noisy, self.batch_size, shuffle=True)

    def val_dataloader(self):
        return DataLoader(TensorDataset(*self.valid), 512)


class Net(pl.LightningModule):
    def __init__(self, lr):
        super().__init__()
        self.lr, self.layer = lr, nn.Linear(64, 10)

    def training_step(self, batch, batch_idx):
        return nn.functional.cross_entropy(self.layer(batch[0]), batch[1])

    def validation_step(self, batch, batch_idx):
        self.log("val_loss", self.training_step(batch, batch_idx))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), self.lr, momentum=0.9)


def make(params):
    return Net(params["lr"]), Digits(params["batch_size"], params["noise"])


space = {
    "lr": tunekit.LogUniform(1e-3, 1.0),
    "batch_size": tunekit.Categorical([32, 64, 128]),
    "noise": tunekit.Uniform(0.0, 0.5),
}
result = tunekit.tune(make, space, max_epochs=9, n_trials=8)
print(f"loss {result.best_value:.3f} with {result.best_params}")
