"""The study folder: made, opened again or refused; which trials are whose."""

from tunekit.store.journal import quiet_optuna
from tunekit.store.memory import MemoryStore
from tunekit.store.same import DEFINING, check_same, other_name, settings_of
from tunekit.store.store import Store
from tunekit.store.widen import widen

__all__ = [
    "DEFINING",
    "MemoryStore",
    "Store",
    "check_same",
    "other_name",
    "quiet_optuna",
    "settings_of",
    "widen",
]
