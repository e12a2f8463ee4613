"""Response knowledge: losses between the outputs of student and teacher. Pure functions, each the mean over a batch.

Logits are float32 [b, classes]; a gradient flows into the student's alone when the teacher's are constants.
"""

from edgecompress.backend import tf

MASKED = -1e9  # a logit of probability 0 that leaves no NaN behind


def kd(student: tf.Tensor, teacher: tf.Tensor, temperature: float) -> tf.Tensor:
    """Knowledge distillation: T^2 KL(p_t || p_s), p = softmax(z / T).

    The teacher's entropy is left out of Hinton's cross-entropy, so that 0 means equal; gradients are the same. T^2 keeps
    their size when T changes. For T -> infinity it tends to |z_s - z_t|^2 / (2 classes), each z less its own mean.

    Args:
        student, teacher: logits [b, classes].
        temperature: T > 0.

    Source: Hinton et al., Distilling the Knowledge in a Neural Network (2015), section 2.
    """
    return temperature**2 * tf.reduce_mean(_kl(student / temperature, teacher / temperature))


def sigmoid_kd(student: tf.Tensor, teacher: tf.Tensor, temperature: float) -> tf.Tensor:
    """`kd` of independent labels: T^2 KL of two coins of p = sigmoid(z / T), the mean over samples and labels.

    Args:
        student, teacher: logits [b, labels].
        temperature: T > 0.

    Source: Hinton et al. (2015), section 2, with a sigmoid in place of the softmax.
    """
    return temperature**2 * tf.reduce_mean(_coin_kl(student / temperature, teacher / temperature))


def dkd(
    student: tf.Tensor, teacher: tf.Tensor, labels: tf.Tensor, temperature: float, target_weight: float, others_weight: float
) -> tf.Tensor:
    """Decoupled knowledge distillation: T^2 (alpha TCKD + beta NCKD).

    TCKD is the KL of two coins: the label's class against all others. NCKD is the KL among the other classes alone. `kd` is
    TCKD + (1 - p_t[label]) NCKD: it hardly looks at the others where the teacher is sure; here beta decides.

    Args:
        student, teacher: logits [b, classes].
        labels: int [b], the class of each sample.
        temperature: T > 0.
        target_weight: alpha >= 0.
        others_weight: beta >= 0.

    Source: Zhao et al., Decoupled Knowledge Distillation (2022), section 3.2.
    """
    is_label = tf.one_hot(labels, student.shape[-1], on_value=True, off_value=False, dtype=tf.bool)
    coins, others = [], []
    for logits in (student / temperature, teacher / temperature):
        without_label = tf.where(is_label, MASKED, logits)
        label_logit = tf.reduce_sum(tf.where(is_label, logits, 0.0), axis=-1)
        coins.append(label_logit - tf.reduce_logsumexp(without_label, axis=-1))  # the logit of p[label] against the rest
        others.append(without_label)
    values = target_weight * _coin_kl(*coins) + others_weight * _kl(*others)
    return temperature**2 * tf.reduce_mean(values)


def hard_labels(student: tf.Tensor, teacher: tf.Tensor) -> tf.Tensor:
    """Cross-entropy with the class that the teacher would choose; of equal logits the first.

    Args:
        student, teacher: logits [b, classes].

    Source: Touvron et al., Training data-efficient image transformers & distillation through attention (2021), section 4.
    """
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=tf.argmax(teacher, axis=-1), logits=student))


def mse(student: tf.Tensor, teacher: tf.Tensor) -> tf.Tensor:
    """Mean squared difference of the outputs: logits, or the values of a regression or an autoencoder.

    Args:
        student, teacher: [b, ...] of one shape.

    Source: Ba & Caruana, Do Deep Nets Really Need to be Deep? (2014), section 2.2.
    """
    return tf.reduce_mean(tf.math.squared_difference(student, teacher))


def _kl(student: tf.Tensor, teacher: tf.Tensor) -> tf.Tensor:
    """KL(softmax(teacher) || softmax(student)) of each sample, [b]."""
    log_teacher = tf.nn.log_softmax(teacher)
    return tf.reduce_sum(tf.exp(log_teacher) * (log_teacher - tf.nn.log_softmax(student)), axis=-1)


def _coin_kl(student: tf.Tensor, teacher: tf.Tensor) -> tf.Tensor:
    """KL of two coins with the given logits, of any shape: log sigmoid(z) and log sigmoid(-z) do not overflow."""
    heads = tf.math.log_sigmoid(teacher) - tf.math.log_sigmoid(student)
    tails = tf.math.log_sigmoid(-teacher) - tf.math.log_sigmoid(-student)
    return tf.sigmoid(teacher) * heads + tf.sigmoid(-teacher) * tails
