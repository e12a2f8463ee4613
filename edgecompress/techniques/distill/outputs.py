"""Outputs of any task as what the losses take, and several teachers as one."""

from collections.abc import Sequence

from edgecompress.backend import tf
from edgecompress.recipe.schema import Task

SMALLEST_PROBABILITY = 1e-7  # as Keras clips probabilities before their logarithm


def as_logits(outputs: tf.Tensor, task: Task) -> tf.Tensor:
    """Logits of classes and labels; values stay as they are.

    Of probabilities only the logits less a constant are known, which no softmax sees.

    Args:
        outputs: [b, ...] of a model.
        task: says what they are.
    """
    if task.from_logits or task.kind not in ("classification", "multi_label"):
        return outputs
    probabilities = tf.clip_by_value(outputs, SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)
    log = tf.math.log(probabilities)
    return log if task.kind == "classification" else log - tf.math.log1p(-probabilities)


def combine_logits(teachers: Sequence[tf.Tensor], kind: str, how: str) -> tf.Tensor:
    """One teacher out of several.

    Args:
        teachers: logits [b, ...] each.
        kind: of the task; values are averaged as they are.
        how: "logits": their mean; "probabilities": logits of the mean of the probabilities.
    """
    if len(teachers) == 1:
        return teachers[0]
    stacked = tf.stack(teachers)
    if how == "logits" or kind not in ("classification", "multi_label"):
        return tf.reduce_mean(stacked, axis=0)
    if kind == "classification":
        return tf.reduce_logsumexp(tf.nn.log_softmax(stacked), axis=0)  # less log of their number: a constant
    return tf.reduce_logsumexp(tf.math.log_sigmoid(stacked), axis=0) - tf.reduce_logsumexp(tf.math.log_sigmoid(-stacked), axis=0)
