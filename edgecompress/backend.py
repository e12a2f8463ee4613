"""The one place that imports TensorFlow, tf_keras and TF-MOT.

TF-MOT works on Keras 2 only and reads `TF_USE_LEGACY_KERAS` when it is imported, so the variable is set here, before
TensorFlow. Everything else in the package says `from edgecompress.backend import keras, tf`.
"""

import os
import sys
from types import ModuleType

from edgecompress.errors import EdgeCompressError

__all__ = ["keras", "model_optimization", "set_threads", "tf"]

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

if getattr(getattr(sys.modules.get("tensorflow"), "keras", None), "__name__", "").startswith("keras."):
    raise EdgeCompressError(
        "TensorFlow was imported with Keras 3 before edgecompress. TF-MOT needs Keras 2: import edgecompress.backend "
        "first, or set TF_USE_LEGACY_KERAS=1 before TensorFlow is imported."
    )

import tensorflow as tf
import tf_keras as keras

# Generators with a visible state make Dropout repeatable from any epoch; see `training`.
keras.backend.experimental.enable_tf_random_generator()


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
