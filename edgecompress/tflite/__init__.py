"""A .tflite file as plain data: parse, describe, count, read. No TensorFlow."""

from edgecompress.tflite.describe import describe
from edgecompress.tflite.model import Tflite
from edgecompress.tflite.operators import list_operators
from edgecompress.tflite.parse import parse
from edgecompress.tflite.runtime_versions import least_runtime_version, refuses
from edgecompress.tflite.weights import KerasKernel, Rewritten, StoredKernel, find_kernels, follow_kernels, read_constant

__all__ = [
    "KerasKernel", "Rewritten", "StoredKernel", "Tflite", "describe", "find_kernels", "follow_kernels", "least_runtime_version",
    "list_operators", "parse", "read_constant", "refuses",
]  # fmt: skip
