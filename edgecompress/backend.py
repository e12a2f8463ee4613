"""The one place that imports TensorFlow, tf_keras and TF-MOT.

TF-MOT works on Keras 2 only and reads `TF_USE_LEGACY_KERAS` when it is imported, so the variable is set here, before
TensorFlow. Everything else in the package says `from edgecompress.backend import keras, tf`.
"""

import os
import sys
from importlib import import_module
from types import ModuleType

__all__ = ["OWN_LAYERS", "keras", "keras_3", "model_optimization", "set_threads", "tf"]

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# TensorFlow turns oneDNN on by itself only where the CPU has AVX-512; with AVX2 alone it trains convolutions faster too (about twice).
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

import tensorflow as tf
import tf_keras as keras
from tf_keras.src.applications.convnext import LayerScale, StochasticDepth
from tf_keras.src.applications.inception_resnet_v2 import CustomScaleLayer

# Generators with a visible state make Dropout repeatable from any epoch; see `training`.
keras.backend.experimental.enable_tf_random_generator()

# Layers that tf_keras.applications is made of and tf_keras does not find by name, as a saved model asks for them.
OWN_LAYERS = {"LayerScale": LayerScale, "StochasticDepth": StochasticDepth, "CustomScaleLayer": CustomScaleLayer}
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
    number = threads or _available_cores()
    try:
        tf.config.threading.set_intra_op_parallelism_threads(number)
    except RuntimeError:
        number = tf.config.threading.get_intra_op_parallelism_threads() or _available_cores()
    return int(number)


def _available_cores() -> int:
    """Cores that this process may use; fewer than the machine has in a container."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
