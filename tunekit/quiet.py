"""Lightning without its banners and hints."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator

__all__ = ["hush", "quiet"]

_LOGGERS = (
    *("pytorch_lightning", "lightning_fabric"),
    *("lightning", "lightning.pytorch", "lightning.fabric"),
    "torch.multiprocessing.spawn",
)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Lightning's banners and hints off; a Ctrl-C stays a Ctrl-C.

    Lightning turns KeyboardInterrupt into ``sys.exit``; whoever called us wants the
    former.
    """
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    try:
        with warnings.catch_warnings():
            hush()
            yield
    except SystemExit as error:
        if isinstance(error.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def hush() -> None:
    """The same for the rest of a process that does nothing else."""
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    # Advice on loaders with workers and on log intervals does not apply to what we do.
    warnings.filterwarnings("ignore", module=r"(pytorch_)?lightning")
    warnings.filterwarnings("ignore", message=".*lr_scheduler.step.*")
