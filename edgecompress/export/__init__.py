"""From a Keras model to the bytes of a .tflite file."""

from edgecompress.export.convert import Conversion, convert

__all__ = ["Conversion", "convert"]
