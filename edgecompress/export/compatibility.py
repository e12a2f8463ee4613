"""Which models a format takes, checked before the converter sees them."""

from collections.abc import Mapping

import numpy as np

from edgecompress.backend import keras, tf
from edgecompress.errors import ConversionError
from edgecompress.recipe.schema import Export
from edgecompress.samples import Samples, each, num_samples

CALIBRATED = ("int8", "int16x8")  # formats whose activations need ranges
TRAINED = {"ranges": "min_max", "kernels": "per_channel", "layers": {}}  # what quantize-aware training has settled
_QUANTIZE_AWARE = ("QuantizeWrapper", "QuantizeLayer")  # of TF-MOT


def is_quantize_aware(model: keras.Model) -> bool:
    """Whether the model carries TF-MOT's fake-quantization."""
    return any(kind.__name__ in _QUANTIZE_AWARE for layer in model.layers for kind in type(layer).__mro__)


def check_model(model: keras.Model, export: Export) -> None:
    """Raises ConversionError for a model that cannot become this kind of file."""
    if not model.inputs:
        raise ConversionError(
            f"the model must have a known input: build it or call it first. Received: {model.name!r} of class {type(model).__name__}."
        )
    for tensor in model.inputs:
        if None in tensor.shape[1:]:
            raise ConversionError(f"the model's input shape must be fixed apart from the batch. Received: {tuple(tensor.shape)}.")
    if export.format != "int8" and is_quantize_aware(model):
        raise ConversionError(
            f"the format of a quantize-aware model must be int8, which its training simulated. Received: {export.format!r}, "
            "in which it would compute with quantize and dequantize operators."
        )
    for name, needed in TRAINED.items():
        if getattr(export, name) != needed and is_quantize_aware(model):
            raise ConversionError(
                f"export.{name} must be {needed} for a quantize-aware model, which was trained so. Received: {getattr(export, name)!r}."
            )


def check_calibration(calibration: Samples | None, model: keras.Model, export: Export) -> Samples:
    """The samples that set the ranges of activations.

    Args:
        calibration: float32 [n, ...], preprocessed like the training data; by name for a model of several inputs.
        model: whose inputs they are for.
        export: for messages.

    Returns:
        The samples, in the type of the input.

    Raises:
        ConversionError: there are none, or they cannot set ranges.
    """
    if calibration is None or num_samples(calibration) == 0:
        raise ConversionError(f"the format {export.format} needs calibration samples: at least one must be given. Received: none.")
    names = list(calibration) if isinstance(calibration, Mapping) else model.input_names[:1]
    if set(names) != set(model.input_names):
        wanted, given = (", ".join(listed) for listed in (model.input_names, names))
        raise ConversionError(f"a model for the format {export.format} must have samples for each input, {wanted}. Received: {given}.")
    tensors = dict(zip(model.input_names, model.inputs, strict=True))
    samples: Samples = each(_for_input, calibration, tensors if isinstance(calibration, Mapping) else model.inputs[0])
    return samples


def _for_input(calibration: np.ndarray, tensor: tf.Tensor) -> np.ndarray:
    """The samples of one input, in its type, if they can set ranges."""
    shape = tuple(tensor.shape[1:])
    if calibration.shape[1:] != shape:
        raise ConversionError(f"calibration samples must have the model's input shape {shape}. Received: {calibration.shape[1:]}.")
    if not np.isfinite(calibration).all():
        raise ConversionError(f"calibration samples must be finite numbers. Received: {_count_bad(calibration)} that are NaN or infinite.")
    if calibration.min() == calibration.max():
        raise ConversionError(f"calibration samples must vary. Received: {len(calibration)} that are {calibration.flat[0]} everywhere.")
    return calibration.astype(tensor.dtype.as_numpy_dtype, copy=False)


def _count_bad(values: np.ndarray) -> int:
    """Number of samples with a value that is not finite."""
    return int((~np.isfinite(values)).reshape(len(values), -1).any(axis=1).sum())
