"""Relation knowledge: losses between how samples of one batch lie to each other. Pure functions.

Embeddings are float32 [b, ...], flattened to vectors; student and teacher may differ in length. Batches too small to have
a relation give 0.
"""

from math import exp

from edgecompress.backend import tf

MAX_ANGLE_SAMPLES = 128  # of one batch: angles are b^3 numbers
SHORTEST_SQUARED = 1e-12  # a vector shorter than 1e-6, such as that of a dead ReLU layer, has no direction and no gradient


def rkd_distance(student: tf.Tensor, teacher: tf.Tensor) -> tf.Tensor:
    """Huber loss between distances of all pairs of samples, each side's divided by its own mean distance.

    It does not change when an embedding is rotated, mirrored, moved or scaled.

    Args:
        student: [b, ...].
        teacher: [b, ...].

    Source: Park et al., Relational Knowledge Distillation (2019), section 3.2.1.
    """
    distances = []
    for embedding in (student, teacher):
        distance = _distances(_vectors(embedding))
        positive = tf.cast(distance > 0, distance.dtype)
        distances.append(tf.math.divide_no_nan(distance, tf.math.divide_no_nan(tf.reduce_sum(distance), tf.reduce_sum(positive))))
    num_samples = tf.cast(tf.shape(distances[0])[0], distances[0].dtype)
    return tf.math.divide_no_nan(tf.reduce_sum(_huber(*distances)), num_samples * (num_samples - 1))  # a sample is no pair with itself


def rkd_angle(student: tf.Tensor, teacher: tf.Tensor) -> tf.Tensor:
    """Huber loss between cosines of the angles of all triples of samples, the first 128 samples of a batch.

    It does not change when an embedding is rotated, mirrored, moved or scaled.

    Args:
        student: [b, ...].
        teacher: [b, ...].

    Source: Park et al. (2019), section 3.2.2.
    """
    cosines = []
    for embedding in (student, teacher):
        vectors = _vectors(embedding)[:MAX_ANGLE_SAMPLES]
        edges = _unit(vectors[tf.newaxis] - vectors[:, tf.newaxis])  # [corner, end, d]
        cosines.append(tf.matmul(edges, edges, transpose_b=True))  # [corner, end, end]
    num_samples = tf.cast(tf.shape(cosines[0])[0], cosines[0].dtype)
    num_triples = num_samples * (num_samples - 1) * (num_samples - 2)  # of others the cosine is 0 or 1 on both sides
    return tf.math.divide_no_nan(tf.reduce_sum(_huber(*cosines)), num_triples)


def similarity_preserving(student: tf.Tensor, teacher: tf.Tensor) -> tf.Tensor:
    """|G_s - G_t|^2 / b^2, G = F F^T with rows of length 1.

    Args:
        student: [b, ...].
        teacher: [b, ...].

    Source: Tung & Mori, Similarity-Preserving Knowledge Distillation (2019), section 3.1, equations 1 to 4.
    """
    similarities = [_unit(tf.matmul(v, v, transpose_b=True)) for v in (_vectors(student), _vectors(teacher))]
    return tf.reduce_mean(tf.math.squared_difference(*similarities))


def correlation_congruence(student: tf.Tensor, teacher: tf.Tensor, gamma: float = 0.4, order: int = 2) -> tf.Tensor:
    """|C_s - C_t|^2 / b^2, C the Gaussian kernel of unit vectors as a Taylor series.

    C_ij = sum over p = 0..order of exp(-2 gamma) (2 gamma)^p / p! (f_i . f_j)^p.

    Args:
        student: [b, ...].
        teacher: [b, ...].
        gamma: > 0, of the kernel exp(-gamma |f_i - f_j|^2).
        order: of the series, at least 1.

    Source: Peng et al., Correlation Congruence for Knowledge Distillation (2019), section 3.3, equation 9.
    """
    kernels = []
    for embedding in (student, teacher):
        vectors = _unit(_vectors(embedding))
        cosines = tf.matmul(vectors, vectors, transpose_b=True)
        kernel = term = exp(-2 * gamma) * tf.ones_like(cosines)
        for power in range(1, order + 1):
            term = term * (2.0 * gamma / power) * cosines
            kernel = kernel + term
        kernels.append(kernel)
    return tf.reduce_mean(tf.math.squared_difference(*kernels))


def _vectors(embedding: tf.Tensor) -> tf.Tensor:
    """[b, ...] to [b, d]."""
    return tf.reshape(embedding, [tf.shape(embedding)[0], -1])


def _unit(vectors: tf.Tensor) -> tf.Tensor:
    """Vectors [..., d] at length 1."""
    squared = tf.reduce_sum(tf.square(vectors), axis=-1, keepdims=True)
    has_direction = squared > SHORTEST_SQUARED
    return tf.where(has_direction, vectors * tf.math.rsqrt(tf.where(has_direction, squared, 1.0)), 0.0)


def _distances(vectors: tf.Tensor) -> tf.Tensor:
    """Euclidean distances [b, b]. Where two vectors are equal, the gradient is 0, not that of a root at 0."""
    vectors = vectors - tf.reduce_mean(vectors, axis=0)  # else the squares would cancel
    squares = tf.reduce_sum(tf.square(vectors), axis=-1)
    squared = squares[:, tf.newaxis] + squares[tf.newaxis] - 2 * tf.matmul(vectors, vectors, transpose_b=True)
    squared = squared * (1 - tf.eye(tf.shape(vectors)[0], dtype=vectors.dtype))
    differs = squared > SHORTEST_SQUARED
    return tf.where(differs, tf.sqrt(tf.where(differs, squared, 1.0)), 0.0)


def _huber(student: tf.Tensor, teacher: tf.Tensor) -> tf.Tensor:
    """x^2 / 2 where |x| <= 1, else |x| - 1/2, of the difference x."""
    difference = tf.abs(student - teacher)
    return tf.where(difference <= 1, tf.square(difference) / 2, difference - 0.5)
