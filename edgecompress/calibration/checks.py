"""What is wrong with calibration samples, before ranges are taken from them.

An int8 file computes within the ranges that its calibration samples showed. Samples that are too few, all alike, or preprocessed in
another way than the model was trained with give a file that converts well and answers nonsense.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from edgecompress.backend import keras
from edgecompress.data import Data
from edgecompress.errors import DataError
from edgecompress.graph.layers import wrapped_layer
from edgecompress.graph.order import nodes_in_order
from edgecompress.samples import Samples, num_samples, ordered

NUM_TRAINING = 512  # training inputs to compare with
FEW = 100  # samples; TensorFlow's own guide asks for 100 to 500
MOST_VARIANCE_RATIO = 8.0  # between real samples and what a BatchNormalization saw in training; scaling twice by 1/255 gives 65,025
MOST_SHIFT = 2.0  # standard deviations
MAX_LISTED = 5  # classes that a warning lists


def check_calibration_data(data: Data) -> list[str]:
    """Looks at the calibration split of a run, beside its training inputs.

    Returns:
        One sentence for each thing that is wrong.

    Raises:
        DataError: all samples are one constant, which sets no range.
    """
    samples, labels = data.calibration.arrays()
    training = data.train.some(NUM_TRAINING)
    found = check_samples(samples, labels=labels, class_names=data.class_names)
    names = list(samples) if isinstance(samples, Mapping) else [""]
    for name, values, seen in zip(names, ordered(samples, names), ordered(training, names), strict=True):
        where = f" of {name}" if name else ""
        if values.min() == values.max():
            raise DataError(f"calibration samples{where} must vary. Received: {len(values)} that are {values.flat[0]} everywhere.")
        found += check_range(values, seen)
    return found


def check_samples(samples: Samples, *, labels: npt.NDArray[np.int64] | None = None, class_names: Sequence[str] = ()) -> list[str]:
    """Looks at the samples themselves.

    Args:
        samples: float32 [n, ...], preprocessed, n >= 1; by name for several inputs.
        labels: int [n], where samples have classes.
        class_names: of the classes.

    Returns:
        One sentence for each thing that is wrong; [] for good samples.
    """
    number = num_samples(samples)
    found = []
    if number < FEW:
        found.append(f"calibration has {number} {'sample' if number == 1 else 'samples'}; ranges want {FEW} or more")
    arrays = ordered(samples, list(samples)) if isinstance(samples, Mapping) else [samples]
    rows = np.concatenate([np.ascontiguousarray(array).reshape(number, -1) for array in arrays], axis=1)
    if (copies := number - len({row.tobytes() for row in rows})) > 0:
        found.append(f"{copies} of {number} calibration samples are copies of others, which add nothing to the ranges")
    if (blank := int((rows.min(axis=1) == rows.max(axis=1)).sum())) > 0:
        found.append(f"{blank} of {number} calibration samples have the same value everywhere")
    return found + _check_classes(labels, class_names)


def _check_classes(labels: npt.NDArray[np.int64] | None, class_names: Sequence[str]) -> list[str]:
    """Classes that no sample has: what only they excite stays outside the ranges."""
    if labels is None or labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        return []
    missing = [name for index, name in enumerate(class_names) if index not in set(labels.tolist())]
    if not missing:
        return []
    listed = ", ".join(missing[:MAX_LISTED]) + (", ..." if len(missing) > MAX_LISTED else "")
    return [f"calibration has no sample of {len(missing)} of {len(class_names)} classes: {listed}"]


def check_range(samples: npt.NDArray[np.float32], training: npt.NDArray[np.float32]) -> list[str]:
    """Compares the range of calibration samples with that of training inputs.

    Args:
        samples: [n, ...].
        training: [m, ...], preprocessed for training.
    """
    inner, outer = (np.percentile(values, [0.1, 99.9]) for values in (samples, training))
    width, wanted = float(inner[1] - inner[0]), float(outer[1] - outer[0])
    if wanted and not 0.5 <= width / wanted <= 2.0:
        given, expected = (f"{low:.4g} to {high:.4g}" for low, high in (inner, outer))
        return [f"calibration samples lie in {given}, training inputs in {expected}: they are not scaled alike"]
    return []


def check_statistics(model: keras.Model, samples: Samples) -> list[str]:
    """Compares what reaches the first BatchNormalization with what it saw in training: finds samples that are scaled twice, or never.

    Args:
        model: trained; without a BatchNormalization nothing can be said.
        samples: float32 [n, ...], by name for several inputs.
    """
    layer = next((wrapped_layer(node.layer) for node in nodes_in_order(model) if _has_statistics(wrapped_layer(node.layer))), None)
    if layer is None or isinstance(layer.output, list):
        return []
    before = keras.Model(model.inputs, layer.input)
    values = before(ordered(samples, model.input_names) if len(model.inputs) > 1 else ordered(samples, model.input_names)[0]).numpy()
    channels = np.moveaxis(values, layer.axis[0], -1).reshape(-1, values.shape[layer.axis[0]]).astype(np.float64)
    mean, variance = layer.moving_mean.numpy(), layer.moving_variance.numpy() + layer.epsilon
    ratio = float(np.median((channels.var(axis=0) + layer.epsilon) / variance))
    shift = float(np.median(np.abs(channels.mean(axis=0) - mean) / np.sqrt(variance)))
    if 1 / MOST_VARIANCE_RATIO <= ratio <= MOST_VARIANCE_RATIO and shift <= MOST_SHIFT:
        return []
    scaled = f"{ratio:,.3g} times the variance, and means {shift:.2g} standard deviations away"
    return [f"calibration samples reach {layer.name} with {scaled}, compared with its training: are they preprocessed as in training?"]


def _has_statistics(layer: keras.layers.Layer) -> bool:
    """Whether a layer knows what it saw in training. Where nothing was ever seen, mean 0 and variance 1 stand there."""
    if not isinstance(layer, keras.layers.BatchNormalization):
        return False
    return bool(np.any(layer.moving_mean.numpy() != 0) or np.any(layer.moving_variance.numpy() != 1))
