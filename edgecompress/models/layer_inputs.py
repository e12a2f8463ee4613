"""What a layer of a model is given for real samples, batch by batch."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecompress.backend import keras
from edgecompress.models.rebuild import calls_of


def layer_inputs(model: keras.Model, name: str, batches: Any) -> Iterator[npt.NDArray[np.float32]]:
    """The first input of a layer at each of its calls.

    Args:
        model: Functional or Sequential.
        name: of one of its layers.
        batches: a dataset of (inputs, targets).

    Yields:
        [b, ...], one array per batch and call.
    """
    tensors = [call.args[0] for call in calls_of(model) if call.layer.name == name]
    until_there = keras.Model(model.inputs, tensors)
    for inputs, _ in batches:
        outputs = until_there(inputs, training=False)
        yield from (np.asarray(output) for output in (outputs if isinstance(outputs, list) else [outputs]))
