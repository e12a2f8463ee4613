"""`spatial_svd`: a k x k convolution as a column of k x 1 to r channels, then a row of 1 x k.

Source: Jaderberg et al., Speeding up convolutional neural networks with low rank expansions (2014), section 2.1 (scheme 2);
as one SVD: Tai et al., Convolutional neural networks with low-rank regularization (2016), section 3.
"""

import numpy as np

from edgecompress.techniques.factorize.arrays import Array, Factors, balanced


def spatial_svd(kernel: Array, rank: int) -> Factors:
    """The best pair of a column and a row convolution with `rank` channels between them, in the Frobenius norm.

    Args:
        kernel: [height, width, in, out].
        rank: at least 1, at most min(height * in, width * out).

    Returns:
        (column [height, 1, in, rank], row [1, width, rank, out]).
    """
    height, width, num_inputs, num_outputs = kernel.shape
    left, values, right = np.linalg.svd(_matrix(kernel), full_matrices=False)
    column, row = balanced(left[:, :rank] * values[:rank], right[:rank])
    return (
        column.reshape(height, 1, num_inputs, rank),
        row.reshape(rank, width, num_outputs).transpose(1, 0, 2)[np.newaxis],
    )


def reconstruct(factors: Factors) -> Array:
    """The kernel [height, width, in, out] that the two layers compute together."""
    column, row = factors
    return np.einsum("hir,wro->hwio", column[:, 0], row[0])


def singular_values(kernel: Array) -> Array:
    """Of the matrix of (height, in) against (width, out), falling."""
    return np.linalg.svd(_matrix(kernel), compute_uv=False)


def shapes(kernel_shape: tuple[int, ...], rank: int) -> list[tuple[int, ...]]:
    """Shapes of the factors."""
    height, width, num_inputs, num_outputs = kernel_shape
    return [(height, 1, num_inputs, rank), (1, width, rank, num_outputs)]


def _matrix(kernel: Array) -> Array:
    """[height * in, width * out]."""
    height, width, num_inputs, num_outputs = kernel.shape
    return np.asarray(kernel, np.float64).transpose(0, 2, 1, 3).reshape(height * num_inputs, width * num_outputs)
