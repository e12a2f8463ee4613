"""Values of variables, wherever they lie: one, or a part of it on each device."""

from typing import Any

import numpy as np

from edgecompress.backend import keras, tf


def parts_of(variable: Any) -> tuple[Any, ...]:
    """The variable itself; its parts on the devices of this machine where several train."""
    return tuple(variable.values) if isinstance(variable, tf.distribute.DistributedValues) else (variable,)


def value_of(variable: Any) -> Any:
    """The value, read on this machine's first device: reading a mean over workers would wait for all of them."""
    return parts_of(variable)[0].numpy()


def values_of(model: keras.Model) -> list[np.ndarray]:
    """The values of all weights, in their order."""
    return [value_of(variable) for variable in model.weights]
