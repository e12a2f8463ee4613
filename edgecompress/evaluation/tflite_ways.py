"""Ways to run a .tflite over many samples, the probe that chooses one on the first of them, and what thinks again later.

The plain way is one sample per invoke. What is faster, and by how much, depends on the model and the machine: batches
gain several times on fully connected networks and little on convolutions; threads with one interpreter each gain almost
their number where an invoke is long, and lose where it is short; there a wide batch can be shared by the runtime's own
threads on all cores but one, while Python prepares the next one and measures the last on that core. So all are tried on real samples,
whose outputs count as results, and only where the work that is left is worth another interpreter. No way is chosen for good: a moment
in which other programs ran may have misled the probe, so the choice is made again while the work goes on, and one sample per invoke
stays among the choices.

A batch is used only if every output of it equals, bit for bit, what the one-sample model gives, each sample at its own
place in the batch. What comes out is then the same for every way.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from queue import SimpleQueue

import numpy as np

from edgecompress.device import DeviceFault
from edgecompress.device.runtime import TfliteModel
from edgecompress.evaluation.sample_stream import Batch, SampleStream
from edgecompress.evaluation.tflite_rows import open_model, predict_rows, real_rows, run_rows, sample_size, stored_rows

NUM_PROBED = 32  # samples that run one by one first
NUM_TIMED = 8  # of these are timed together; the fastest of several counts, as other programs disturb single timings
LARGEST_BATCH = 128
BATCH_SECONDS = 2e-3  # an invoke this long has nothing to gain from more samples in it
BATCH_COST = 1.1  # a batch may cost so much more per sample on one thread: it lets the threads run undisturbed
CLEAR_GAIN = 0.8  # a batch that costs at most so much per sample is worth trying on one thread, and wider; others serve threads only
THREADS_COST = 0.97  # another way must cost at most so much per sample of what the plainest does
HOPELESS = 1.5  # a way that costs so much of the fastest one's time at its first turn gets no second one
WIDER = 4  # times the batch of one thread, for a model whose operators share threads: each then has enough to do
TURN_SECONDS = 3e-3  # a turn of the probe of threads, for each thread, at most
TURN_PART = 150  # of the samples that are left, one in so many is a turn's for each thread: the slower ways must not have much of them
PIECE_SECONDS = 5e-3  # work that is handed to a thread at a time, at most
PIECE_BYTES = 1_400_000  # float32 inputs that are handed to a thread at a time, at most: arrays that stay in the cache
PIECES_OF_TURN = 2  # of each thread, at least: with one, a turn of several is as slow as the slower of them
NUM_TURNS = 2  # of each way in the probe
SECOND_LOOK = 10  # the work left must be so many times what the first turns took; else the others' second ones cost more than they tell
WORTHWHILE = 5  # the work left must be so many times what another interpreter costs
REVIEW_SECONDS = 0.1  # the fastest way runs so long before the others are tried again; twice as long after each review that keeps it
LONGEST_REVIEW = 16  # times REVIEW_SECONDS, at most: what a review costs is little then, and a changed machine is noticed within seconds
PATIENCE = 4  # a way that was hopeless is tried again at one review in so many


@dataclass(frozen=True)
class Way:
    """Models that are all alike, each run by one thread of ours.

    Attributes:
        models: at least one.
        is_shared: the runtime's own threads share each invoke; it runs beside Python's part of the work.
        seconds_per_sample: on one thread, as measured.
        seconds_to_open: one more model, as measured.
    """

    models: list[TfliteModel]
    seconds_per_sample: float
    seconds_to_open: float
    is_shared: bool = False

    @property
    def num_busy(self) -> int:
        """Threads of ours that work side by side: where an invoke is shared, the one that waits for it and the one of Python's part."""
        return 2 if self.is_shared else len(self.models)

    @property
    def batch_size(self) -> int:
        """Samples per invoke."""
        return self.models[0].inputs[0].shape[0]

    @property
    def piece(self) -> int:
        """Samples that are handed to a thread at a time: whole batches."""
        seconds, num_bytes = self.seconds_per_sample * self.batch_size, 4 * self.batch_size * sample_size(self.models[0])
        return self.batch_size * max(1, min(round(PIECE_SECONDS / seconds), PIECE_BYTES // num_bytes))

    def is_worth(self, num_models: int, num_samples: int) -> bool:
        """Whether `num_samples` are enough work to open so many more models for."""
        return num_samples * self.seconds_per_sample >= WORTHWHILE * num_models * self.seconds_to_open


@dataclass
class Contender:
    """A way, and the seconds per sample that it took at its last turn."""

    way: Way
    seconds: float


def probe_one_by_one(way: Way, stream: SampleStream) -> Generator[Batch, None, tuple[Way, bool]]:
    """Runs the first samples on one model, one by one.

    Args:
        way: one model as the file has it; its seconds per sample are not looked at.
    Returns: the way with its seconds per sample; and whether a sample gives the same output again after others, without
        which neither batches nor threads are right.
    """
    taken = stream.take(NUM_PROBED)
    if taken is None:
        return way, False
    inputs, targets = taken
    model = way.models[0]
    first = predict_rows(model, inputs[:1])  # the first invoke of an interpreter is slower, so it is not timed
    outputs, seconds = _timed(model, inputs, NUM_TIMED)
    again = predict_rows(model, inputs[:1])
    yield outputs, targets
    return replace(way, seconds_per_sample=seconds), np.array_equal(again, first)


def probe_batches(path: Path, way: Way, stream: SampleStream) -> Generator[Batch, None, Way]:
    """Runs the next samples one by one and as a batch; returns the faster way of those that give the same bits."""
    batch_size = _batch_size(way.seconds_per_sample)
    if way.batch_size > 1 or batch_size == 1 or not way.is_worth(1, stream.num_left):
        return way
    taken = stream.take(batch_size)
    if taken is None:
        return way
    inputs, targets = taken
    outputs = predict_rows(way.models[0], inputs)
    yield outputs, targets
    if len(inputs) < batch_size:  # not every place in the batch would be compared
        return way
    try:
        model = open_model(path, batch_size=batch_size)
        timed = [_timed(model, inputs, batch_size) for _ in range(2)]  # the first of them has the cold start in it
    except DeviceFault:  # a model whose graph is made for the one batch size of the file
        return way
    seconds = min(seconds for _, seconds in timed)
    same = all(np.array_equal(found, outputs) for found, _ in timed)
    return replace(way, models=[model], seconds_per_sample=seconds) if same and seconds < BATCH_COST * way.seconds_per_sample else way


def probe_threads(
    path: Path, plain: Way, way: Way, stream: SampleStream, pool: ThreadPoolExecutor, num_threads: int
) -> Generator[Batch, None, list[Contender]]:
    """Runs the next samples by turns on one thread, with a model for each of `num_threads`, and in wide batches whose
    operators share the threads; returns these with their times, the plainest first.

    Args:
        plain: as the file has it.
        way: of `probe_batches`.
    """
    gains = way is not plain and way.seconds_per_sample < CLEAR_GAIN * plain.seconds_per_sample
    ways = [plain, way] if gains else [plain]
    if num_threads > 1 and way.is_worth(num_threads - 1, stream.num_left):
        others = [open_model(path, batch_size=way.batch_size) for _ in range(num_threads - 1)]
        ways.append(replace(way, models=[*way.models, *others]))
        if gains and (wide := (yield from _open_wide(path, way, stream, num_threads))) is not None:
            ways.append(wide)
    contenders = [Contender(tried, tried.seconds_per_sample if tried is plain or tried is way else math.inf) for tried in ways]
    for rival in ways[:0:-1]:
        if rival is not way:  # threads and models start cold
            yield from run_in_order(rival, take_pieces(stream, rival.piece, len(rival.models) * rival.piece), pool)
    yield from _compare(contenders, stream, pool)
    return contenders


def _compare(contenders: list[Contender], stream: SampleStream, pool: ThreadPoolExecutor) -> Iterator[Batch]:
    """Each in turns, the plainest last; the least of its times counts. Who seems hopeless beside the others gets no turn."""
    if len(contenders) == 1:
        return
    seconds: dict[int, float] = {}
    for _ in range(NUM_TURNS):
        num_before = stream.num_left
        for place, contender in reversed(list(enumerate(contenders))):
            hopeless = contender.seconds > HOPELESS * min(seconds.values(), default=math.inf)
            if stream.num_left and (math.isinf(contender.seconds) or not hopeless):
                taken = yield from _turn(contender.way, stream, pool, _samples_of_turn(contender.way, stream))
                seconds[place] = contender.seconds = min(taken, seconds.get(place, math.inf))
        if stream.num_left < SECOND_LOOK * (num_before - stream.num_left):
            return


def fastest(contenders: list[Contender]) -> Contender:
    """The one of the least time; the first of all, which is the plainest, unless another is clearly faster."""
    best = min(contenders[1:], key=lambda contender: contender.seconds, default=contenders[0])
    return best if best.seconds < THREADS_COST * contenders[0].seconds else contenders[0]


def run_fastest(contenders: list[Contender], stream: SampleStream, pool: ThreadPoolExecutor) -> Iterator[Batch]:
    """Runs what is left in the fastest way. Now and then those that may be faster by now get a turn, and the choice is made again."""
    if len(contenders) == 1:
        yield from run_in_order(contenders[0].way, take_pieces(stream, contenders[0].way.piece), pool)
        return
    review, length, before = 0, 1, None
    while stream.num_left:
        best, review = fastest(contenders), review + 1
        length, before = min(2 * length, LONGEST_REVIEW) if best is before else 1, best
        best.seconds = yield from _turn(best.way, stream, pool, max(best.way.piece, round(length * REVIEW_SECONDS / best.seconds)))
        for contender in contenders:
            hopeless = contender.seconds > HOPELESS * best.seconds
            if contender is not best and stream.num_left and not (hopeless and review % PATIENCE):
                contender.seconds = yield from _turn(contender.way, stream, pool, _samples_of_turn(contender.way, stream))


def _samples_of_turn(way: Way, stream: SampleStream) -> int:
    """Few, so that the slower ways do not get much of the work."""
    least = PIECES_OF_TURN * way.piece
    return way.num_busy * max(least, min(round(TURN_SECONDS / way.seconds_per_sample), stream.num_left // TURN_PART))


def _open_wide(path: Path, way: Way, stream: SampleStream, num_threads: int) -> Generator[Batch, None, Way | None]:
    """One model with wider batches, None where `way` has none or its outputs are not the same bits.

    Args:
        num_threads: at least 2; one of them is for Python's part.
    """
    if way.batch_size == 1 or (taken := stream.take(WIDER * way.batch_size)) is None:
        return None
    inputs, targets = taken
    outputs = predict_rows(way.models[0], inputs)
    yield outputs, targets
    if len(inputs) < WIDER * way.batch_size:  # not every place in the batch would be compared
        return None
    try:
        model = open_model(path, batch_size=len(inputs), threads=num_threads - 1)
        same = np.array_equal(predict_rows(model, inputs), outputs)
    except DeviceFault:  # as in `probe_batches`, and where there is no memory for so wide a batch
        return None
    return replace(way, models=[model], is_shared=True) if same else None


def _turn(way: Way, stream: SampleStream, pool: ThreadPoolExecutor, num_samples: int) -> Generator[Batch, None, float]:
    """Runs about `num_samples`; returns seconds per sample, infinite where none was left."""
    num_before, started = stream.num_left, time.perf_counter()
    yield from run_in_order(way, take_pieces(stream, way.piece, num_samples), pool)
    num_done = num_before - stream.num_left  # what the caller does with the outputs is in the time, of all ways alike
    return (time.perf_counter() - started) / num_done if num_done else math.inf


def take_pieces(stream: SampleStream, piece: int, num_samples: float = math.inf) -> Iterator[Batch]:
    """The next samples in pieces, until `num_samples` are reached or none is left."""
    while num_samples > 0 and (taken := stream.take(piece)) is not None:
        num_samples -= len(taken[0])
        yield taken


def run_in_order(way: Way, pieces: Iterable[Batch], pool: ThreadPoolExecutor) -> Iterator[Batch]:
    """(outputs, targets) of each piece of (inputs, targets), in their order; only a few pieces are held at a time."""
    if len(way.models) == 1 and not way.is_shared:
        for inputs, targets in pieces:
            yield predict_rows(way.models[0], inputs), targets
        return
    idle: SimpleQueue[TfliteModel] = SimpleQueue()
    for model in way.models:
        idle.put(model)
    pending: deque[tuple[Future[np.ndarray], np.ndarray]] = deque()
    for inputs, targets in pieces:
        # What the runtime's threads share leaves Python's part to this thread, so that it goes on beside theirs.
        work = partial(run_rows, rows=stored_rows(way.models[0], inputs)) if way.is_shared else partial(predict_rows, samples=inputs)
        pending.append((pool.submit(_run_on_idle, idle, work), targets))
        if len(pending) > 2 * way.num_busy:
            yield _finished(way, *pending.popleft())
    while pending:
        yield _finished(way, *pending.popleft())


def _finished(way: Way, future: Future[np.ndarray], targets: np.ndarray) -> Batch:
    """Real outputs of a piece and its targets."""
    return (real_rows(way.models[0], future.result()) if way.is_shared else future.result()), targets


def _run_on_idle(idle: SimpleQueue[TfliteModel], work: Callable[[TfliteModel], np.ndarray]) -> np.ndarray:
    """Borrows a model that no other thread is using."""
    model = idle.get()
    try:
        return work(model)
    finally:
        idle.put(model)


def _batch_size(seconds_per_sample: float) -> int:
    """The largest power of two that takes at most BATCH_SECONDS, at least 1."""
    fitting = max(1, min(LARGEST_BATCH, int(BATCH_SECONDS / seconds_per_sample)))
    return 1 << (fitting.bit_length() - 1)


def _timed(model: TfliteModel, inputs: np.ndarray, num_together: int) -> tuple[np.ndarray, float]:
    """Outputs, and seconds per sample: the least of those of `num_together` samples."""
    outputs, seconds = [], []
    for start in range(0, len(inputs), num_together):
        started = time.perf_counter()
        outputs.append(predict_rows(model, inputs[start : start + num_together]))
        seconds.append((time.perf_counter() - started) / len(outputs[-1]))
    return np.concatenate(outputs), min(seconds)
