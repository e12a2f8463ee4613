"""The one place that imports TensorFlow, tf_keras and TF-MOT.

TF-MOT works on Keras 2 only and reads `TF_USE_LEGACY_KERAS` when it is imported, so the variable is set here, before
TensorFlow. Everything else in the package says `from edgecompress.backend import keras, tf`.
"""

import os
import sys
from types import ModuleType

from edgecompress.errors import EdgeCompressError

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

if "tensorflow" in sys.modules and getattr(sys.modules["tensorflow"], "keras", None) is not None:
    if "keras._tf_keras" in getattr(sys.modules["tensorflow"].keras, "__name__", ""):
        raise EdgeCompressError(
            "TensorFlow was imported with Keras 3 before edgecompress. TF-MOT needs Keras 2: import edgecompress "
            "first, or set TF_USE_LEGACY_KERAS=1 before TensorFlow is imported."
        )

import tensorflow as tf  # noqa: E402
import tf_keras as keras  # noqa: E402

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
    number = threads or len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else threads or os.cpu_count() or 1
    try:
        tf.config.threading.set_intra_op_parallelism_threads(number)
    except RuntimeError:
        number = tf.config.threading.get_intra_op_parallelism_threads() or number
    return int(number)
