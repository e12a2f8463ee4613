"""Passes that make a .tflite smaller and leave what it computes as it is, to the last bit.

Each pass changes the object form of a file (see `unpack`) and says how often it did. `apply_passes` is the way to run them.
"""

from edgecompress.tflite.shrink.passes import DIET, PASSES, Passed, PassResult, Settings, apply_passes, choose_passes

__all__ = ["DIET", "PASSES", "PassResult", "Passed", "Settings", "apply_passes", "choose_passes"]
