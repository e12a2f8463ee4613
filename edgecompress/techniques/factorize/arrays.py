"""What the decompositions share: their types, and the error that all of them are judged by."""

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]
Factors: TypeAlias = tuple[Array, ...]
"""Kernels of the layers that stand for one, in the order in which they are applied."""
Rank: TypeAlias = tuple[int, ...]
"""One number; of `tucker2` two: of the input and of the output channels."""


def relative_error(kernel: Array, approximation: Array) -> float:
    """|kernel - approximation| / |kernel| in the Frobenius norm; 0 for a kernel of zeros that is met exactly.

    Args:
        kernel: any shape.
        approximation: the same shape.
    """
    norm = float(np.linalg.norm(kernel))
    return float(np.linalg.norm(kernel - approximation)) / norm if norm else float(np.linalg.norm(approximation))


def energy_beyond(singular_values: Array) -> Array:
    """Fraction of the energy (sum of squares) that is lost by keeping the first 0, 1, ..., all singular values.

    Args:
        singular_values: [n], falling.

    Returns:
        [n + 1], falling from 1 to 0; zeros for a kernel of zeros.
    """
    squares = np.asarray(singular_values, np.float64) ** 2
    beyond = np.append(np.cumsum(squares[::-1])[::-1], 0.0)
    return beyond / beyond[0] if beyond[0] else beyond


def balanced(first: Array, second: Array) -> tuple[Array, Array]:
    """The same product with both factors of each component equally long.

    The tensor between the two layers then has values of the size of the layer's own, which 8 bits hold best, and both
    layers get gradients of the same size.

    Args:
        first: [..., r].
        second: [r, out].
    """
    lengths = np.linalg.norm(first.reshape(-1, first.shape[-1]), axis=0), np.linalg.norm(second, axis=1)
    is_used = (lengths[0] > 0) & (lengths[1] > 0)
    scale = np.sqrt(np.divide(lengths[1], lengths[0], out=np.ones(len(second)), where=is_used))
    return first * scale, second / scale[:, np.newaxis]
