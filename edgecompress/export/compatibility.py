"""Which models a format takes, checked before the converter sees them."""

import numpy as np

from edgecompress.backend import keras
from edgecompress.errors import ConversionError
from edgecompress.recipe.schema import Export

CALIBRATED = ("int8", "int16x8")  # formats whose activations need ranges
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


def check_calibration(calibration: np.ndarray | None, model: keras.Model, export: Export) -> np.ndarray:
    """The samples that set the ranges of activations.

    Args:
        calibration: float32 [n, ...], preprocessed like the training data.
        model: with one input.
        export: for messages.

    Returns:
        The samples, in the input's type.

    Raises:
        ConversionError: there are none, or they cannot set ranges.
    """
    if calibration is None or len(calibration) == 0:
        raise ConversionError(f"the format {export.format} needs calibration samples: at least one must be given. Received: none.")
    if len(model.inputs) != 1:
        raise ConversionError(
            f"a model for the format {export.format} must have one input to calibrate. Received: {len(model.inputs)} inputs."
        )
    shape, dtype = tuple(model.inputs[0].shape[1:]), model.inputs[0].dtype.as_numpy_dtype
    if calibration.shape[1:] != shape:
        raise ConversionError(f"calibration samples must have the model's input shape {shape}. Received: {calibration.shape[1:]}.")
    if not np.isfinite(calibration).all():
        raise ConversionError(f"calibration samples must be finite numbers. Received: {_count_bad(calibration)} that are NaN or infinite.")
    if calibration.min() == calibration.max():
        raise ConversionError(f"calibration samples must vary. Received: {len(calibration)} that are {calibration.flat[0]} everywhere.")
    return calibration.astype(dtype, copy=False)


def _count_bad(values: np.ndarray) -> int:
    """Number of samples with a value that is not finite."""
    return int((~np.isfinite(values)).reshape(len(values), -1).any(axis=1).sum())
