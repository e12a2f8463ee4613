"""Who the workers are, from TF_CONFIG as TensorFlow documents it, or from options of the command line. Free of TensorFlow."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgecompress.errors import RecipeError

VARIABLE = "TF_CONFIG"
WORKER_LIMIT_S = 600.0  # for another worker: to come, and to do its part of a step
JOBS = ("chief", "worker")  # in this order the workers are numbered, as tf.distribute does it
ADDRESS = re.compile(r"(?P<host>\[[0-9a-fA-F:.]+\]|[^\s:\[\]]+):(?P<port>[0-9]{1,5})")


@dataclass(frozen=True)
class Cluster:
    """The workers of a run, and which of them this process is.

    Attributes:
        addresses: host:port of each, the chief first; TensorFlow listens there.
        index: of this process.
        jobs: job and number within it of each, as TensorFlow calls them.
    """

    addresses: tuple[str, ...]
    index: int
    jobs: tuple[tuple[str, int], ...]

    @property
    def is_chief(self) -> bool:
        return self.index == 0

    def name(self, index: int) -> str:
        """A worker in words."""
        return f"{'the chief' if index == 0 else f'worker {index}'} ({self.addresses[index]})"

    def place(self, index: int) -> tuple[str, int]:
        """Host and port of a worker."""
        host, _, port = self.addresses[index].rpartition(":")
        return host.strip("[]"), int(port)


def cluster_of(environment: Mapping[str, str]) -> Cluster | None:
    """The cluster that TF_CONFIG describes; None where there is no such variable.

    Raises:
        RecipeError: the variable does not say what TensorFlow wants, or fewer than two workers.
    """
    text = environment.get(VARIABLE, "").strip()
    if not text:
        return None
    try:
        value = json.loads(text)
    except ValueError as error:
        raise RecipeError(f"{VARIABLE} must be JSON. Received: {text[:80]!r} ({error}).") from error
    spec, task = (value.get(name) if isinstance(value, dict) else None for name in ("cluster", "task"))
    if not isinstance(spec, dict) or not isinstance(task, dict):
        expected = '{"cluster": {"worker": ["HOST:PORT", ...]}, "task": {"type": "worker", "index": 0}}'
        raise RecipeError(f"{VARIABLE} must be like {expected}. Received: {text[:200]}.")
    jobs = [(job, number, address) for job in JOBS for number, address in enumerate(_addresses(spec.get(job, []), job))]
    if len(jobs) < 2:
        raise RecipeError(f"{VARIABLE}.cluster must list two workers or more. Received: {len(jobs)}.")
    mine = (task.get("type"), task.get("index"))
    names = [(job, number) for job, number, _ in jobs]
    if mine not in names or isinstance(mine[1], bool):
        expected = ", ".join(f"{job} {number}" for job, number in names)
        raise RecipeError(f"{VARIABLE}.task must be one of {expected}. Received: {mine[0]} {mine[1]}.")
    addresses = tuple(address for _, _, address in jobs)
    if len(set(addresses)) < len(addresses):
        raise RecipeError(f"{VARIABLE}.cluster must name each address once. Received: {', '.join(addresses)}.")
    return Cluster(addresses, names.index((str(mine[0]), int(mine[1]))), tuple(names))


def config_of(workers: Sequence[str], index: int) -> str:
    """TF_CONFIG for workers that were named on the command line; the first is the chief."""
    return json.dumps({"cluster": {"worker": list(workers)}, "task": {"type": "worker", "index": index}})


def enter(workers: Sequence[str], index: int) -> None:
    """Sets TF_CONFIG of this process, which TensorFlow reads."""
    os.environ[VARIABLE] = config_of(workers, index)


def _addresses(values: Any, job: str) -> list[str]:
    """The addresses of a job."""
    if not isinstance(values, list):
        raise RecipeError(f"{VARIABLE}.cluster.{job} must be a list of HOST:PORT. Received: {values!r}.")
    for value in values:
        found = ADDRESS.fullmatch(value) if isinstance(value, str) else None
        if found is None or not 0 < int(found["port"]) < 65536:
            raise RecipeError(f"{VARIABLE}.cluster.{job} must be a list of HOST:PORT. Received: {value!r}.")
    return list(values)
