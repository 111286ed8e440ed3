"""A tuned network as one of scikit-learn's classifiers, in a pipeline of one's own.

Takes about ten seconds.
"""

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from tunekit import TunedClassifier

images, digits = load_digits(return_X_y=True, as_frame=True)
rows, test_rows, classes, test_classes = train_test_split(
    images, digits.map(str), stratify=digits, random_state=0
)


def with_ink(rows):
    """One column more: how much of the image is dark."""
    return rows.assign(ink=rows.mean(axis=1))


model = make_pipeline(
    FunctionTransformer(with_ink),
    TunedClassifier(n_trials=8, max_epochs=15, random_state=0),  # or timeout="10m"
)
model.fit(rows, classes)
print(f"accuracy {model.score(test_rows, test_classes):.3f} on rows kept apart")
print(model.predict(test_rows[:3]), model.predict_proba(test_rows[:3]).max(axis=1))
print(model[-1].result_.best_params)
