"""Latency without the board in the loop: a table learned on a host from small files, and the time that it predicts for a model.

Free of TensorFlow. What a table holds, and how its file looks, stands in `table`; `predict` is what the rest of the package calls.
"""

from edgecompress.latency.learn import learn_latency
from edgecompress.latency.predict import Prediction, predict, predict_latency
from edgecompress.latency.table import LatencyTable, load_table

__all__ = ["LatencyTable", "Prediction", "learn_latency", "load_table", "predict", "predict_latency"]
