"""Tuning as a scikit-learn estimator: a frame and its classes in, a classifier out."""

from tunekit.classifier.estimator import TunedClassifier
from tunekit.classifier.result import Search

__all__ = ["Search", "TunedClassifier"]
