"""Outputs of a .tflite, streamed over a split in the fastest way that gives the same bits."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from edgecompress.data import Split
from edgecompress.device import DeviceFault
from edgecompress.device.machine import num_cores
from edgecompress.errors import ModelError
from edgecompress.evaluation.sample_stream import Batch, SampleStream
from edgecompress.evaluation.tflite_rows import check_runtime, open_model, sample_size
from edgecompress.evaluation.tflite_ways import (
    LARGEST_BATCH,
    Contender,
    Way,
    probe_batches,
    probe_one_by_one,
    probe_threads,
    run_fastest,
)
from edgecompress.samples import check_inputs, names_in_file

READ_BYTES = 16_000_000  # float32 inputs that are read at a time, at most
LARGEST_READ = 4096  # samples that are read at a time, at most; fewer, and the half millisecond of a read counts
MOST_THREADS = 8  # each holds an interpreter with its own packed weights


def tflite_outputs(path: Path, split: Split, *, threads: int | None = None) -> Iterator[Batch]:
    """(outputs float32 [b, ...], targets [b, ...]) of `split` in its natural order.

    Args:
        path: a .tflite of one output; its inputs have the shapes of the samples.
        threads: the most threads to use; None: as many as there are cores, at most 8.
    Raises:
        ModelError: a file that the runtime refuses or fails to run, or that does not fit the samples.
    """
    check_runtime()
    try:
        yield from _run(path, split, threads or min(num_cores(), MOST_THREADS))
    except DeviceFault as fault:
        raise ModelError(fault.reason if str(path) in fault.reason else f"{path}: {fault.reason}") from fault


def _run(path: Path, split: Split, num_threads: int) -> Iterator[Batch]:
    """Opens the file, lets the first samples decide how to run, and runs the rest."""
    started = time.perf_counter()
    model = open_model(path)
    seconds_to_open = time.perf_counter() - started
    names = names_in_file(path, split.sample_shape)
    check_inputs(split.sample_shape, names, [spec.shape[1:] for spec in model.inputs], str(path))
    stream = SampleStream(split, _read_size(sample_size(model)), names)
    with ThreadPoolExecutor(num_threads) as pool:  # it starts a thread when it first has work for it
        plain, repeats = yield from probe_one_by_one(Way([model], math.inf, seconds_to_open), stream)
        contenders = [Contender(plain, plain.seconds_per_sample)]
        if repeats:
            way = yield from probe_batches(path, plain, stream)
            contenders = yield from probe_threads(path, plain, way, stream, pool, num_threads)
        yield from run_fastest(contenders, stream, pool)


def _read_size(num_values: int) -> int:
    """Samples to read at a time: whole batches of the largest size, where READ_BYTES allows for one."""
    fitting = max(1, READ_BYTES // (4 * num_values))
    return min(LARGEST_READ, fitting // LARGEST_BATCH * LARGEST_BATCH or fitting)
