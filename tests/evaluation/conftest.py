"""Splits of arrays, and small .tflite files made by the converter."""

import numpy as np
import pytest

from edgecompress.backend import tf


@pytest.fixture(scope="session")
def make_split():
    """`make_split(inputs, labels=None, target="label")`: the whole arrays as one split."""
    from edgecompress.data.array_inputs import ArrayInputs
    from edgecompress.data.split import Split
    from edgecompress.recipe.schema import Preprocess

    def make(inputs, labels=None, target="label"):
        labels = np.zeros(len(inputs), np.int64) if labels is None else labels
        return Split(ArrayInputs(inputs, "inputs"), labels, np.arange(len(inputs)), preprocess=Preprocess(), target=target)

    return make


@pytest.fixture(scope="session")
def make_tflite(tmp_path_factory):
    """`make_tflite(function, shape, name=..., int8=samples)`: a file of the function; integer where samples calibrate it."""
    folder = tmp_path_factory.mktemp("tflite")

    def make(function, shape, *, name, int8=None, batch_size=1):
        concrete = tf.function(function, input_signature=[tf.TensorSpec([batch_size, *shape], tf.float32)]).get_concrete_function()
        converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete])
        if int8 is not None:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda: ([sample[None]] for sample in int8)
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.inference_input_type = converter.inference_output_type = tf.int8
        path = folder / f"{name}.tflite"
        path.write_bytes(converter.convert())
        return path

    return make


@pytest.fixture(scope="session")
def networks(make_tflite, small_model, digits):
    """The small network of the project's tests as files: {"float32": path, "int8": path}."""
    samples = digits.calibration.arrays()[0][:50]
    return {
        "float32": make_tflite(small_model, (8, 8, 1), name="float32"),
        "int8": make_tflite(small_model, (8, 8, 1), name="int8", int8=samples),
    }
