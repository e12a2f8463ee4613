"""What criteria look at beyond single filters: gradients and activations on the calibration samples."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

BATCH_SIZE = 16  # small, so that changes of the loss of opposite sign do not cancel before their magnitude is taken

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LossChanges:
    """Per batch and channel of a graph: sums over all that is read of the channel.

    Attributes:
        first_order: of gradient * weight, [batches, channels].
        second_order: of (gradient * weight)^2, [batches, channels].
    """

    first_order: Floats
    second_order: Floats
