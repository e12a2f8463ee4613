"""Ways to run a .tflite over many samples, and the probe that chooses one on the first of them.

The plain way is one sample per invoke. What is faster, and by how much, depends on the model and the machine: batches
gain several times on fully connected networks and little on convolutions; threads with one interpreter each gain almost
their number where an invoke is long, and lose where it is short. So both are tried on real samples, whose outputs count as
results, and only where the work that is left is worth another interpreter.

A batch is used only if every output of it equals, bit for bit, what the one-sample model gives, each sample at its own
place in the batch. What comes out is then the same for every way.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from queue import SimpleQueue

import numpy as np

from edgecompress.device import DeviceFault
from edgecompress.device.runtime import TfliteModel
from edgecompress.evaluation.sample_stream import Batch, SampleStream
from edgecompress.evaluation.tflite_rows import open_model, predict_rows

NUM_TIMED = 8  # samples that are timed together; the fastest of several counts, as other programs disturb single timings
NUM_PROBED = 32  # samples that run one by one first; also the largest batch, so that each place in it is compared
BATCH_SECONDS = 1e-3  # an invoke this long has nothing to gain from more samples in it
BATCH_COST = 1.1  # a batch may cost so much more per sample on one thread: it lets the threads run undisturbed
PIECE_SECONDS = 5e-3  # work that is handed to a thread at a time
THREADS_COST = 0.97  # threads must cost at most so much per sample of what one thread does
WORTHWHILE = 5  # the work left must be so many times what another interpreter costs


@dataclass(frozen=True)
class Way:
    """Models that are all alike, one thread for each.

    Attributes:
        models: at least one.
        seconds_per_sample: on one thread, as measured.
        seconds_to_open: one more model, as measured.
    """

    models: list[TfliteModel]
    seconds_per_sample: float
    seconds_to_open: float

    @property
    def batch_size(self) -> int:
        """Samples per invoke."""
        return self.models[0].inputs[0].shape[0]

    @property
    def piece(self) -> int:
        """Samples that are handed to a thread at a time: whole batches."""
        return self.batch_size * max(1, round(PIECE_SECONDS / (self.seconds_per_sample * self.batch_size)))

    def is_worth(self, num_models: int, num_samples: int) -> bool:
        """Whether `num_samples` are enough work to open so many more models for."""
        return num_samples * self.seconds_per_sample >= WORTHWHILE * num_models * self.seconds_to_open


def try_batches(path: Path, way: Way, stream: SampleStream) -> Generator[Batch, None, tuple[Way, bool]]:
    """Runs the first samples one by one, then again as a batch.

    Args:
        path: of the file.
        way: one model as the file has it; its seconds per sample are not looked at.
    Returns: the faster way; and whether more models may share the work, which they may not where a sample's output
        depends on what ran before it.
    """
    taken = stream.take(NUM_PROBED)
    if taken is None:
        return way, False
    inputs, targets = taken
    model = way.models[0]
    first = predict_rows(model, inputs[:1])  # the first invoke of an interpreter is slower, so it is not timed
    outputs, seconds = _timed(model, inputs, NUM_TIMED)
    way = replace(way, seconds_per_sample=seconds)
    repeats = np.array_equal(predict_rows(model, inputs[:1]), first)
    yield outputs, targets
    if not repeats:
        return way, False
    batch_size = _batch_size(seconds, len(inputs))
    if way.batch_size > 1 or batch_size == 1 or not way.is_worth(1, stream.num_left):
        return way, True
    try:
        batched = open_model(path, batch_size=batch_size)
        cold_outputs, cold_seconds = _timed(batched, inputs, batch_size)
        warm_outputs, warm_seconds = _timed(batched, inputs, batch_size)
    except DeviceFault:  # a model whose graph is made for the one batch size of the file
        return way, True
    same = np.array_equal(cold_outputs, outputs) and np.array_equal(warm_outputs, outputs)
    batched_seconds = min(cold_seconds, warm_seconds)
    if same and batched_seconds < BATCH_COST * seconds:
        way = replace(way, models=[batched], seconds_per_sample=batched_seconds)
    return way, True


def try_threads(path: Path, way: Way, stream: SampleStream, pool: ThreadPoolExecutor, num_threads: int) -> Generator[Batch, None, Way]:
    """Runs the next samples by turns with one and with `num_threads` models; returns the faster way."""
    if num_threads == 1 or not way.is_worth(num_threads - 1, stream.num_left):
        return way
    others = [open_model(path, batch_size=way.batch_size) for _ in range(num_threads - 1)]
    team = replace(way, models=[*way.models, *others])
    fastest = {1: math.inf, num_threads: math.inf}
    for tried in (team, way, team, way):  # the first turn of the team has its cold start in it
        taken = stream.take(way.piece * num_threads)
        if taken is None:
            break
        share = math.ceil(len(taken[0]) / num_threads / way.batch_size) * way.batch_size
        started = time.perf_counter()
        results = list(run_in_order(tried, _cut(taken, share), pool))
        seconds = (time.perf_counter() - started) / len(taken[0])
        fastest[len(tried.models)] = min(fastest[len(tried.models)], seconds)
        yield from results
    return team if fastest[num_threads] < THREADS_COST * fastest[1] else way


def run_in_order(way: Way, pieces: Iterable[Batch], pool: ThreadPoolExecutor) -> Iterator[Batch]:
    """(outputs, targets) of each piece of (inputs, targets), in their order; only a few pieces are held at a time."""
    if len(way.models) == 1:
        for inputs, targets in pieces:
            yield predict_rows(way.models[0], inputs), targets
        return
    idle: SimpleQueue[TfliteModel] = SimpleQueue()
    for model in way.models:
        idle.put(model)
    pending: deque[tuple[Future[np.ndarray], np.ndarray]] = deque()
    for inputs, targets in pieces:
        pending.append((pool.submit(_run_on_idle, idle, inputs), targets))
        if len(pending) > 2 * len(way.models):
            future, done = pending.popleft()
            yield future.result(), done
    for future, done in pending:
        yield future.result(), done


def _run_on_idle(idle: SimpleQueue[TfliteModel], inputs: np.ndarray) -> np.ndarray:
    """Borrows a model that no other thread is using."""
    model = idle.get()
    try:
        return predict_rows(model, inputs)
    finally:
        idle.put(model)


def _batch_size(seconds_per_sample: float, num_samples: int) -> int:
    """The largest power of two that takes at most BATCH_SECONDS and is not above the samples at hand."""
    fitting = max(1, min(num_samples, int(BATCH_SECONDS / seconds_per_sample)))
    return 1 << (fitting.bit_length() - 1)


def _timed(model: TfliteModel, inputs: np.ndarray, num_together: int) -> tuple[np.ndarray, float]:
    """Outputs, and seconds per sample: the least of those of `num_together` samples."""
    outputs, seconds = [], []
    for start in range(0, len(inputs), num_together):
        started = time.perf_counter()
        outputs.append(predict_rows(model, inputs[start : start + num_together]))
        seconds.append((time.perf_counter() - started) / len(outputs[-1]))
    return np.concatenate(outputs), min(seconds)


def _cut(batch: Batch, num_samples: int) -> Iterator[Batch]:
    """Pieces of at most `num_samples`."""
    inputs, targets = batch
    for start in range(0, len(inputs), num_samples):
        yield inputs[start : start + num_samples], targets[start : start + num_samples]
