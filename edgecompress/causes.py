"""The one line of Keras' or a converter's noise that says what is wrong."""

import re

from edgecompress.device.fault import DeviceFault
from edgecompress.errors import EdgeCompressError

MAX_LENGTH = 300

_UNSUPPORTED = re.compile(r"'tf\.(\w+)' op is neither a custom op nor a flex op")
_COMPILER_ERROR = re.compile(r"error: (.+)")
_RAISED = re.compile(r"^\s*\w*(?:Error|Exception): (.+)", re.MULTILINE)
_LAYER_FAILED = re.compile(r"Exception encountered when calling layer .*")
_SOURCE_FILE = re.compile(r"^\S+\.cc:\d+ ")


def root_cause(error: BaseException) -> str:
    """Finds the cause in what a converter, Keras or a runtime raised.

    Returns:
        One line of at most 300 characters. An operator that TensorFlow Lite lacks is named.
    """
    text = error.reason if isinstance(error, DeviceFault) else str(error)
    if operators := dict.fromkeys(_UNSUPPORTED.findall(text)):
        return f"TensorFlow Lite has no operator {', '.join(operators)}"
    if isinstance(error, EdgeCompressError | DeviceFault):
        line = " ".join(text.split())
    else:
        line = _telling_line(text) or type(error).__name__
    line = line.rstrip(".")  # it becomes a part of a sentence
    return line if len(line) <= MAX_LENGTH else line[: MAX_LENGTH - 3] + "..."


def _telling_line(text: str) -> str:
    """The compiler's first error, else the last exception in a trace of user code, else the first line that says something."""
    if found := _COMPILER_ERROR.search(text):
        return found[1].strip()
    if text.startswith("in user code") and (raised := _RAISED.findall(text)):
        text = raised[-1]
    lines = (_SOURCE_FILE.sub("", line.strip()) for line in text.splitlines())
    return next((line for line in lines if line and not _LAYER_FAILED.match(line)), "")
