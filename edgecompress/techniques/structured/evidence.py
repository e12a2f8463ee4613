"""What criteria look at beyond single filters: gradients and activations on the calibration samples."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgecompress.backend import keras, tf
from edgecompress.data import Split
from edgecompress.errors import ModelError
from edgecompress.graph.channels import ChannelGraph
from edgecompress.recipe.schema import Task
from edgecompress.training.compiling import keras_loss

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
