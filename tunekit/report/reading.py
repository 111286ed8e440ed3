"""A study folder's files as a report reads them, or one line that says why not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunekit.errors import ConfigError, DataError
from tunekit.files import read_sealed, read_toml, unsealed

if TYPE_CHECKING:
    import optuna

__all__ = ["open_study", "order", "read", "read_final", "unreadable"]

_RESTORE = "restore it from a copy of the folder"
_AGAIN = "run the same tunekit.study command again, which makes it anew"


def read(folder: Path, name: str) -> dict[str, Any]:
    """The table in one file of the study.

    Raises:
        ConfigError: There is no such file.
        DataError: It cannot be read.
    """
    path = folder / name
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".toml":
            return read_toml(text)
        return unsealed(json.loads(text))
    except (FileNotFoundError, NotADirectoryError):
        raise _no_study(folder, name) from None
    except OSError as error:
        raise unreadable(path, error.strerror or error) from None
    except ValueError as error:
        raise unreadable(path, error) from None


def read_final(folder: Path) -> dict[str, Any] | None:
    """What the winner came to; None where no winner was judged yet.

    Raises:
        DataError: It is damaged.
    """
    path = folder / "final.json"
    try:
        return read_sealed(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise unreadable(path, why, mend=_AGAIN) from None


def open_study(folder: Path) -> optuna.Study:
    """The study in ``journal.log``.

    Raises:
        ConfigError: There is none.
        DataError: It cannot be read.
    """
    path = folder / "journal.log"
    # Optuna would make the file where there is none.
    if not path.is_file():
        raise _no_study(folder, path.name)
    import optuna
    from optuna.storages import JournalStorage

    from tunekit.reading import Reading

    try:
        storage = JournalStorage(Reading(folder))
        names = optuna.get_all_study_names(storage)
        if not names:
            raise _no_study(folder, "a study in journal.log")
        name = folder.name if folder.name in names else names[0]
        return optuna.load_study(study_name=name, storage=storage)
    except ConfigError:
        raise
    # Optuna has no error of its own for logs that do not fit one another: any may come.
    except Exception as error:
        raise unreadable(path, error) from None


def order(folder: Path) -> list[int]:
    """For each recorded epoch, in the order of the work, the id of its trial."""
    from tunekit.lines import opened
    from tunekit.reading import look

    lines = look(folder).lines.splitlines(keepends=True)
    logs = (opened(line) for line in lines if b'"intermediate_value"' in line)
    return [log["trial_id"] for log in logs if log and "intermediate_value" in log]


def unreadable(path: Path, why: object, mend: str = _RESTORE) -> DataError:
    """What is wrong with a file, and what mends it."""
    return DataError(f"{path} cannot be read ({why}); {mend}")


def _no_study(folder: Path, what: str) -> ConfigError:
    return ConfigError(
        f"{folder} is no study folder: it lacks {what}; give the folder OUT/NAME of a "
        "study"
    )
