"""`tucker2`: a k x k convolution as 1 x 1 to r1 channels, a k x k core to r2 channels, 1 x 1 back.

Source: Kim et al., Compression of deep convolutional neural networks (2016), section 3.1; computed by TensorLy.
"""

import numpy as np
import tensorly
from tensorly.decomposition import partial_tucker

from edgecompress.techniques.factorize.arrays import Array, Factors

CHANNEL_AXES = (2, 3)
NUM_SWEEPS = 1  # after the higher-order SVD. More gain less than half a percent of the error of MLPerf Tiny's ResNet-8


def tucker2(kernel: Array, rank_in: int, rank_out: int) -> Factors:
    """A core with fewer channels between two orthonormal changes of channels.

    Args:
        kernel: [height, width, in, out].
        rank_in: at least 1, at most `full_ranks` and height * width * rank_out.
        rank_out: at least 1, at most `full_ranks` and height * width * rank_in.

    Returns:
        (inner [1, 1, in, rank_in], core [height, width, rank_in, rank_out], outer [1, 1, rank_out, out]).
    """
    with tensorly.backend_context("numpy", local_threadsafe=True), np.errstate(invalid="ignore"):  # 0 / 0 for a kernel of zeros
        (core, (inner, outer)), _ = partial_tucker(
            np.asarray(kernel, np.float64), [rank_in, rank_out], modes=list(CHANNEL_AXES), n_iter_max=NUM_SWEEPS
        )
    return inner[np.newaxis, np.newaxis], core, outer.T[np.newaxis, np.newaxis]


def reconstruct(factors: Factors) -> Array:
    """The kernel [height, width, in, out] that the three layers compute together."""
    inner, core, outer = factors
    return np.einsum("ia,hwab,bo->hwio", inner[0, 0], core, outer[0, 0], optimize=True)


def singular_values(kernel: Array) -> tuple[Array, Array]:
    """Of the input channels and of the output channels, each against everything else, falling.

    From the Gram matrices, which are small: values below 1e-8 of the largest are rounding errors.
    """
    unfolded = [np.moveaxis(np.asarray(kernel, np.float64), axis, 0).reshape(kernel.shape[axis], -1) for axis in CHANNEL_AXES]
    squares = [np.linalg.eigvalsh(matrix @ matrix.T)[::-1][: min(matrix.shape)] for matrix in unfolded]
    in_values, out_values = (np.sqrt(np.maximum(values, 0.0)) for values in squares)
    return in_values, out_values


def full_ranks(kernel_shape: tuple[int, ...]) -> tuple[int, int]:
    """The largest ranks that a kernel can have: of its input and of its output channels."""
    height, width, num_inputs, num_outputs = kernel_shape
    return min(num_inputs, height * width * num_outputs), min(num_outputs, height * width * num_inputs)


def matched(kernel_shape: tuple[int, ...], rank_in: int, rank_out: int) -> tuple[int, int]:
    """Ranks with nothing in them that the core could not use: each is at most height * width times the other."""
    positions = kernel_shape[0] * kernel_shape[1]
    return min(rank_in, positions * rank_out), min(rank_out, positions * rank_in)


def shapes(kernel_shape: tuple[int, ...], rank_in: int, rank_out: int) -> list[tuple[int, ...]]:
    """Shapes of the factors."""
    height, width, num_inputs, num_outputs = kernel_shape
    return [(1, 1, num_inputs, rank_in), (height, width, rank_in, rank_out), (1, 1, rank_out, num_outputs)]
