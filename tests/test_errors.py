"""The tree of errors and the end of a message about an unknown name."""

import pytest

from tunekit import errors
from tunekit.errors import (
    ConfigError,
    DataError,
    MissingExtraError,
    ResumeError,
    SpaceError,
    StoppedError,
    TunekitError,
    did_you_mean,
)


@pytest.mark.parametrize(
    ("error", "parents"),
    [
        (ConfigError, {TunekitError, ValueError}),
        (SpaceError, {TunekitError, ConfigError, ValueError}),
        (DataError, {TunekitError, ValueError}),
        (ResumeError, {TunekitError, RuntimeError}),
        (StoppedError, {TunekitError, RuntimeError}),
        (MissingExtraError, {TunekitError, ImportError}),
    ],
)
def test_an_error_is_caught_by_its_own_tree_and_by_pythons(error, parents):
    plain = {Exception, BaseException, object, error}
    assert set(error.__mro__) - plain == parents
    with pytest.raises(TunekitError, match=r"^what was got$"):
        raise error("what was got")


def test_every_error_is_listed_and_is_a_tunekit_error():
    made = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, Exception)
    }
    assert made == {name for name in errors.__all__ if name.endswith("Error")}
    assert all(issubclass(getattr(errors, name), TunekitError) for name in made)


def test_a_missing_extra_names_the_command_that_mends_it():
    error = MissingExtraError.of("Reading Parquet", "pyarrow", "parquet")
    assert type(error) is MissingExtraError
    assert (
        str(error)
        == 'Reading Parquet needs pyarrow: pip install "optuna-tunekit[parquet]"'
    )


@pytest.mark.parametrize(
    ("got", "end"),
    [
        ("n-tirals", '; did you mean "n-trials"?'),
        ("learning_rate", '; did you mean "lr"?'),
        ("sed", '; did you mean "seed"?'),
        ("zzz", ""),
        ("", ""),
    ],
)
def test_the_nearest_known_name_is_offered_or_none(got, end):
    known = ["n-trials", "seed", "lr"]
    assert did_you_mean(got, known, also={"learning_rate": "lr"}) == end


def test_other_peoples_names_come_before_resemblance():
    assert did_you_mean("decay", ["delay"]) == '; did you mean "delay"?'
    assert (
        did_you_mean("decay", ["delay"], also={"decay": "lr_decay"})
        == '; did you mean "lr_decay"?'
    )


def test_known_names_may_be_any_iterable():
    assert did_you_mean("sed", iter({"seed": 1})) == '; did you mean "seed"?'
