"""A wider space for a study that exists: its journal is written anew.

Optuna lets the choices of a hyperparameter never change within a study. So every log
that tells of a hyperparameter is rewritten with the wider distribution, and all others
stay as they are: trials keep their numbers, values, times and order. The journal as it
was is kept beside the new one as ``journal-1.log``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock
from optuna.distributions import (
    BaseDistribution,
    distribution_to_json,
    json_to_distribution,
)

from tunekit.errors import ResumeError
from tunekit.files import write_bytes, write_toml
from tunekit.lines import Operation, opened, sealed
from tunekit.reading import COPY, JOURNAL
from tunekit.space import Space
from tunekit.store.leases import Leases
from tunekit.store.mending import LOCK, mend, set_aside
from tunekit.store.same import FREED, in_few_words, other_name, settings_of

__all__ = ["widen"]

_STALE = {"flat"}
"""Attributes of a study that say what was found in the narrower space."""


def widen(folder: Path, settings: Mapping[str, Any], space: Space) -> bool:
    """Let a study's space grow to another one; whether it has.

    Args:
        folder: The study's, which nobody trains now.
        settings: What it is to go on with.
        space: The wider space; ``settings`` holds it, too.

    Raises:
        ResumeError: One line, where the space would lose anything, or a process is at
            work on the study; nothing is changed then.
    """
    old, new = settings_of(folder).get("space", {}), settings["space"]
    if old == new:
        return False
    freed = _freed(folder, old, new, space)
    mend(folder)
    held = (
        f'the study "{folder.name}" must not be trained while it is widened, got a '
        "process that does; stop that first"
    )
    with Leases(folder / "leases").all_taken(held):
        journal = folder / JOURNAL
        # Who holds no lease may still append: that a study has ended, and when.
        with FileLock(folder / LOCK):
            content = journal.read_bytes()
            lines = _rewritten(content, space, freed)
            set_aside(folder, content, "journal")
            # Before: a copy of other lines than the journal's would mend it.
            (folder / COPY).unlink(missing_ok=True)
            write_bytes(journal, lines)
        write_toml(folder / "study.toml", dict(settings))
    return True


def _freed(
    folder: Path, old: Mapping[str, Any], new: Mapping[str, Any], space: Space
) -> dict[str, Any]:
    """What was fixed and is searched now, with the value that all trials had."""
    freed: dict[str, Any] = {}
    always = space.always()
    for name in [*new, *(name for name in old if name not in new)]:
        before, now = old.get(name), new.get(name)
        if name in old and name in new and _holds(now, before):
            if not isinstance(before, Mapping | list) and before != now:
                # One that counts under a condition may not have counted.
                if name in always and space.scales[name].nearest(before) == before:
                    freed[name] = before
                    continue
            else:
                continue
        elif name in new and name not in old and name not in always:
            continue  # what it depends on had not the choice under which it counts
        raise ResumeError(
            f'the study "{folder.name}" can only be widened, got {name} '
            f"{in_few_words(before)}, now {in_few_words(now)}",
            other_name(folder),
        )
    return freed


def _holds(wide: Any, narrow: Any) -> bool:
    """Whether a setting of a hyperparameter has all that another one has.

    Example:
        >>> _holds({"scale": "log", "low": 1e-4, "high": 1.0}, 0.1), _holds([1, 2], [3])
        (True, False)
    """
    if isinstance(wide, Mapping):
        if isinstance(narrow, Mapping):
            inside = wide["low"] <= narrow["low"] <= narrow["high"] <= wide["high"]
            return bool(wide["scale"] == narrow["scale"] and inside)
        number = isinstance(narrow, int | float) and not isinstance(narrow, bool)
        return number and bool(wide["low"] <= narrow <= wide["high"])
    if isinstance(wide, list):
        values = narrow if isinstance(narrow, list) else [narrow]
        return not isinstance(narrow, Mapping) and all(v in wide for v in values)
    return bool(wide == narrow)


def _rewritten(content: bytes, space: Space, freed: Mapping[str, Any]) -> bytes:
    """The logs of a journal, as if the space had been this one from the beginning."""
    wide = space.distributions(space.scales)
    added = space.to_stored(freed)
    lines: list[bytes] = []
    n_trials, all_freed = 0, {*added}
    for line in content.splitlines(keepends=True):
        log = opened(line)
        assert log is not None  # it was mended
        operation, more = log["op_code"], []
        if operation == Operation.TRIAL_PARAM:
            name = log["param_name"]
            log |= _moved(name, log["param_value_internal"], log["distribution"], wide)
        elif operation == Operation.CREATE_TRIAL:
            if log.get("distributions"):
                for name, distribution in log["distributions"].items():
                    moved = _moved(name, log["params"][name], distribution, wide)
                    log["params"][name] = moved["param_value_internal"]
                    log["distributions"][name] = moved["distribution"]
                for name, value in added.items():
                    log["params"][name] = wide[name].to_internal_repr(value)
                    log["distributions"][name] = distribution_to_json(wide[name])
            else:
                more = [
                    {
                        "op_code": Operation.TRIAL_PARAM,
                        "worker_id": log["worker_id"],
                        "trial_id": n_trials,
                        "param_name": name,
                        "param_value_internal": wide[name].to_internal_repr(value),
                        "distribution": distribution_to_json(wide[name]),
                    }
                    for name, value in added.items()
                ]
            log["trial_id"] = n_trials
            n_trials += 1
        told = log.get("user_attrs") or log.get("user_attr", {})
        if "params" in told and operation != Operation.STUDY_USER_ATTR:
            told["params"] = {**freed, **told["params"]}
        if operation == Operation.STUDY_USER_ATTR:
            _forget(told)
            all_freed.update(told.get(FREED, ()))
        lines += [sealed(each) for each in (log, *more)]
    if added:
        freeing = {"study_id": 0, "user_attr": {FREED: sorted(all_freed)}}
        attribute = {"op_code": Operation.STUDY_USER_ATTR, "worker_id": "widen"}
        lines.append(sealed({**attribute, **freeing}))
    return b"".join(lines)


def _moved(
    name: str, internal: float, json_: str, wide: Mapping[str, BaseDistribution]
) -> dict[str, Any]:
    """A value in the wider distribution: the same, though a choice has a new place."""
    if name not in wide:
        return {"param_value_internal": internal, "distribution": json_}
    value = json_to_distribution(json_).to_external_repr(internal)
    return {
        "param_value_internal": wide[name].to_internal_repr(value),
        "distribution": distribution_to_json(wide[name]),
    }


def _forget(attributes: dict[str, Any]) -> None:
    """Of what was learned of the narrower space, keep what is only told."""
    for name in _STALE & attributes.keys():
        attributes[name] = None
    for entry in attributes.get("regions") or ():
        # The constants of its model are of other features; without names none fit.
        entry["names"] = []
