"""The workers find each other before TensorFlow starts, and hear at once when one of them dies.

TensorFlow itself waits five minutes for a worker that does not come, deaf to Ctrl-C, and then says little. So the chief listens at
its own address first, until all are there and are of one mind; then each opens TensorFlow's server at its address. The connections
stay: the system closes them when a process ends, long before TensorFlow misses its heartbeat.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from typing import Any

from edgecompress.errors import DeviceError, RecipeError
from edgecompress.workers.cluster import Cluster

POLL_S = 0.25
ANSWER_S = 10.0  # for one line of somebody who is there
MOST_BYTES = 65_536  # of such a line
GREETING = "edgecompress worker"


class Link:
    """The connections of this process: the chief's to all others, another worker's to the chief.

    Args:
        connections: by the index of the worker at the other end.
    """

    def __init__(self, connections: Mapping[int, socket.socket]) -> None:
        self._connections = dict(connections)

    def watch(self, lost: Callable[[int], None]) -> None:
        """Calls `lost` with the index of each worker whose process has ended, from a thread, until `close`."""
        for index, connection in self._connections.items():
            connection.settimeout(None)
            threading.Thread(target=self._hear, args=[index, connection, lost], daemon=True).start()

    def close(self) -> None:
        """Ends the connections: whoever is at the other end takes this for the end of this process."""
        connections, self._connections = self._connections, {}
        for connection in connections.values():
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def _hear(self, index: int, connection: socket.socket, lost: Callable[[int], None]) -> None:
        """Nothing is ever said here: what can be heard is the end."""
        with suppress(OSError):
            while connection.recv(1024):
                pass
        if index in self._connections:
            lost(index)


def meet(cluster: Cluster, facts: Mapping[str, Any], *, limit_s: float, say: Callable[[str], None]) -> Link:
    """Waits until all workers are there, and returns the connections to them.

    Args:
        cluster: who they are.
        facts: what must be the same for all, such as versions.
        limit_s: longest time to wait for somebody who does not come, seconds.
        say: told who is waited for.

    Raises:
        DeviceError: a worker did not come in time, or the address cannot be used.
        RecipeError: a worker differs in a fact.
    """
    return (_receive_all if cluster.is_chief else _report)(cluster, dict(facts), time.monotonic() + limit_s, limit_s, say)


def _receive_all(cluster: Cluster, facts: dict[str, Any], end: float, limit_s: float, say: Callable[[str], None]) -> Link:
    """The chief's part: collects the workers, then lets them go."""
    say(f"waiting for {', '.join(cluster.name(index) for index in range(1, len(cluster.addresses)))}")
    with ExitStack() as stack:
        door = _listen(cluster)
        stack.callback(door.close)
        here: dict[int, socket.socket] = {}
        while True:
            while len(here) + 1 < len(cluster.addresses):
                if time.monotonic() > end:
                    missing = ", ".join(cluster.name(index) for index in range(1, len(cluster.addresses)) if index not in here)
                    _tell(here.values(), {"refused": f"others did not come within {limit_s:g} s: {missing}"})
                    raise DeviceError(f"{missing}: must come within {limit_s:g} s. Received: nothing; is the same command running there?")
                with suppress(TimeoutError):
                    visitor, _ = door.accept()
                    stack.callback(visitor.close)
                    visitor.settimeout(ANSWER_S)
                    greeting = _line(visitor)
                    index = greeting.get("index")
                    if greeting.get("greeting") != GREETING or not isinstance(index, int) or not 0 < index < len(cluster.addresses):
                        visitor.close()  # a stranger
                        continue
                    _check(cluster, index, facts, greeting, [*here.values(), visitor])
                    if index in here:  # it was started again
                        here[index].close()
                    here[index] = visitor
            gone = [index for index, visitor in here.items() if not _tell([visitor], {"go": True}) or not _line(visitor).get("here")]
            if not gone:
                stack.pop_all()  # the connections stay
                door.close()
                return Link(here)
            for index in gone:  # died while it waited: another may come in its place
                here.pop(index).close()


def _check(cluster: Cluster, index: int, facts: dict[str, Any], greeting: dict[str, Any], everybody: list[socket.socket]) -> None:
    """Raises RecipeError, here and for all who wait, where a worker differs."""
    theirs = greeting.get("facts")
    for name, value in facts.items():
        found = theirs.get(name) if isinstance(theirs, dict) else None
        if found != value:
            words = f"{cluster.name(index)}: {name} must be as the chief's, {value}. Received: {found}."
            _tell(everybody, {"refused": words})
            raise RecipeError(words)


def _report(cluster: Cluster, facts: dict[str, Any], end: float, limit_s: float, say: Callable[[str], None]) -> Link:
    """The part of the others: reports to the chief and waits for its word."""
    say(f"waiting for {cluster.name(0)}")
    while True:
        if time.monotonic() > end:
            raise DeviceError(f"{cluster.name(0)}: must come within {limit_s:g} s. Received: nothing; is the same command running there?")
        with ExitStack() as stack, suppress(OSError):  # the chief is not there yet, or gone again
            chief = socket.create_connection(cluster.place(0), timeout=ANSWER_S)
            stack.callback(chief.close)
            _tell([chief], {"greeting": GREETING, "index": cluster.index, "facts": facts})
            chief.settimeout(max(1.0, end - time.monotonic()))
            answer = _line(chief)
            if "refused" in answer:
                raise RecipeError(f"the chief has ended the meeting: {answer['refused']}")
            if answer.get("go") and _tell([chief], {"here": True}):
                stack.pop_all()  # the connection stays
                return Link({0: chief})
        time.sleep(POLL_S)


def _listen(cluster: Cluster) -> socket.socket:
    """A socket at the chief's own port."""
    host, port = cluster.place(0)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    door = socket.socket(family, socket.SOCK_STREAM)
    try:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        door.bind(("", port))
        door.listen(len(cluster.addresses))
        door.settimeout(POLL_S)
    except OSError as error:
        door.close()
        raise DeviceError(f"{cluster.addresses[0]}: the chief's port must be free on this machine. Received: {error}.") from error
    return door


def _tell(listeners: Any, words: dict[str, Any]) -> bool:
    """Sends one line to each; False if somebody did not take it."""
    line, taken = json.dumps(words).encode() + b"\n", True
    for listener in listeners:
        try:
            listener.sendall(line)
        except OSError:
            taken = False
    return taken


def _line(speaker: socket.socket) -> dict[str, Any]:
    """The next line; {} where none comes, or no object."""
    received = b""
    try:
        while not received.endswith(b"\n") and len(received) < MOST_BYTES:
            part = speaker.recv(4096)
            if not part:
                return {}
            received += part
        value = json.loads(received)
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
