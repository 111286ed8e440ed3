"""Tables as a LightningDataModule, for either Lightning package.

``TableData`` reads, splits and prepares a table as a study does, and gives the batches
of the study's own engine: with the same seed and key, ``LitMLP`` in a plain Trainer
comes to the curve that a trial had. Like ``LitMLP`` it belongs to the Lightning package
that is imported when it is first asked for; ``table_data(package)`` names one.

    from pytorch_lightning.cli import LightningCLI
    from tunekit import LitMLP, TableData

    LightningCLI(LitMLP, TableData)

Its config gives the module the table's sizes; a program may link them instead::

    class CLI(LightningCLI):
        def add_arguments_to_parser(self, parser):
            for name in ("n_features", "n_classes"):
                parser.link_arguments(
                    f"data.{name}", f"model.{name}", apply_on="instantiate"
                )
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from tunekit.batches import Batches, Rows
from tunekit.data import Table, load
from tunekit.errors import ConfigError
from tunekit.mlp import MLP
from tunekit.packages import in_use

__all__ = ["TableData", "table_data"]


@cache
def table_data(package: str) -> Any:
    """The ``TableData`` class over ``package``'s LightningDataModule.

    Args:
        package: ``pytorch_lightning`` or ``lightning.pytorch``.

    Raises:
        ImportError: If that package is not installed.

    Example:
        >>> data = table_data("pytorch_lightning")("digits", batch_size=32)
        >>> data.n_features, data.n_classes
        (61, 10)
        >>> x_BF, y_B = next(iter(data.train_dataloader()))
        >>> x_BF.shape, y_B.shape
        (torch.Size([32, 61]), torch.Size([32]))
    """
    parent: Any = importlib.import_module(package).LightningDataModule

    class TableData(parent):  # type: ignore[misc]
        """A table, split and prepared: pairs (x, y) for training and evaluation.

        Training rows come shuffled, in an order that depends on seed, key and epoch
        alone; a last batch of a single row joins the one before it. Validation and test
        rows come in their own order. The test rows are read when they are asked for.

        Shape:
            x (B, n_features) float32, y (B,) int64.
        """

        def __init__(
            self,
            data: str | None = None,
            target: str | None = None,
            valid_data: str | None = None,
            test_data: str | None = None,
            drop: Sequence[str] = (),
            split: tuple[float, float, float] = (0.6, 0.2, 0.2),
            batch_size: int = 64,
            seed: int = 0,
            key: str = "trial-0",
        ) -> None:
            """Remember what to read; reading comes later.

            Args:
                data: CSV, Parquet or npz file; the digits of scikit-learn when None.
                target: The column of classes; the digits and npz files know theirs.
                valid_data: A file of its own for validation, with the same columns.
                test_data: The same for the test.
                drop: Columns to leave out.
                split: Shares of train, validation and test.
                batch_size: Rows of a training batch, at least 2.
                seed: Seed of the split and of the order of training rows.
                key: Which run of that seed this is; another key, another order, but
                    the same split.
            """
            super().__init__()
            if batch_size < 2:
                raise ConfigError(f"batch_size must be at least 2, got {batch_size}")
            # For checkpoints; a logger would refuse another key than the module's.
            self.save_hyperparameters(logger=False)
            self.batch_size, self.seed, self.key = batch_size, seed, key
            self._options: dict[str, Any] = {
                "data": data,
                "target": target,
                "valid_data": valid_data,
                "test_data": test_data,
                "drop": tuple(drop),
                "split": tuple(split),
                "seed": seed,
            }
            self._table: Table | None = None

        @property
        def table(self) -> Table:
            """What was read: classes, columns, preprocessor, split.

            Raises:
                DataError: A file, a column or a row cannot be used.
                ConfigError: ``split`` is not three shares that sum to 1.
            """
            if self._table is None:
                self._table = load(**self._options)
            return self._table

        @property
        def n_features(self) -> int:
            """Inputs of the network, which a module is to be made for."""
            return self.table.n_inputs

        @property
        def n_classes(self) -> int:
            """Classes of the target."""
            return len(self.table.classes)

        def setup(self, stage: str) -> None:
            """Read the table, and see that the Trainer's module was made for it.

            Raises:
                DataError: A file, a column or a row cannot be used.
                ConfigError: The module has another number of inputs or classes.
            """
            table = self.table
            module: Any = getattr(self.trainer, "lightning_module", None)
            # Other people's modules may mean other things by these names.
            if not isinstance(getattr(module, "net", None), MLP):
                return
            for name in ("n_features", "n_classes"):
                wanted, got = getattr(self, name), module.hparams.get(name)
                if got != wanted:
                    raise ConfigError(
                        f"the module's {name} must be {wanted} for "
                        f"{table.source}, got {got}; make it with "
                        f"{name}={wanted}"
                    )

        def train_dataloader(self) -> Any:
            """Shuffled batches; those of an epoch are the same whenever it is run."""
            table = self.table
            batches = Batches(
                torch.as_tensor(table.x_train),
                torch.as_tensor(table.y_train),
                batch_size=self.batch_size,
                seed=self.seed,
                key=self.key,
            )
            if self.trainer is None:
                return batches
            return _InStep(batches, lambda: self.trainer.current_epoch)

        def val_dataloader(self) -> Any:
            """Validation rows in large batches."""
            table = self.table
            return Rows(torch.as_tensor(table.x_valid), torch.as_tensor(table.y_valid))

        def test_dataloader(self) -> Any:
            """Test rows in large batches."""
            frame, y_N = self.table.test_rows()
            x_NF = self.table.preprocessor.transform(frame)
            return Rows(torch.as_tensor(x_NF), torch.as_tensor(y_N))

    # The class is found again by its module's name, as pickling and LightningCLI need.
    TableData.__qualname__ = "TableData"
    return TableData


class _InStep:
    """Batches of the epoch that a Trainer is in, also where it goes on with one."""

    def __init__(self, batches: Batches, epoch: Callable[[], int]) -> None:
        self._batches, self._epoch = batches, epoch

    def __len__(self) -> int:
        """Batches an epoch."""
        return len(self._batches)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """The epoch's batches; which one it is, is asked with the first of them."""
        self._batches.epoch = self._epoch()
        yield from self._batches


if TYPE_CHECKING:
    TableData: Any
else:

    def __getattr__(name: str) -> Any:
        """``TableData``, decided once, when it is first asked for."""
        if name == "TableData":
            return globals().setdefault(name, table_data(in_use()))
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
