"""The first thing that runs on a host that is reached over SSH. `edgecompress.remote` sends it as text: nothing else is there yet.

It makes a private temporary folder, fills it with the files that follow on standard input, and lets `visit` do the job. A process of its
own waits for the end of this one, however it comes, and removes the folder: nothing stays on the host.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from typing import IO, Any

PREFIX = "edgecompress:"  # of messages: what a login script prints has none
_PART_BYTES = 1 << 16
_ALIVE_S = 5.0
_ATTEMPTS = 20  # to remove a folder in which a killed process may still write
_WORDS = {errno.ENOSPC: "the disk of its temporary folder is full", errno.EDQUOT: "the disk quota is used up"}


def main(stream: IO[bytes]) -> None:
    """Receives one line of JSON {"files": [[name, bytes], ...], "job": {...}}, the files one after the other, then signs of life."""
    try:
        order = json.loads(stream.readline())
        folder = _private_folder()
    except OSError as error:
        _fail(f"no temporary folder can be made: {error.strerror or error}: {error.filename or os.environ.get('TMPDIR', '/tmp')}")
        return
    except ValueError:  # the connection ended within the line
        return
    try:
        for name, size in order["files"]:
            _receive(stream, os.path.join(folder, name), size)
    except OSError as error:
        _fail(f"the files cannot be written: {_WORDS.get(error.errno or 0, error.strerror or str(error))}")
    except EOFError:
        pass
    else:
        sys.path.insert(0, os.path.join(folder, order["program"]))
        importlib.import_module("device.visit").serve(folder, order["job"])


def _private_folder() -> str:
    """A temporary folder that nobody else can read, and the process that removes it after this one."""
    folder = tempfile.mkdtemp(prefix="edgecompress-", dir=os.environ.get("TMPDIR") or None)
    waits, _held = os.pipe()  # the other end is held by this process alone, until it ends
    if os.fork() == 0:
        os.close(_held)
        os.setsid()
        for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        os.close(0)
        os.read(waits, 1)
        for _ in range(_ATTEMPTS):
            shutil.rmtree(folder, ignore_errors=True)
            if not os.path.exists(folder):
                break
            time.sleep(0.1)
        os._exit(0)
    os.close(waits)
    return folder


def _receive(stream: IO[bytes], path: str, size: int) -> None:
    """One file. Says now and then that it goes on."""
    said = time.monotonic()
    with open(path, "wb") as file:
        while size:
            part = stream.read(min(size, _PART_BYTES))
            if not part:
                raise EOFError
            file.write(part)
            size -= len(part)
            if time.monotonic() - said > _ALIVE_S:
                said = time.monotonic()
                _send({"alive": True})


def _fail(reason: str) -> None:
    _send({"error": reason})


def _send(message: dict[str, Any]) -> None:
    """One message to the other side; nobody there is no error: this process ends soon."""
    with contextlib.suppress(OSError):
        os.write(1, f"{PREFIX}{json.dumps(message)}\n".encode())


if __name__ == "__main__":
    main(sys.stdin.buffer)
