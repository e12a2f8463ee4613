"""The workers find each other before TensorFlow starts.

TensorFlow itself waits five minutes for a worker that does not come, deaf to Ctrl-C, and then says little. So the chief listens at
its own address first, until all are there and are of one mind; then each opens TensorFlow's server at its address.
"""

from __future__ import annotations

import json
import socket
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


def meet(cluster: Cluster, facts: Mapping[str, Any], *, limit_s: float, say: Callable[[str], None]) -> None:
    """Returns when all workers are there.

    Args:
        cluster: who they are.
        facts: what must be the same for all, such as versions.
        limit_s: longest time to wait for somebody who does not come, seconds.
        say: told who is waited for.

    Raises:
        DeviceError: a worker did not come in time, or the address cannot be used.
        RecipeError: a worker differs in a fact.
    """
    (_receive_all if cluster.is_chief else _report)(cluster, dict(facts), time.monotonic() + limit_s, limit_s, say)


def _receive_all(cluster: Cluster, facts: dict[str, Any], end: float, limit_s: float, say: Callable[[str], None]) -> None:
    """The chief's part: collects the workers, then lets them go."""
    say(f"waiting for {', '.join(cluster.name(index) for index in range(1, len(cluster.addresses)))}")
    with ExitStack() as stack:
        door = stack.enter_context(_listen(cluster))
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
                    if greeting.get("greeting") == GREETING and isinstance(index, int) and 0 < index < len(cluster.addresses):
                        _check(cluster, index, facts, greeting, [*here.values(), visitor])
                        here[index] = visitor
            gone = [index for index, visitor in here.items() if not _tell([visitor], {"go": True}) or not _line(visitor).get("here")]
            if not gone:
                return
            for index in gone:  # died while it waited: another may come in its place
                del here[index]


def _check(cluster: Cluster, index: int, facts: dict[str, Any], greeting: dict[str, Any], everybody: list[socket.socket]) -> None:
    """Raises RecipeError, here and for all who wait, where a worker differs."""
    theirs = greeting.get("facts")
    for name, value in facts.items():
        found = theirs.get(name) if isinstance(theirs, dict) else None
        if found != value:
            words = f"{cluster.name(index)}: {name} must be as the chief's, {value}. Received: {found}."
            _tell(everybody, {"refused": words})
            raise RecipeError(words)


def _report(cluster: Cluster, facts: dict[str, Any], end: float, limit_s: float, say: Callable[[str], None]) -> None:
    """The part of the others: reports to the chief and waits for its word."""
    say(f"waiting for {cluster.name(0)}")
    while True:
        if time.monotonic() > end:
            raise DeviceError(f"{cluster.name(0)}: must come within {limit_s:g} s. Received: nothing; is the same command running there?")
        try:
            with socket.create_connection(cluster.place(0), timeout=ANSWER_S) as chief:
                _tell([chief], {"greeting": GREETING, "index": cluster.index, "facts": facts})
                chief.settimeout(max(1.0, end - time.monotonic()))
                answer = _line(chief)
                if "refused" in answer:
                    raise RecipeError(f"the chief has ended the meeting: {answer['refused']}")
                if answer.get("go"):
                    _tell([chief], {"here": True})
                    return
        except OSError:
            pass  # not there yet, or gone again
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
