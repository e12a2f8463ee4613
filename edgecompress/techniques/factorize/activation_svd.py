"""Activation-aware SVD: the factors whose *outputs* differ least on real data, not whose weights do.

With inputs x of second moment C = E[x x^T], E|x^T (W - A B)|^2 is least for A = W V and B = V^T, where the columns of V
are the leading eigenvectors of W^T C W, the second moment of the outputs. So the layer's outputs are all that is needed,
for a convolution too, and C is never inverted: inputs that are never seen do no harm.

Source: Zhang et al., Accelerating very deep convolutional networks (2016), section 3.1, for linear responses.
"""

import numpy as np

from edgecompress.techniques.factorize.arrays import Array, Factors, balanced
from edgecompress.techniques.factorize.svd import shaped

TIE_BREAK = 1e-9  # weight of the kernel's own spectrum: it decides between directions that the data do not reach


def activation_svd(kernel: Array, output_moment: Array, rank: int) -> Factors:
    """The factors of rank `rank` with the least mean squared error of the outputs.

    Args:
        kernel: [..., in, out].
        output_moment: [out, out], the mean of y y^T over the layer's outputs y on real data, without bias and activation.
        rank: at least 1, at most `out`.

    Returns:
        (first [..., in, rank], second [1, ..., 1, rank, out]).
    """
    matrix = np.asarray(kernel, np.float64).reshape(-1, kernel.shape[-1])
    _, vectors = np.linalg.eigh(_with_tie_break(matrix, output_moment))
    leading = vectors[:, ::-1][:, :rank]
    return shaped(kernel, *balanced(matrix @ leading, leading.T))


def output_singular_values(kernel: Array, output_moment: Array) -> Array:
    """Square roots of the outputs' energy along each direction that `activation_svd` keeps, falling: at most the rank of the kernel."""
    matrix = np.asarray(kernel, np.float64).reshape(-1, kernel.shape[-1])
    values = np.linalg.eigvalsh(_with_tie_break(matrix, output_moment))[::-1]
    return np.sqrt(np.maximum(values[: min(matrix.shape)], 0.0))


def output_error(kernel: Array, approximation: Array, input_moment: Array) -> float:
    """Relative error of the outputs: sqrt(E|x^T (W - W')|^2 / E|x^T W|^2).

    Args:
        kernel: [..., in, out].
        approximation: the same shape.
        input_moment: [inputs, inputs], the mean of x x^T; a convolution's x is a patch.
    """

    def energy(values: Array) -> float:
        matrix = np.asarray(values, np.float64).reshape(-1, kernel.shape[-1])
        return float(np.einsum("io,ij,jo->", matrix, input_moment, matrix))

    before = energy(kernel)
    return float(np.sqrt(max(0.0, energy(kernel - approximation)) / before)) if before else 0.0


def _with_tie_break(matrix: Array, output_moment: Array) -> Array:
    """The moment with a little of the matrix' own Gram matrix."""
    gram = matrix.T @ matrix
    total = float(np.trace(gram))
    weight = TIE_BREAK * (float(np.trace(output_moment)) or 1.0) / total if total else 0.0
    return np.asarray(output_moment, np.float64) + weight * gram
