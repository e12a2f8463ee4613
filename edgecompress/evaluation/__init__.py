"""Measures models on a split, Keras and TFLite by the same code, and says whether one is worse than the other."""

from edgecompress.evaluation.class_changes import class_changes
from edgecompress.evaluation.evaluate import evaluate_keras, evaluate_tflite
from edgecompress.evaluation.predict import Evaluation
from edgecompress.evaluation.verdict import verdict

__all__ = ["Evaluation", "class_changes", "evaluate_keras", "evaluate_tflite", "verdict"]
