"""What may name a host. Anything that ssh or a shell could take for more than a name is refused, as recipes come from strangers too."""

import re

from edgecompress.errors import DeviceError

LOCAL = "local"  # this machine, without ssh
DESTINATION_PATTERN = r"^[A-Za-z0-9_][A-Za-z0-9_.@:\[\]-]{0,254}$"


def check_destination(host: str) -> None:
    """Refuses what is no destination: before anything is done.

    Raises:
        DeviceError: with the reason.
    """
    if not re.match(DESTINATION_PATTERN, host):
        raise DeviceError(f"host must be a destination of ssh, such as pi@raspberrypi.local. Received: {host!r}.")
