"""The one error of the device package, which cannot use the error tree of the rest."""

from __future__ import annotations


class DeviceFault(Exception):
    """A model or a runtime that failed on this device.

    Attributes:
        reason: One plain sentence for the user, such as "the runtime refused the file: ...".
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
