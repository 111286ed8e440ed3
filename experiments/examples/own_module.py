"""A LightningModule of one's own: callbacks and a logger for each trial, the best back.

``lightning.pytorch`` in place of ``pytorch_lightning`` works alike. Takes about eight
seconds.
"""

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping, LambdaCallback
from pytorch_lightning.loggers import CSVLogger
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split

import tunekit


class Net(pl.LightningModule):
    def __init__(self, lr, width, dropout):
        super().__init__()
        self.save_hyperparameters()
        layers = [nn.Linear(64, width), nn.ReLU(), nn.Dropout(dropout)]
        self.layers = nn.Sequential(*layers, nn.Linear(width, 10))

    def forward(self, images):
        return self.layers(images)

    def training_step(self, batch, batch_idx):
        return nn.functional.cross_entropy(self(batch[0]), batch[1])

    def validation_step(self, batch, batch_idx):
        loss = nn.functional.cross_entropy(self(batch[0]), batch[1])
        self.log("val_loss", loss, prog_bar=True)

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), self.hparams["lr"])


def told(trial):
    """A callback that knows its trial; it is told again when the trial is promoted."""
    return LambdaCallback(
        on_fit_end=lambda trainer, module: print(
            f"trial {trial.number}, lr {trial.params['lr']:.4f}, epoch "
            f"{trainer.current_epoch}: {trainer.callback_metrics['val_loss']:.3f}"
        )
    )


images, classes = load_digits(return_X_y=True)
rows = TensorDataset(torch.tensor(images / 16).float(), torch.tensor(classes))
generator = torch.Generator().manual_seed(0)
train, valid = random_split(rows, [0.8, 0.2], generator)

result = tunekit.tune(
    lambda params: Net(**params),
    {
        "lr": tunekit.LogUniform(1e-4, 1e-1),
        "width": tunekit.IntLogUniform(16, 128),
        "dropout": tunekit.Uniform(0.0, 0.5),
    },
    data=(DataLoader(train, batch_size=64, shuffle=True), DataLoader(valid, 512)),
    max_epochs=9,
    n_trials=8,
    trainer={
        "callbacks": [EarlyStopping("val_loss", patience=3), told],
        "logger": lambda trial: CSVLogger("logs", name="net", version=trial.number),
    },
)
net = result.best_module()
with torch.no_grad():
    images, classes = valid[:]
    right = (net(images).argmax(1) == classes).float().mean()
print(f"loss {result.best_value:.3f} with {result.best_params}")
print(f"{right:.1%} of the validation rows right; curves are in logs/net")
