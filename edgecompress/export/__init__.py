"""From a Keras model to the bytes of a .tflite file."""

from edgecompress.export.convert import Conversion, convert
from edgecompress.export.finished import finished_file

__all__ = ["Conversion", "convert", "finished_file"]
