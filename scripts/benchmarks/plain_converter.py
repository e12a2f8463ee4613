"""TensorFlow's converter used by hand, which `post_training.py` and `quantization.py` compare with."""

import numpy as np

from edgecompress.backend import keras, tf


def by_hand(model: keras.Model, samples: np.ndarray) -> bytes:
    """An int8 file as TensorFlow's guide shows it.

    Args:
        model: of one input.
        samples: float32 [n, ...], for the ranges.
    """
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([sample[np.newaxis]] for sample in samples)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    return bytes(converter.convert())
