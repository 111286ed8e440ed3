"""Both Lightning packages, quiet; studies in every kind of storage."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend

from trial_callback.own import PACKAGES, quiet


@pytest.fixture(autouse=True)
def quietly() -> Iterator[None]:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        quiet()
        yield


@pytest.fixture(autouse=True, scope="session")
def both() -> None:
    """Both are there; where only one is, is tested in processes of their own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for package in PACKAGES:
            importlib.import_module(package)


@pytest.fixture(params=PACKAGES)
def package(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["memory", "sqlite", "journal"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    if request.param == "memory":
        yield None
    elif request.param == "sqlite":
        kept = RDBStorage(f"sqlite:///{tmp_path / 'study.db'}")
        yield kept
        kept.engine.dispose()
    else:
        yield JournalStorage(JournalFileBackend(str(tmp_path / "journal.log")))
