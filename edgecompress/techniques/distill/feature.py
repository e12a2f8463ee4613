"""Feature knowledge: losses between what a layer of the student and one of the teacher give. Pure functions, each the mean over a batch.

Features are float32 [b, positions..., channels]: maps, sequences, or vectors [b, channels]. Both sides have the same
positions, and where it says so the same channels; `adaptors` makes them so.
"""

from edgecompress.backend import tf


def hints(student: tf.Tensor, teacher: tf.Tensor) -> tf.Tensor:
    """Mean squared difference of two features.

    Args:
        student, teacher: [b, positions..., channels], same positions and channels.

    Source: Romero et al., FitNets (2015), section 2.2; the mean in place of half the sum, so that sizes do not count.
    """
    return tf.reduce_mean(tf.math.squared_difference(student, teacher))


def attention_transfer(student: tf.Tensor, teacher: tf.Tensor) -> tf.Tensor:
    """|q_s - q_t|^2, where q is the map of mean squares over the channels, as one vector of length 1.

    Args:
        student, teacher: [b, positions..., channels], same positions; channels may differ.

    Source: Zagoruyko & Komodakis, Paying More Attention to Attention (2017), section 3.1, p = 2, squared.
    """
    differences = tf.math.squared_difference(attention_map(student), attention_map(teacher))
    return tf.reduce_mean(tf.reduce_sum(differences, axis=-1))


def attention_map(features: tf.Tensor) -> tf.Tensor:
    """Where a layer looks: [b, positions..., channels] to unit vectors [b, number of positions]."""
    energy = tf.reduce_mean(tf.square(features), axis=-1)
    return tf.math.l2_normalize(tf.reshape(energy, [tf.shape(energy)[0], -1]), axis=-1)


def gram(student: tf.Tensor, teacher: tf.Tensor) -> tf.Tensor:
    """Mean squared difference of the Gram matrices: which channels fire together, wherever that is.

    Args:
        student, teacher: [b, positions..., channels], same channels.

    Source: Huang & Wang, Like What You Like (2017), section 4.1.2, polynomial kernel of degree 2.
    """
    return hints(flow_matrix(student, student), flow_matrix(teacher, teacher))


def fsp(student: tuple[tf.Tensor, tf.Tensor], teacher: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
    """Mean squared difference of the matrices that say how one layer flows into a later one.

    Args:
        student, teacher: two features each, [b, positions..., channels], same positions; channels as on the other side.

    Source: Yim et al., A Gift from Knowledge Distillation (2017), section 3.2 and 3.3.
    """
    return hints(flow_matrix(*student), flow_matrix(*teacher))


def flow_matrix(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """Mean over positions of the products of channels: [b, positions..., m] and [b, positions..., n] to [b, m, n]."""
    ones, others = (tf.reshape(features, [tf.shape(features)[0], -1, features.shape[-1]]) for features in (first, second))
    return tf.matmul(ones, others, transpose_a=True) / tf.cast(tf.shape(ones)[1], ones.dtype)
