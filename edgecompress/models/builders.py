"""Models by name. Logits out, stable layer names, initial weights from the seed alone."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edgecompress.backend import keras, tf
from edgecompress.errors import ModelError
from edgecompress.models.convolutional import cnn, ds_cnn, mobilenet_v1, resnet8
from edgecompress.models.fully_connected import autoencoder, mlp
from edgecompress.recipe.schema import BuilderModel

SMALLEST_IMAGE = 4  # pixels; two halvings leave one


@dataclass(frozen=True)
class Builder:
    """`build(inputs, num_outputs, width, seed)` gives the output tensor; `width` is the published one."""

    build: Callable[[Any, int, int, int], Any]
    width: int
    takes_images: bool


BUILDERS: dict[str, Builder] = {
    "cnn": Builder(cnn, width=32, takes_images=True),
    "ds_cnn": Builder(ds_cnn, width=64, takes_images=True),
    "mobilenet_v1": Builder(mobilenet_v1, width=8, takes_images=True),
    "resnet8": Builder(resnet8, width=16, takes_images=True),
    "mlp": Builder(mlp, width=256, takes_images=False),
    "autoencoder": Builder(autoencoder, width=128, takes_images=False),
}


def build_model(config: BuilderModel, input_shape: tuple[int, ...], num_outputs: int, *, seed: int) -> keras.Model:
    """Builds the model that a recipe names.

    Args:
        config: name and width (channels or units of the first layer; None: the published width).
        input_shape: of one preprocessed sample; [height, width, channels] for the convolutional builders.
        num_outputs: classes, or columns of the target; the autoencoder gives back its input and ignores it.
        seed: of the initial weights. Same seed, same bits, whatever was built before.

    Returns:
        An uncompiled Functional model whose outputs are logits (autoencoder: the reconstruction).

    Raises:
        ModelError: an input of the wrong rank, one that is too small, or weights that do not fit into memory.
    """
    builder = BUILDERS[config.name]
    _check_shape(config.name, builder, input_shape, num_outputs)
    width = config.width if config.width is not None else builder.width
    inputs = keras.Input(shape=input_shape, name="input")
    try:
        outputs = builder.build(inputs, num_outputs, width, seed)
    except (tf.errors.ResourceExhaustedError, tf.errors.InvalidArgumentError, MemoryError, OverflowError) as error:
        raise ModelError(
            f"weights of builder {config.name} at width {width} must fit into memory. Received: input shape {input_shape}."
        ) from error
    return keras.Model(inputs, outputs, name=config.name)


def _check_shape(name: str, builder: Builder, input_shape: tuple[int, ...], num_outputs: int) -> None:
    """Refuses inputs and outputs that the builder cannot take."""
    if num_outputs < 1:
        raise ModelError(f"num_outputs of builder {name} must be at least 1. Received: {num_outputs}.")
    if not input_shape or min(input_shape) < 1:
        raise ModelError(f"input shape of builder {name} must be one or more sizes of at least 1. Received: {input_shape}.")
    if not builder.takes_images:
        return
    if len(input_shape) != 3:
        raise ModelError(f"input shape of builder {name} must be (height, width, channels). Received: {input_shape}.")
    if min(input_shape[:2]) < SMALLEST_IMAGE:
        raise ModelError(
            f"input of builder {name} must be at least {SMALLEST_IMAGE} pixels high and wide. Received: {input_shape}. "
            "`preprocess: {resize: [height, width]}` makes images larger."
        )
