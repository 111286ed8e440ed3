"""What a TunedClassifier refuses: one line each, in the error that callers expect."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import NotFittedError

from tunekit import ConfigError, DataError, SpaceError

from .conftest import small

X = pd.DataFrame({"a": np.arange(40.0), "b": ["u", "v"] * 20})
Y = ["no", "yes"] * 20


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        (
            {"metric": "f1"},
            ConfigError,
            "metric must be one of log_loss, accuracy, got",
        ),
        ({"metric": "acuracy"}, ConfigError, 'did you mean "accuracy"?'),
        ({"n_trials": 0}, ConfigError, "n-trials must be at least 1, got 0"),
        ({"timeout": "soon"}, ConfigError, "timeout must be a time such as"),
        ({"valid_share": 1}, ConfigError, "valid_share must be above 0 and below 1"),
        ({"valid_share": "a"}, ConfigError, "valid_share must be above 0 and below 1"),
        ({"sampler": "tpee"}, ConfigError, 'did you mean "tpe"?'),
        ({"space": {"learning_rate": 1}}, SpaceError, 'did you mean "lr"?'),
        ({"space": 3}, ConfigError, "space must be a table of hyperparameters"),
        ({"random_state": -1}, ConfigError, "seed must be at least 0, got -1"),
        ({"name": "mine"}, ConfigError, "name must come with out"),
        ({"out": "runs", "name": "a/b"}, ConfigError, "name must be letters"),
        ({"random_state": "x"}, ValueError, "cannot be used to seed"),
    ],
    ids=str,
)
def test_options(
    options: dict[str, Any],
    kind: type[Exception],
    words: str,
    tmp_path: Any,
    monkeypatch: Any,
) -> None:
    monkeypatch.chdir(tmp_path)
    model = small(**options)  # options are looked at in fit alone
    with pytest.raises(kind) as refused:
        model.fit(X, Y)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("rows", "labels", "kind", "words"),
    [
        (X, Y[:-1], ValueError, "inconsistent numbers of samples"),
        (X, ["no"] * 40, DataError, 'two classes are needed, got one class, "no"'),
        (X, [None, *Y[1:]], DataError, "every row needs a class, got 1 that"),
        (X, [np.nan, *[0, 1] * 19, 1], DataError, "the first in row 1"),
        (X, [np.inf, *[0, 1] * 19, 1], DataError, "missing or infinite"),
        (X, np.linspace(0, 1, 40), ValueError, "Unknown label type: continuous"),
        (X, None, ValueError, "requires y to be passed"),
        (X[:1], Y[:1], DataError, "at least 2 rows are needed, got 1"),
        (X[["a"]][[]], Y, DataError, "at least one column is needed, got none"),
        (X.assign(a=1, b="u"), Y, DataError, "a (constant in the training rows)"),
        (X.set_axis(["a", "a"], axis=1), Y, DataError, 'must differ, got "a" 2 times'),
        (X.set_axis(["a", " "], axis=1), Y, DataError, "every column needs a name"),
        (X.assign(a=1j), Y, DataError, "complex numbers cannot be used"),
        (X.assign(b=[[1]] * 40), Y, TypeError, 'column "b": each argument must be'),
        ([1, 2, 3], [0, 1, 0], ValueError, "Expected 2D array, got 1D array"),
        (X[:2], Y[:2], DataError, "rows are needed for validation, got none out of 2"),
    ],
)
def test_rows_and_labels(
    rows: Any, labels: Any, kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind) as refused:
        small().fit(rows, labels)
    assert words in str(refused.value)


def test_more_texts_than_categories_can_be_is_no_word_of_a_command_line() -> None:
    many = pd.DataFrame(
        {"a": np.arange(2400), "id": [str(n % 1200) for n in range(2400)]}
    )
    with pytest.raises(DataError) as refused:
        small().fit(many, [0, 1] * 1200)
    assert str(refused.value).endswith("got 1,200; leave it out")


def test_rows_that_are_not_those_that_were_learnt() -> None:
    with pytest.raises(NotFittedError):
        small().predict(X)
    model = small(n_trials=1).fit(X, Y)
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(X.rename(columns={"b": "c"}))
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        assert model.predict(X.to_numpy()).tolist() == model.predict(X).tolist()
    with pytest.raises(DataError, match='column "a": numbers expected, got "old"'):
        model.predict(X.astype({"a": object}).replace({"a": {3.0: "old"}}))
    plain = small(n_trials=1).fit(X.to_numpy(), Y)
    with pytest.raises(ValueError, match="X has 1 features, but TunedClassifier is"):
        plain.predict(X[["a"]].to_numpy())
    with pytest.raises(DataError, match="at least 1 rows are needed, got 0"):
        model.predict(X[:0])
