"""Other scales in an int8 file that is there: which tensors are free to change, a float twin to measure them with, the rewriting."""

from edgecompress.tflite.requantize.float_twin import FloatTwin, float_twin
from edgecompress.tflite.requantize.pooling import pools_to_means
from edgecompress.tflite.requantize.scales import ends_of, free_groups, set_scales

__all__ = ["FloatTwin", "ends_of", "float_twin", "free_groups", "pools_to_means", "set_scales"]
