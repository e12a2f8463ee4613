"""`svd`: any kernel as a matrix of its last axis against all others, cut to the largest singular values.

A Dense kernel becomes two; a k x k convolution becomes k x k to r channels, then 1 x 1 (channel SVD); an Embedding
becomes a narrow one and a Dense.

Source: Eckart & Young, The approximation of one matrix by another of lower rank (1936); for networks Denton et al.,
Exploiting linear structure within convolutional networks (2014), section 3.2.
"""

import numpy as np

from edgecompress.techniques.factorize.arrays import Array, Factors, balanced


def svd(kernel: Array, rank: int) -> Factors:
    """The best approximation of rank `rank` in the Frobenius norm.

    Args:
        kernel: [..., in, out].
        rank: at least 1, at most the smaller side of the matrix.

    Returns:
        (first [..., in, rank], second [1, ..., 1, rank, out]); of a matrix the second is [rank, out].
    """
    left, values, right = np.linalg.svd(_matrix(kernel), full_matrices=False)
    return shaped(kernel, *balanced(left[:, :rank] * values[:rank], right[:rank]))


def shaped(kernel: Array, first: Array, second: Array) -> Factors:
    """Two factors of the kernel's matrix as kernels: the first with its axes, the second with spatial axes of length 1."""
    return first.reshape(*kernel.shape[:-1], -1), second.reshape(*(1,) * (kernel.ndim - 2), *second.shape)


def reconstruct(factors: Factors) -> Array:
    """The kernel [..., in, out] that the two layers compute together."""
    first, second = factors
    return np.tensordot(first, second.reshape(second.shape[-2:]), axes=1)


def singular_values(kernel: Array) -> Array:
    """Of the kernel's matrix, falling."""
    return np.linalg.svd(_matrix(kernel), compute_uv=False)


def shapes(kernel_shape: tuple[int, ...], rank: int) -> list[tuple[int, ...]]:
    """Shapes of the factors."""
    *others, num_outputs = kernel_shape
    return [(*others, rank), (*(1,) * (len(kernel_shape) - 2), rank, num_outputs)]


def _matrix(kernel: Array) -> Array:
    return np.asarray(kernel, np.float64).reshape(-1, kernel.shape[-1])
