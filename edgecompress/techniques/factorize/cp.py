"""`cp`: a k x k convolution as 1 x 1 to r channels, a column and a row in each of them, 1 x 1 back.

Finding the factors is not a convex problem: alternating least squares ends in a poor place now and then. So it starts
several times, also from the factors of lower ranks, and the best end counts.

Source: Lebedev et al., Speeding-up convolutional neural networks using fine-tuned CP-decomposition (2015), section 3;
computed by TensorLy, with its line search.
"""

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorly
from tensorly.cp_tensor import CPTensor
from tensorly.decomposition import parafac

from edgecompress.techniques.factorize.arrays import Array, Factors, relative_error

NUM_RANDOM_STARTS = 2
NUM_ITERATIONS_BELOW = 20  # at the lower ranks, whose factors are a start only
NUM_ITERATIONS = 60  # from each start
NUM_ITERATIONS_ON = 300  # from where the best start led
TOLERANCE = 1e-5  # change of the relative error in one iteration at which alternating ends before
EXACT = 1e-6  # a relative error that no further start need improve
GAIN = 1e-4  # of the error in one iteration: alternating on from the best start ends below it


class NotFound(Exception):
    """No factors were found; the message says why."""


def cp(kernel: Array, rank: int, *, seed: int = 0, time_limit_s: float = 60.0) -> Factors:
    """A sum of `rank` outer products of column, row, input and output vectors.

    Args:
        kernel: [height, width, in, out].
        rank: at least 1.
        seed: of the random starts.
        time_limit_s: seconds of work; what is not done by then is not found.

    Returns:
        (inner [1, 1, in, rank], column [height, 1, rank, 1], row [1, width, rank, 1], outer [1, 1, rank, out]); the two in
        the middle are depthwise kernels.

    Raises:
        NotFound: out of time, or no start gave finite factors.
    """
    values = np.asarray(kernel, np.float64)
    if not values.any():
        raise NotFound(f"CP found no finite factors of rank {rank}: the kernel is zero")
    clock = _Clock(time_limit_s)
    best, least = None, np.inf
    with tensorly.backend_context("numpy", local_threadsafe=True):
        for start in _starts(values, rank, np.random.default_rng(seed), clock):
            found = _alternate(values, rank, start, clock)
            error = relative_error(values, _product(found)) if found is not None else np.inf
            if found is not None and error < least:
                best, least = found, error
            if least < EXACT:
                break
        if best is not None:
            best = _alternate(values, rank, best, clock, NUM_ITERATIONS_ON, max(GAIN * least, EXACT * GAIN))
    if best is None:
        raise NotFound(f"CP found no finite factors of rank {rank}")
    column, row, inner, outer = _equally_long(best)
    return (
        inner[np.newaxis, np.newaxis],
        column[:, np.newaxis, :, np.newaxis],
        row[np.newaxis, :, :, np.newaxis],
        outer.T[np.newaxis, np.newaxis],
    )


def reconstruct(factors: Factors) -> Array:
    """The kernel [height, width, in, out] that the four layers compute together."""
    inner, column, row, outer = factors
    return _product([column[:, 0, :, 0], row[0, :, :, 0], inner[0, 0], outer[0, 0].T])


def shapes(kernel_shape: tuple[int, ...], rank: int) -> list[tuple[int, ...]]:
    """Shapes of the factors."""
    height, width, num_inputs, num_outputs = kernel_shape
    return [(1, 1, num_inputs, rank), (height, 1, rank, 1), (1, width, rank, 1), (1, 1, rank, num_outputs)]


class _Clock:
    """Ends the work when its time is up, or would be after one more iteration as long as the last: those of large kernels take seconds."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s, self._last = limit_s, time.monotonic()
        self._end = self._last + limit_s

    def check(self, *_: Any) -> None:
        """TensorLy calls it after each iteration."""
        now = time.monotonic()
        took, self._last = now - self._last, now
        if now + took > self._end:
            raise NotFound(f"CP did not end within time_limit_s {self._limit_s:g}")


def _starts(kernel: Array, rank: int, generator: np.random.Generator, clock: _Clock) -> Iterator[list[Array]]:
    """Factors to start from: the singular vectors, the factors of half the rank with random ones beside them, and random ones."""
    yield _singular_vectors(kernel, rank, generator)
    below = _from_below(kernel, rank, generator, clock)
    if below is not None:
        yield below
    for _ in range(NUM_RANDOM_STARTS):
        yield _random(kernel.shape, rank, generator)


def _from_below(kernel: Array, rank: int, generator: np.random.Generator, clock: _Clock) -> list[Array] | None:
    """The factors of rank 1, 2, 4, ..., each found from those before; filled up with random ones to `rank`."""
    found, num_found = None, 1
    while num_found < rank:
        start = _random(kernel.shape, num_found, generator) if found is None else _filled_up(found, num_found, generator)
        found = _alternate(kernel, num_found, start, clock, NUM_ITERATIONS_BELOW)
        if found is None:
            return None
        num_found *= 2
    return None if found is None else _filled_up(found, rank, generator)


def _filled_up(factors: list[Array], rank: int, generator: np.random.Generator) -> list[Array]:
    """As many random vectors beside those of a lower rank as are missing."""
    shape = [len(factor) for factor in factors]
    more = _random(shape, rank - factors[0].shape[1], generator)
    return [np.concatenate([factor, new], axis=1) for factor, new in zip(_equally_long(factors), more, strict=True)]


def _singular_vectors(kernel: Array, rank: int, generator: np.random.Generator) -> list[Array]:
    """The leading ones of each axis against all others; random ones where there are fewer."""
    factors = _random(kernel.shape, rank, generator)
    for axis, factor in enumerate(factors):
        unfolded = np.moveaxis(kernel, axis, 0).reshape(len(factor), -1)
        vectors = np.linalg.eigh(unfolded @ unfolded.T)[1][:, ::-1][:, :rank]
        factor[:, : vectors.shape[1]] = vectors
    return factors


def _random(shape: Any, rank: int, generator: np.random.Generator) -> list[Array]:
    return [generator.normal(size=(length, rank)) for length in shape]


def _alternate(
    kernel: Array, rank: int, start: list[Array], clock: _Clock, num_iterations: int = NUM_ITERATIONS, tolerance: float = TOLERANCE
) -> list[Array] | None:
    """TensorLy's alternating least squares; None where it meets a singular system or numbers that are not finite."""
    begin = CPTensor((np.ones(rank), start))
    try:
        weights, factors = parafac(
            kernel, rank, init=begin, n_iter_max=num_iterations, tol=tolerance, linesearch=True, callback=clock.check
        )
    except np.linalg.LinAlgError:
        return None
    found = [factors[0] * weights, *factors[1:]]
    return found if all(np.isfinite(factor).all() for factor in found) else None


def _product(factors: list[Array]) -> Array:
    """The kernel [height, width, in, out] of factors [length, rank] of its axes."""
    column, row, inner, outer = factors
    spatial = np.einsum("hr,wr->hwr", column, row)
    return np.einsum("hwr,ir,or->hwio", spatial, inner, outer, optimize=True)


def _equally_long(factors: list[Array]) -> list[Array]:
    """The same product with the four vectors of each component equally long."""
    lengths = np.array([np.linalg.norm(factor, axis=0) for factor in factors])
    mean = np.prod(lengths, axis=0) ** (1 / len(factors))
    return [
        factor * np.divide(mean, length, out=np.zeros_like(mean), where=length > 0) for factor, length in zip(factors, lengths, strict=True)
    ]
