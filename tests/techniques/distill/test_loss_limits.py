"""Distillation losses: limits of the temperature, and what must not change them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecompress.backend import tf
from edgecompress.techniques.distill import feature, relation, response

# float32 sums of a few hundred terms of order 1 are right to about 1e-7 each
CLOSE = {"rtol": 1e-6, "atol": 1e-6}


def logits_of_two():
    """Student and teacher, [9, 6] each."""
    return np.random.default_rng(4).normal(size=(2, 9, 6)).astype(np.float32)


def test_at_temperature_one_kd_is_the_cross_entropy_less_the_entropy():
    student, teacher = logits_of_two()
    probabilities = tf.nn.softmax(teacher)
    cross = tf.nn.softmax_cross_entropy_with_logits(probabilities, student) - tf.nn.softmax_cross_entropy_with_logits(
        probabilities, teacher
    )
    np.testing.assert_allclose(response.kd(student, teacher, 1.0), tf.reduce_mean(cross), **CLOSE)


def test_at_infinite_temperature_kd_compares_centred_logits():
    student, teacher = (tf.constant(array, tf.float64) for array in logits_of_two())
    difference = (student - tf.reduce_mean(student, -1, True)) - (teacher - tf.reduce_mean(teacher, -1, True))
    limit = float(tf.reduce_mean(tf.reduce_sum(difference**2, -1))) / (2 * 6)
    errors = [abs(float(response.kd(student, teacher, temperature)) - limit) for temperature in (10.0, 100.0, 1000.0)]
    assert errors[2] < 1e-3 * limit  # the next term of the series is of order 1 / T
    assert errors[0] > 5 * errors[1] > 25 * errors[2]


def test_at_infinite_temperature_sigmoid_kd_compares_logits():
    student, teacher = (tf.constant(array, tf.float64) for array in logits_of_two())
    limit = float(tf.reduce_mean((student - teacher) ** 2)) / 8
    assert float(response.sigmoid_kd(student, teacher, 1000.0)) == pytest.approx(limit, rel=1e-4)


def test_dkd_with_its_own_weights_is_kd():
    student, teacher = logits_of_two()[:, :1]
    label = np.array([3])
    rest = 1 - float(tf.nn.softmax(teacher / 2)[0, 3])
    np.testing.assert_allclose(response.dkd(student, teacher, label, 2.0, 1.0, rest), response.kd(student, teacher, 2.0), **CLOSE)


@given(st.integers(0, 2**32 - 1), st.floats(0.01, 100), st.sampled_from([relation.rkd_distance, relation.rkd_angle]))
def test_relational_losses_do_not_change_under_rotation_shift_and_scale(seed, scale, loss):
    generator = np.random.default_rng(seed)
    student, teacher = generator.normal(size=(6, 4)), generator.normal(size=(6, 5))
    rotation, _ = np.linalg.qr(generator.normal(size=(4, 4)))
    moved = scale * (student @ rotation + generator.normal(size=4))
    assert float(loss(tf.constant(moved), tf.constant(teacher))) == pytest.approx(float(loss(student, teacher)), abs=1e-9)


@given(st.integers(0, 2**32 - 1), st.floats(0.01, 100), st.sampled_from([relation.similarity_preserving, relation.correlation_congruence]))
def test_kernels_of_samples_do_not_change_under_rotation_and_scale(seed, scale, loss):
    generator = np.random.default_rng(seed)
    student, teacher = generator.normal(size=(6, 4)), generator.normal(size=(6, 5))
    rotation, _ = np.linalg.qr(generator.normal(size=(4, 4)))
    assert float(loss(tf.constant(scale * student @ rotation), tf.constant(teacher))) == pytest.approx(
        float(loss(student, teacher)), abs=1e-9
    )


@given(st.integers(0, 2**32 - 1), st.floats(0.01, 100))
def test_attention_does_not_change_under_scale(seed, scale):
    student, teacher = (np.random.default_rng(seed + side).normal(size=(2, 3, 3, 4)) for side in (0, 1))
    one, other = (float(feature.attention_transfer(tf.constant(factor * student), tf.constant(teacher))) for factor in (1.0, scale))
    assert one == pytest.approx(other, abs=1e-9)
