"""Failures as people and scripts see them: words on standard error, and an exit code."""

from __future__ import annotations

import errno
import traceback

from edgecompress.cli.output import say
from edgecompress.errors import EdgeCompressError, StorageError
from edgecompress.store import STORAGE_ERRORS

FAULT_OF_OURS = 1
NOT_RANKED = 6
INTERRUPTED = 130
MAX_CHARACTERS = 300  # of an unexpected error's own words


def report_failure(error: BaseException, *, debug: bool) -> int:
    """Says what went wrong and returns the exit code.

    Args:
        error: what ended the command.
        debug: show the traceback too.
    """
    if debug:
        traceback.print_exception(error)
    if isinstance(error, EdgeCompressError):
        say(str(error), style="red")
        return error.exit_code
    if isinstance(error, KeyboardInterrupt):
        say("Interrupted. What is done is kept; the same command continues from there.", style="yellow")
        return INTERRUPTED
    if isinstance(error, OSError) and error.errno in STORAGE_ERRORS and error.errno != errno.ENOENT:  # what is missing may be ours
        place = f"{error.filename}: " if error.filename else ""
        say(f"{place}{STORAGE_ERRORS[error.errno]}.", style="red")
        return StorageError.exit_code
    words = " ".join(f"{type(error).__name__}: {error}".split())[:MAX_CHARACTERS]
    say(f"This is a fault of edgecompress, not of your input: {words}. Run again with --debug and report what it shows.", style="red")
    return FAULT_OF_OURS
