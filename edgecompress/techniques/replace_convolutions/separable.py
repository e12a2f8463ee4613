"""`separable`: a k x k convolution as a depthwise k x k, then 1 x 1.

Source: Howard et al., MobileNets (2017), section 3.1; the start as in Guo et al., Network decoupling (2018), section 3.2:
the best single depthwise filter per input channel.
"""

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def separable_kernels(kernel: npt.NDArray[np.floating]) -> tuple[Array, Array]:
    """The nearest depthwise and pointwise kernels, in the Frobenius norm: of each input channel the best matrix of rank 1.

    Args:
        kernel: [height, width, in, out].

    Returns:
        (depthwise [height, width, in, 1], pointwise [1, 1, in, out]).
    """
    height, width, num_inputs, num_outputs = kernel.shape
    by_input = np.asarray(kernel, np.float64).transpose(2, 0, 1, 3).reshape(num_inputs, height * width, num_outputs)
    left, values, right = np.linalg.svd(by_input, full_matrices=False)
    size = np.sqrt(values[:, 0])[:, np.newaxis]  # both kernels are equally long: what is between is of the size of the outputs
    depthwise, pointwise = left[:, :, 0] * size, right[:, 0] * size
    return depthwise.T.reshape(height, width, num_inputs, 1), pointwise[np.newaxis, np.newaxis]
