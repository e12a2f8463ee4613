"""The one place that imports TensorFlow, tf_keras and TF-MOT.

TF-MOT works on Keras 2 only and reads `TF_USE_LEGACY_KERAS` when it is imported, so the variable is set here, before
TensorFlow. Everything else in the package says `from edgecompress.backend import keras, tf`.
"""

import os
import sys
from importlib import import_module
from types import ModuleType
from typing import Any

__all__ = ["OWN_LAYERS", "keras", "keras_3", "model_optimization", "set_threads", "tf"]

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# TensorFlow turns oneDNN on by itself only where the CPU has AVX-512; with AVX2 alone it trains convolutions faster too (about twice).
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

import tensorflow as tf
import tf_keras as keras
from tf_keras.src.applications import convnext
from tf_keras.src.applications.inception_resnet_v2 import CustomScaleLayer

from edgecompress.device.machine import num_cores

# Generators with a visible state make Dropout repeatable from any epoch; see `training`.
keras.backend.experimental.enable_tf_random_generator()


class StochasticDepth(keras.__internal__.layers.BaseRandomLayer):
    """tf_keras' layer of this name, whose draws come from a generator with a visible state, as those of Dropout do.

    tf_keras' own draws from TensorFlow's hidden state: a training that was continued would leave out other paths.

    Args:
        drop_path_rate: fraction of the samples that are left out, in [0, 1).

    Source: Huang et al., Deep Networks with Stochastic Depth (2016).
    """

    def __init__(self, drop_path_rate: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.drop_path_rate = drop_path_rate

    def call(self, x: tf.Tensor, training: Any = None) -> tf.Tensor:
        if not training:
            return x
        kept = 1 - self.drop_path_rate
        shape = (tf.shape(x)[0],) + (1,) * (x.shape.rank - 1)
        return x / kept * tf.floor(kept + self._random_generator.random_uniform(shape, dtype=x.dtype))

    def get_config(self) -> dict[str, Any]:
        """What tf_keras' own layer says of itself, so that it can read the model."""
        config = super().get_config()
        config.pop("rng_type", None)
        return {**config, "drop_path_rate": self.drop_path_rate}


convnext.StochasticDepth = StochasticDepth  # what keras.applications builds ConvNeXt of

# Layers that tf_keras.applications is made of and tf_keras does not find by name, as a saved model asks for them.
OWN_LAYERS = {"LayerScale": convnext.LayerScale, "StochasticDepth": StochasticDepth, "CustomScaleLayer": CustomScaleLayer}
keras.utils.get_custom_objects().update(OWN_LAYERS)


def keras_3() -> ModuleType:
    """Keras 3, imported when a model of it comes in. It stands beside tf_keras and knows nothing of it."""
    if "keras" not in sys.modules:
        os.environ["KERAS_BACKEND"] = "tensorflow"  # the one that is surely installed
    return import_module("keras")


def model_optimization() -> ModuleType:
    """TF-MOT, imported when first needed: it costs two seconds that a plain conversion need not pay."""
    import tensorflow_model_optimization

    return tensorflow_model_optimization


def set_threads(threads: int | None) -> int:
    """Limits TensorFlow to `threads` threads per operator (None: all cores); returns the number in force.

    The bits of a training depend on it, so it is part of every cache key. TensorFlow reads it once, at its first
    operation: a later call with another number has no effect and the number in force is returned.
    """
    number = threads or num_cores()
    try:
        tf.config.threading.set_intra_op_parallelism_threads(number)
    except RuntimeError:
        number = tf.config.threading.get_intra_op_parallelism_threads() or num_cores()
    return int(number)
