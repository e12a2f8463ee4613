"""Three ways into TensorFlow's converter. What one refuses, another may take."""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from edgecompress.backend import keras, tf
from edgecompress.samples import Samples, each, num_samples

LOOPS = ("While", "StatelessWhile")


@dataclass(frozen=True)
class Settings:
    """What is asked of the converter.

    Attributes:
        format: of `recipe.schema.Export`.
        io_type: int8, uint8 or float32.
        samples: [n, ...] to calibrate with, by name for a model of several inputs; None: without calibration.
        on_sample: called after each of them.
        per_tensor_dense: one scale for all of a Dense kernel, which older runtimes need in the format dynamic, and
            TensorFlow Lite Micro in all.
        per_tensor: one scale for all of every kernel.
    """

    format: str
    io_type: str
    samples: Samples | None
    on_sample: Callable[[], None]
    per_tensor_dense: bool = False
    per_tensor: bool = False

    def as_float(self) -> "Settings":
        """The same model without quantization."""
        return replace(self, format="float32", io_type="float32", samples=None)


@dataclass(frozen=True)
class Source:
    """A model and its inference function for one sample."""

    model: keras.Model
    function: tf.types.experimental.ConcreteFunction


Rung = Callable[[Source, Settings], bytes]


def trace(model: keras.Model) -> Source:
    """Traces the model's inference with batch 1. (`from_keras_model` alone would leave the batch open.)"""
    specs = [tf.TensorSpec([1, *tensor.shape[1:]], tensor.dtype, name=tensor.name) for tensor in model.inputs]

    @tf.function(autograph=False)
    def infer(*inputs: tf.Tensor) -> tf.Tensor:
        return model(inputs if len(inputs) > 1 else inputs[0], training=False)

    return Source(model, infer.get_concrete_function(*specs))


def has_loop(source: Source) -> bool:
    """Whether the model's graph holds a loop, as those of recurrent layers do."""
    graph = source.function.graph.as_graph_def()
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    return any(node.op in LOOPS for node in nodes)


def from_concrete_function(source: Source, settings: Settings) -> bytes:
    """The function with its weights, without the Keras objects, whose tracing by the converter would take most of the time."""
    holder = tf.Module()
    holder.weights = source.model.weights
    return _convert(tf.lite.TFLiteConverter.from_concrete_functions([source.function], holder), settings)


def from_keras_model(source: Source, settings: Settings) -> bytes:
    """The model behind inputs with a batch of 1."""
    inputs = [keras.Input(tensor.shape[1:], batch_size=1, dtype=tensor.dtype, name=tensor.name) for tensor in source.model.inputs]
    outputs = source.model(inputs if len(inputs) > 1 else inputs[0], training=False)
    return _convert(tf.lite.TFLiteConverter.from_keras_model(keras.Model(inputs, outputs)), settings)


def from_saved_model(source: Source, settings: Settings) -> bytes:
    """A SavedModel in a temporary folder, with the function as its signature."""
    with tempfile.TemporaryDirectory(prefix="edgecompress-") as folder:
        tf.saved_model.save(source.model, folder, signatures=source.function)
        return _convert(tf.lite.TFLiteConverter.from_saved_model(folder), settings)


RUNGS: dict[str, Rung] = {"concrete function": from_concrete_function, "Keras model": from_keras_model, "SavedModel": from_saved_model}


def _convert(converter: tf.lite.TFLiteConverter, settings: Settings) -> bytes:
    """Sets the converter's switches and runs it."""
    operators = tf.lite.OpsSet
    if settings.format != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if settings.format == "float16":
        converter.target_spec.supported_types = [tf.float16]
    converter._experimental_disable_per_channel_quantization_for_dense_layers = settings.per_tensor_dense
    converter._experimental_disable_per_channel = settings.per_tensor
    if settings.samples is not None:
        converter.representative_dataset = partial(_samples, settings.samples, settings.on_sample)
        # TFLITE_BUILTINS lets an operator without an int16 kernel stay in float; int8 has that already.
        converter.target_spec.supported_ops = (
            [operators.TFLITE_BUILTINS_INT8]
            if settings.format == "int8"
            else [operators.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8, operators.TFLITE_BUILTINS]
        )
    if settings.format == "int8":
        converter.inference_input_type = converter.inference_output_type = tf.as_dtype(settings.io_type)
    return bytes(converter.convert())


def _samples(samples: Samples, on_sample: Callable[[], None]) -> Iterator[list[np.ndarray] | dict[str, np.ndarray]]:
    """Calibration samples one at a time, each as a batch of 1: several inputs by name, for the converter has its own order."""
    for index in range(num_samples(samples)):
        sample = each(lambda values, row=index: values[row : row + 1], samples)
        yield sample if isinstance(samples, Mapping) else [sample]
        on_sample()
