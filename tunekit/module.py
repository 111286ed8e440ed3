"""The Lightning module around the network, for either Lightning package.

``pytorch_lightning`` and ``lightning.pytorch`` are separate class trees: a module of
one does not train in a Trainer of the other. ``LitMLP`` belongs to the package that is
imported when it is first asked for (``pytorch_lightning`` if neither or both are);
``lit_mlp(package)`` names one.

    import lightning.pytorch as pl            import pytorch_lightning as pl
    from tunekit import LitMLP                from tunekit.module import lit_mlp
                                              LitMLP = lit_mlp("pytorch_lightning")
"""

from __future__ import annotations

import importlib
import pickle
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from tunekit.errors import DataError
from tunekit.metrics import accuracy, cross_entropy
from tunekit.mlp import MLP
from tunekit.optim import build_optimizer, lr_factor
from tunekit.packages import in_use
from tunekit.seeds import seed_for, torch_generator
from tunekit.trial import Activation, Optimizer, Recipe, Schedule, Shape

__all__ = ["LitMLP", "lit_mlp"]


@cache
def lit_mlp(package: str) -> Any:
    """The ``LitMLP`` class over ``package``'s LightningModule.

    Args:
        package: ``pytorch_lightning`` or ``lightning.pytorch``.

    Raises:
        ImportError: If that package is not installed.

    Example:
        >>> import pytorch_lightning
        >>> net = lit_mlp("pytorch_lightning")(20, 3, width=16)
        >>> isinstance(net, pytorch_lightning.LightningModule)
        True
        >>> net.eval()(torch.zeros(1, 20)).sum().item()
        1.0
    """
    parent: Any = importlib.import_module(package).LightningModule

    class LitMLP(parent):  # type: ignore[misc]
        """An MLP that trains with softmax cross-entropy in a Lightning Trainer.

        Logs ``train_loss``, ``train_score``, ``val_loss``, ``val_score`` (and
        ``test_…``) once an epoch; scores are accuracies. Batches are pairs (x, y). The
        Trainer's ``max_epochs`` is the horizon of the cosine schedule, unless
        ``horizon`` names another.

        Shape:
            Input (B, n_features) floats; output of ``forward`` and ``predict_step``:
            probabilities (B, n_classes).
        """

        def __init__(
            self,
            n_features: int,
            n_classes: int,
            n_layers: int = 2,
            width: int = 128,
            shape: Shape = "block",
            activation: Activation = "relu",
            dropout: float = 0.1,
            optimizer: Optimizer = "adamw",
            lr: float = 3e-3,
            momentum: float = 0.9,
            nesterov: bool = True,
            beta1: float = 0.9,
            beta2: float = 0.999,
            eps: float = 1e-8,
            weight_decay: float = 1e-4,
            schedule: Schedule = "cosine",
            lr_decay: float = 0.03,
            label_smoothing: float = 0.0,
            horizon: int | None = None,
            seed: int = 0,
            key: str = "trial-0",
        ) -> None:
            """Build the network and remember the recipe.

            Args:
                n_features: Inputs of the network.
                n_classes: Classes.
                n_layers: Hidden layers; 0 is softmax regression.
                width: Units of the first hidden layer.
                shape: ``block``, or ``funnel`` (each layer half as wide).
                activation: ``relu``, ``silu``, ``gelu`` or ``tanh``.
                dropout: Probability of leaving a hidden unit out.
                optimizer: ``sgd``, ``adam``, ``adamw`` or ``rmsprop``.
                lr: Learning rate of the first epoch.
                momentum: SGD's momentum.
                nesterov: Whether SGD looks ahead.
                beta1: Adam's decay of the mean of gradients.
                beta2: Adam's decay of the mean of squared gradients.
                eps: Adam's guard against division by zero.
                weight_decay: Decoupled under AdamW, an L2 term elsewhere.
                schedule: ``constant``, ``inverse``, ``exponential``, ``step`` or
                    ``cosine``.
                lr_decay: Relative decay an epoch, where the schedule has one.
                label_smoothing: Of the training loss alone.
                horizon: Epochs over which the cosine schedule falls; the Trainer's
                    ``max_epochs`` when None.
                seed: Seed of initial weights and dropout.
                key: Which run of that seed this is; another key, other streams. What
                    stands before a slash names the initial weights.
            """
            super().__init__()
            self.save_hyperparameters()
            fields = Recipe().as_dict()
            self.recipe = Recipe(
                **{k: v for k, v in self.hparams.items() if k in fields}
            )
            self.horizon = horizon
            self.net = MLP(
                n_features,
                n_classes,
                n_layers=n_layers,
                width=width,
                shape=shape,
                activation=activation,
                dropout=dropout,
                generator=torch_generator(seed, key.partition("/")[0], "weights"),
                dropout_key=seed_for(seed, key, "dropout"),
            )
            self._sums: dict[str, list[Tensor]] = {}
            self._rows: dict[str, int] = {}

        @classmethod
        def load_from_checkpoint(
            cls, checkpoint_path: Any, *arguments: Any, **options: Any
        ) -> Any:
            """The module in a Lightning checkpoint; no code in the file is run.

            Args:
                checkpoint_path: A file that a Trainer or ``ModelCheckpoint`` wrote.
                arguments: As Lightning takes them.
                options: As Lightning takes them; ``weights_only=False`` reads a file
                    that runs whatever its author has put in it.

            Raises:
                DataError: It holds more than tensors and plain values.
            """
            options = {"weights_only": True, **options}
            try:
                return super().load_from_checkpoint(
                    checkpoint_path, *arguments, **options
                )
            except pickle.UnpicklingError:
                raise DataError(
                    f"{checkpoint_path}: a checkpoint must hold tensors and plain "
                    "values alone, got other objects, which would run code; if you "
                    "trust whoever wrote it, give weights_only=False"
                ) from None

        def forward(self, x_BF: Tensor) -> Tensor:
            """Probabilities of the classes."""
            return self.net.predict_proba(x_BF)

        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            """Cross-entropy of a mini-batch, with the recipe's label smoothing."""
            x_BF, y_B = batch
            self.net.set_step(self.current_epoch, batch_idx)
            logits_BC = self.net(x_BF)
            loss = cross_entropy(logits_BC, y_B, self.recipe.label_smoothing)
            self._add("train", loss.detach(), logits_BC.detach(), y_B)
            return loss

        def validation_step(self, batch: Any, batch_idx: int) -> None:
            """Plain cross-entropy and accuracy of validation rows."""
            self._evaluate("val", batch)

        def test_step(self, batch: Any, batch_idx: int) -> None:
            """Plain cross-entropy and accuracy of test rows."""
            self._evaluate("test", batch)

        def predict_step(self, batch: Any, batch_idx: int) -> Tensor:
            """Probabilities for a batch x, or (x, y) whose y is ignored."""
            x_BF = batch[0] if isinstance(batch, tuple | list) else batch
            return self(x_BF)  # type: ignore[no-any-return]

        def on_train_epoch_start(self) -> None:
            """Begin the epoch's sums anew, also after an epoch that was broken off."""
            self._sums.pop("train", None)

        def on_validation_epoch_start(self) -> None:
            """Begin the validation's sums anew."""
            self._sums.pop("val", None)

        def on_test_epoch_start(self) -> None:
            """Begin the test's sums anew."""
            self._sums.pop("test", None)

        def on_train_epoch_end(self) -> None:
            """Log the epoch's means over training rows."""
            self._log_means("train")

        def on_validation_epoch_end(self) -> None:
            """Log the means over validation rows."""
            self._log_means("val")

        def on_test_epoch_end(self) -> None:
            """Log the means over test rows."""
            self._log_means("test")

        def configure_optimizers(self) -> Any:
            """The recipe's optimizer, and its schedule stepped once an epoch."""
            optimizer = build_optimizer(self.recipe, self.parameters())
            horizon = self.horizon
            if horizon is None:
                horizon = self.trainer.max_epochs or 1
            if self.recipe.schedule == "cosine" and horizon < 1:
                raise ValueError(
                    "the cosine schedule needs a horizon: set the Trainer's "
                    f"max_epochs, got {horizon}"
                )

            def factor(epoch: int) -> float:
                recipe = self.recipe
                return lr_factor(recipe.schedule, recipe.lr_decay, epoch, horizon)

            schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
            return [optimizer], [{"scheduler": schedule, "interval": "epoch"}]

        def means(self, part: str) -> tuple[Tensor, Tensor]:
            """Mean loss and score over the rows of one part (``train``, …) so far."""
            loss, score = self._sums[part]
            return loss / self._rows[part], score / self._rows[part]

        def _evaluate(self, part: str, batch: Any) -> None:
            x_BF, y_B = batch
            logits_BC = self.net(x_BF)
            self._add(part, cross_entropy(logits_BC, y_B), logits_BC, y_B)

        def _add(self, part: str, loss: Tensor, logits: Tensor, y_B: Tensor) -> None:
            """Keep sums on the device: one transfer an epoch, none a step."""
            n = len(y_B)
            found = [loss * n, accuracy(logits, y_B) * n]
            if part in self._sums:
                self._sums[part] = [
                    a + b for a, b in zip(self._sums[part], found, strict=True)
                ]
                self._rows[part] += n
            else:
                self._sums[part], self._rows[part] = found, n

        def _log_means(self, part: str) -> None:
            loss, score = self.means(part)
            rows = self._rows[part]
            self.log(f"{part}_loss", loss, batch_size=rows, sync_dist=True)
            self.log(f"{part}_score", score, batch_size=rows, sync_dist=True)

    # The class is found again by its module's name, as pickling and LightningCLI need.
    LitMLP.__qualname__ = "LitMLP"
    return LitMLP


if TYPE_CHECKING:
    LitMLP: Any
else:

    def __getattr__(name: str) -> Any:
        """``LitMLP``, decided once, when it is first asked for."""
        if name == "LitMLP":
            return globals().setdefault(name, lit_mlp(in_use()))
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
