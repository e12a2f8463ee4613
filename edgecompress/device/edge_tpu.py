"""Coral's Edge TPU through its library libedgetpu, as a delegate of the TFLite runtime; pycoral is not needed.

This was never run on an Edge TPU: none was at hand. What the tests show is which files ask for one, and what is said where it is missing.
"""

from __future__ import annotations

import ctypes
import ctypes.util
from typing import TYPE_CHECKING, Any

from .fault import DeviceFault

if TYPE_CHECKING:
    from .installed import Runtime

DELEGATE = "edgetpu"
OPERATOR = "edgetpu-custom-op"  # what its compiler puts in the place of the operators that it took
_COMPILED = "it is compiled for the Edge TPU, so it needs one, and its library libedgetpu"
_ELSE = "The file that it was compiled from runs on a CPU"


def find_library() -> str | None:
    """The name of libedgetpu as the system's loader takes it."""
    return ctypes.util.find_library("edgetpu")


def load(runtime: Runtime) -> Any:
    """The delegate.

    Raises:
        DeviceFault: There is no libedgetpu, or no Edge TPU that it can open.
    """
    library = find_library()
    if library is None:
        raise DeviceFault(f"{runtime.name} {runtime.version} refused the model: {_COMPILED}, which is not installed here. {_ELSE}")
    try:
        ctypes.CDLL(library)  # the runtimes stumble over a library that does not load
        return runtime.load_delegate(library)
    except (ValueError, OSError, RuntimeError) as error:  # what the runtimes raise where the plug-in gives nothing
        words = " ".join(str(error).split())
        raise DeviceFault(
            f"{runtime.name} {runtime.version} refused the model: {_COMPILED}. {library} is here, but opens none: is one connected, and "
            f"may this user reach it (group plugdev)? {_ELSE}" + (f" ({words})" if words else "")
        ) from error
