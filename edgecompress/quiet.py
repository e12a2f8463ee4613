"""Keeps the noise of TensorFlow out of the terminal: it goes to a log file, progress bars and messages stay."""

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

NOISY_LOGGERS = ("tensorflow", "absl", "py.warnings", "tf_keras", "matplotlib")


@contextmanager
def noise_to(path: Path) -> Iterator[None]:
    """Appends native output on file descriptor 2, Python warnings and TensorFlow's loggers to `path`, until the exit.

    `sys.stderr` still reaches the terminal.
    """
    with ExitStack() as undo, open(path, "ab", buffering=0) as log:
        _redirect_native_stderr(log.fileno(), undo)
        handler = logging.StreamHandler(undo.enter_context(open(path, "a", encoding="utf-8")))
        handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s %(message)s"))
        undo.enter_context(warnings.catch_warnings())
        logging.captureWarnings(True)
        undo.callback(logging.captureWarnings, False)
        _set_handlers(logging.getLogger(), [handler], undo)  # TensorFlow adds no handler of its own where the root has one
        for name in NOISY_LOGGERS:
            _set_handlers(logging.getLogger(name), [], undo)
        yield


def without_noise() -> AbstractContextManager[None]:
    """Throws the noise away, for commands that have no run folder to log it to."""
    return noise_to(Path(os.devnull))


def _redirect_native_stderr(log: int, undo: ExitStack) -> None:
    """Points descriptor 2 to the log, and `sys.stderr`, where it wrote to descriptor 2, to a copy of the old one."""
    sys.stderr.flush()
    terminal = os.dup(2)
    undo.callback(os.close, terminal)
    if _writes_to_native_stderr():
        before = sys.stderr
        sys.stderr = os.fdopen(os.dup(terminal), "w", encoding="utf-8", errors="replace", buffering=1)
        undo.callback(setattr, sys, "stderr", before)
        undo.callback(sys.stderr.close)
    os.dup2(log, 2)
    undo.callback(os.dup2, terminal, 2)


def _writes_to_native_stderr() -> bool:
    """False in a notebook and under a test runner that captures, where sys.stderr is an object of its own."""
    try:
        return sys.stderr.fileno() == 2
    except (AttributeError, OSError, ValueError):
        return False


def _set_handlers(logger: logging.Logger, handlers: list[logging.Handler], undo: ExitStack) -> None:
    """Gives a logger these handlers alone, until `undo` is closed; what it lacks, the root logger does."""
    before, propagate = logger.handlers[:], logger.propagate
    logger.handlers, logger.propagate = handlers, True

    def restore() -> None:
        logger.handlers, logger.propagate = before, propagate

    undo.callback(restore)
