"""The workers at work: tf.distribute's strategy over all of them, and the words that the chief sends the others.

Words go through the key-value store of TensorFlow's coordination service, which runs in the chief: no port beside TensorFlow's own,
and a wait that ends when the other side dies.
"""

from __future__ import annotations

import base64
import json
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from tensorflow.core.protobuf import config_pb2
from tensorflow.python.eager import context as tf_context

from edgecompress.backend import tf
from edgecompress.errors import DeviceError
from edgecompress.workers.cluster import Cluster
from edgecompress.workers.meeting import Link

HEARTBEAT_S = 180  # a machine that gave no sign of life for so long is gone; of a process that ends the link tells at once
GOODBYE_S = 30.0  # for the last words
POLL_MS = 1_000
CHUNK = 1 << 20  # bytes of one value in the store
TELLING = ("aborted", "timed out", "unhealthy", "connect", "heartbeat", "lost")  # words of a sentence that says what happened
LOST = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.DeadlineExceededError, tf.errors.CancelledError,
        tf.errors.InternalError, tf.errors.FailedPreconditionError)  # fmt: skip


class Crew:
    """All workers, from the moment that each of them has made this object.

    Must be made before TensorFlow's first operation.

    Args:
        cluster: who they are.
        link: the connections since they met.
        limit_s: longest time that one step of a training waits for the others, seconds.

    Raises:
        DeviceError: TensorFlow cannot open its server, or a worker was lost since they met.
    """

    def __init__(self, cluster: Cluster, link: Link, *, limit_s: float) -> None:
        self.cluster = cluster
        self._limit_s, self._link = limit_s, link
        self._number = 0
        self._lost: str | None = None
        self._over, self._silence = False, threading.Event()  # the chief has said the end; the link to it is closed
        context = tf_context.context()
        numbers = {job: sum(name == job for name, _ in cluster.jobs) for job, _ in cluster.jobs}
        context.configure_coordination_service(
            "standalone", service_leader="/job:{}/replica:0/task:{}".format(*cluster.jobs[0]),
            coordinated_jobs=[_coordinated_job(job, number) for job, number in numbers.items()],
            heartbeat_timeout_in_ms=1000 * HEARTBEAT_S, cluster_register_timeout_in_ms=round(1000 * limit_s),
        )  # fmt: skip
        options = tf.distribute.experimental.CommunicationOptions(timeout_seconds=limit_s)
        try:
            self.strategy = tf.distribute.MultiWorkerMirroredStrategy(communication_options=options)
        except tf.errors.OpError as error:
            raise DeviceError(f"the workers cannot reach each other by TensorFlow. Received: {_words(error)}") from error
        link.watch(self._lose)
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, signal.SIG_DFL)  # TensorFlow's own handler takes note of the signal and goes on

    def send(self, words: Mapping[str, Any], files: Mapping[str, bytes], *, limit_s: float | None = None) -> None:
        """The chief gives the others something to do, and waits until each has begun.

        Raises:
            DeviceError: a worker does not answer, or says why it cannot.
        """
        number, self._number = self._number, self._number + 1
        values = {name: _chunks(content) for name, content in files.items()}
        for name, chunks in values.items():
            for index, chunk in enumerate(chunks):
                self._set(f"{number}/{name}/{index}", chunk)
        self._set(str(number), json.dumps({**words, "files": {name: len(chunks) for name, chunks in values.items()}}))
        for index in range(1, len(self.cluster.addresses)):
            answer = self._wait(f"{number}/answer/{index}", time.monotonic() + (limit_s or self._limit_s), self.cluster.name(index))
            if answer:
                raise DeviceError(f"{self.cluster.name(index)}: {answer}")
        for name, chunks in values.items():
            for index in range(len(chunks)):
                tf_context.context().delete_config_key_value(_key(f"{number}/{name}/{index}"))

    def receive(self) -> tuple[dict[str, Any], dict[str, bytes]]:
        """Waits for the chief's next words, however long it works alone; `answer` must follow.

        Raises:
            DeviceError: the chief is gone.
        """
        number, self._number = self._number, self._number + 1
        words = json.loads(self._wait(str(number), None, self.cluster.name(0)))
        files = {}
        for name, count in words.pop("files").items():
            end = time.monotonic() + self._limit_s
            chunks = [self._wait(f"{number}/{name}/{index}", end, self.cluster.name(0)) for index in range(count)]
            files[name] = b"".join(base64.b64decode(chunk) for chunk in chunks)
        return words, files

    def answer(self, complaint: str = "") -> None:
        """Tells the chief that its last words are understood, or why they cannot be followed."""
        self._set(f"{self._number - 1}/answer/{self.cluster.index}", complaint or " ")

    def end(self, failure: str | None) -> None:
        """The chief lets the others go; nothing is raised where nobody is left to hear it."""
        if self._lost is None:
            with suppress(*LOST, DeviceError):
                self.send({"kind": "end", "failure": failure}, {}, limit_s=GOODBYE_S)
        self._link.close()

    def leave(self) -> None:
        """What a worker does when the chief has said that this is the end: it stays until all others have heard it."""
        self._over = True
        self.answer()
        self._silence.wait(GOODBYE_S)
        self._link.close()

    @contextmanager
    def together(self, stage: str) -> Iterator[None]:
        """While a training is shared: what TensorFlow says of a lost worker, in words.

        Raises:
            DeviceError: a worker died, or one step waited for too long.
        """
        try:
            yield
        except LOST as error:
            limit = f"a worker was lost, or let the others wait for more than {self._limit_s:g} s"
            what = limit if self._lost is None else f"{self._lost} was lost"
            cure = "Start all workers again: the training goes on after its last whole epoch"
            raise DeviceError(f"stage {stage}: {what}. {cure}. Received: {_words(error)}.") from error

    def _lose(self, index: int) -> None:
        """Another process has ended: what waits for it in TensorFlow is woken."""
        if self._over:
            self._silence.set()
            return
        self._lost = self.cluster.name(index)
        tf_context.context().abort_collective_ops(tf.errors.UNAVAILABLE, f"{self._lost} has ended")

    def _set(self, key: str, value: str) -> None:
        try:
            tf_context.context().set_config_key_value(_key(key), value)
        except LOST as error:
            raise DeviceError(f"{self.cluster.name(0)}: must be reachable. Received: {_words(error)}") from error

    def _wait(self, key: str, end: float | None, who: str) -> str:
        """A value of the store, once it is there; in short waits, so that Ctrl-C is heard."""
        while True:
            if self._lost is not None:
                raise DeviceError(f"{self._lost}: was lost. Received: the end of its process.")
            try:
                return str(tf_context.context().get_config_key_value(_key(key), POLL_MS)).strip()
            except (tf.errors.DeadlineExceededError, tf.errors.NotFoundError):
                if end is not None and time.monotonic() > end:
                    raise DeviceError(f"{who}: must answer within {self._limit_s:g} s. Received: nothing.") from None
            except LOST as error:
                raise DeviceError(f"{who}: was lost. Received: {_words(error)}") from error


def _key(name: str) -> str:
    return f"edgecompress/{name}"


def _chunks(content: bytes) -> list[str]:
    """Bytes as text, in parts that a message holds."""
    return [base64.b64encode(content[start : start + CHUNK]).decode() for start in range(0, len(content), CHUNK)]


def _coordinated_job(name: str, number: int) -> Any:
    """TensorFlow's own message; its class is reached through the message that holds it, whose place does not move."""
    jobs = config_pb2.ConfigProto().experimental.coordination_config.coordinated_job_list
    return jobs.add(name=name, num_tasks=number)


def _words(error: BaseException) -> str:
    """The first sentence that says something, of TensorFlow's many."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if any(word in line for word in TELLING)]
    return (telling or lines or [type(error).__name__])[0].split("}} ")[-1][:300].rstrip(".")
