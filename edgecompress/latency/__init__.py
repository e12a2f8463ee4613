"""Latency without the board in the loop: a table learned on a host from small files, and the time that it predicts for a model.

Free of TensorFlow. `table` says how the file looks. Learning: `grid` and `networks` say which small files, `writing` makes them, `learn`
has them timed. Predicting: `workload` says what an operator has to do, `amounts` what of it may cost time, `fit` learns prices, `predict`
sums up, `forecast` does it for a recipe.
"""

from edgecompress.latency.predict import Prediction, predict, predict_latency
from edgecompress.latency.table import LatencyTable, load_table

__all__ = ["LatencyTable", "Prediction", "load_table", "predict", "predict_latency"]
