"""What runs on the device: standard library, NumPy and a TFLite runtime, nothing of the rest of edgecompress.

`runtime` wraps the interpreter, `benchmark` times models in child processes, `__main__` is the command for use by hand.
All imports inside are relative, so that the folder also works under another name or from a zip file.
The code byte-compiles on CPython 3.9.
"""

from .fault import DeviceFault

__all__ = ["DeviceFault"]
