"""`fire`: a k x k convolution as 1 x 1 to few channels, then 1 x 1 and k x k side by side.

Source: Iandola et al., SqueezeNet (2016), section 3.2.
"""

import numpy as np
import numpy.typing as npt

from edgecompress.techniques.factorize.activation_svd import activation_svd

Array = npt.NDArray[np.float64]

REACH = 3.0  # standard deviations of a squeezed channel that ReLU lets through on both sides of its mean at the start


def num_wide(num_outputs: int) -> int:
    """Outputs that see the whole kernel; the others are 1 x 1."""
    return num_outputs // 2


def num_squeezed(kernel_shape: tuple[int, ...], squeeze: float) -> int:
    """Channels between."""
    return max(1, round(squeeze * min(kernel_shape[-2:])))


def squeeze_weights(kernel: npt.NDArray[np.floating], mean: Array, second_moment: Array, number: int) -> tuple[Array, Array]:
    """The 1 x 1 convolution that keeps what the outputs need most of the inputs.

    The directions are those of a factorization of the kernel's input channels that counts the error of the outputs. The
    bias moves each channel so far up that ReLU cuts off little of it.

    Args:
        kernel: [height, width, in, out].
        mean: [in], of the inputs over samples and positions.
        second_moment: [in, in], likewise.
        number: of channels, at least 1.

    Returns:
        (kernel [1, 1, in, number], bias [number]).
    """
    by_input = np.asarray(kernel, np.float64).transpose(2, 0, 1, 3).reshape(kernel.shape[2], -1)
    by_input = np.linalg.qr(by_input.T)[1].T  # the same up to a rotation of the outputs, and no larger than [in, in]
    directions, _ = activation_svd(by_input, by_input.T @ second_moment @ by_input, number)
    variance = np.einsum("is,ij,js->s", directions, second_moment, directions) - (mean @ directions) ** 2
    bias = REACH * np.sqrt(np.maximum(variance, 0.0)) - mean @ directions
    return directions[np.newaxis, np.newaxis], bias
